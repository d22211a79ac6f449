"""The probe: one winner is safe, anything else is refused."""

from __future__ import annotations

from threading import Lock, Thread
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from pydantic import SecretStr

from ingest_lambda.probe import (
    WRITERS,
    StoreAway,
    StoreProof,
    Unproven,
    UnsafeStore,
    probe_store,
)
from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit


def answered(status: int, retries: int = 0) -> ClientError:
    metadata = {"HTTPStatusCode": status, "RetryAttempts": retries}
    return ClientError({"ResponseMetadata": metadata, "Error": {"Code": "Code"}}, "PutObject")


class Store:
    """Stands for the network: lets `winners` of the conditional PUTs for a key through.

    The first `lost` keys have a winner whose answer is lost, so that its repetition loses.
    """

    def __init__(self, winners: int, error: Exception | None = None, lost: int = 0) -> None:
        self._winners = winners
        self._left: dict[str, int] = {}
        self._error = error
        self._lost = lost
        self._lock = Lock()
        self.keys: set[str] = set()

    def put_object(self, *, Key: str, IfNoneMatch: str, **_: Any) -> None:  # noqa: N803
        assert IfNoneMatch == "*"
        if self._error is not None:
            raise self._error
        with self._lock:
            self.keys.add(Key)
            if Key not in self._left:
                self._left[Key] = 0 if len(self._left) < self._lost else self._winners
            self._left[Key] -= 1
            if self._left[Key] < 0:
                raise answered(412, retries=int(len(self._left) <= self._lost))

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


def test_a_winner_whose_answer_was_lost_is_looked_for_in_another_race() -> None:
    probe_store(Settings(), Store(1, lost=2))
    with pytest.raises(StoreAway, match="too seldom"):
        probe_store(Settings(), Store(1, lost=3))
    with pytest.raises(UnsafeStore, match="2 of"):
        probe_store(Settings(), Store(2, lost=1))


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="http://nowhere"),
        ReadTimeoutError(endpoint_url="http://nowhere"),
        answered(503),
        answered(429),
    ],
)
def test_a_store_that_does_not_answer_is_away(error: Exception) -> None:
    with pytest.raises(StoreAway, match="answer"):
        probe_store(Settings(), Store(1, error))


@pytest.mark.parametrize("error", [answered(403), answered(404), NoCredentialsError()])
def test_a_store_that_denies_the_probe_is_refused_and_not_away(error: Exception) -> None:
    with pytest.raises(Unproven) as refused:
        probe_store(Settings(), Store(1, error))
    assert not isinstance(refused.value, StoreAway)


def test_those_who_ask_at_once_make_one_probe_and_get_one_answer() -> None:
    nowhere = Settings(
        s3_endpoint="http://127.0.0.1:9",
        aws_access_key_id="key",
        aws_secret_access_key=SecretStr("secret"),
    )
    proof = StoreProof(nowhere)
    seen: list[tuple[type[Exception], str]] = []

    def ask() -> None:
        try:
            proof.prove()
        except UnsafeStore as error:
            seen.append((type(error), str(error)))

    threads = [Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [(StoreAway, "the object store does not answer: EndpointConnectionError")] * 3
    assert not proof.proven


def test_a_local_lake_needs_no_proof() -> None:
    proof = StoreProof(Settings(lake_root="/nowhere"))
    proof.prove()
    assert proof.proven
