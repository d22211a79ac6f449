"""The probe: one winner is safe, anything else is refused."""

from __future__ import annotations

from threading import Lock
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from ingest_lambda.probe import WRITERS, UnsafeStore, probe_store
from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit


class Store:
    """Stands for the network: lets `winners` of the conditional PUTs through."""

    def __init__(self, winners: int, error: Exception | None = None) -> None:
        self._left = winners
        self._error = error
        self._lock = Lock()
        self.keys: set[str] = set()

    def put_object(self, *, Key: str, IfNoneMatch: str, **_: Any) -> None:  # noqa: N803
        assert IfNoneMatch == "*"
        if self._error is not None:
            raise self._error
        with self._lock:
            self.keys.add(Key)
            self._left -= 1
            if self._left < 0:
                answer = {"ResponseMetadata": {"HTTPStatusCode": 412}, "Error": {}}
                raise ClientError(answer, "PutObject")

    def delete_object(self, *, Key: str, **_: Any) -> None:  # noqa: N803
        self.keys.discard(Key)


def test_one_winner_is_safe_and_leaves_nothing() -> None:
    store = Store(1)
    probe_store(Settings(), store)
    assert store.keys == set()


@pytest.mark.parametrize("winners", [0, 2, WRITERS])
def test_any_other_number_is_refused(winners: int) -> None:
    with pytest.raises(UnsafeStore, match=f"{winners} of {WRITERS}"):
        probe_store(Settings(), Store(winners))


def test_no_answer_is_refused() -> None:
    error = EndpointConnectionError(endpoint_url="http://nowhere")
    with pytest.raises(UnsafeStore, match="does not answer"):
        probe_store(Settings(), Store(1, error))
