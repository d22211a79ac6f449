"""Proves that the object store does an atomic create-if-absent before anything is committed.

Delta's log is safe only where `PUT If-None-Match: *` has one winner. Stores that ignore the
header lose acknowledged commits without a word, so the edge refuses to commit to them.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected

from telemetry_platform.ids import new_uuid7
from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

WRITERS = 16
_LOST = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT})
_RACES = 3
_PAUSE_SECONDS = 1.0


class UnsafeStore(RuntimeError):
    """The object store must not be used: it cannot be trusted with a Delta log, as far as known."""


class Unproven(UnsafeStore):
    """It could not be tried: it denies what the probe asks for."""


class StoreAway(Unproven):
    """It could not be tried: it does not answer, or only with errors of its own."""


class StoreProof:
    """Whether this process may commit to its object store: found out once. Thread-safe.

    That the store is safe is final, and so is that it is not: a race that an unsafe store sometimes
    gets right would be got right sooner or later. A lake in a local directory needs no proof.

    Attributes:
        proven: Whether it may.
    """

    def __init__(self, settings: Settings) -> None:
        self.proven = not settings.root.startswith("s3://")
        self._settings = settings
        self._lock = Lock()
        self._verdict: UnsafeStore | None = None
        self._verdict_ends = 0.0

    def prove(self) -> None:
        """Return once the store is proven safe.

        Raises:
            StoreAway, Unproven: It is not known yet. It may be asked again; for a second the answer
                stays the same, so that several who ask make one probe.
            UnsafeStore: It is not safe.
        """
        with self._lock:
            if self.proven:
                return
            if self._verdict is not None and time.monotonic() < self._verdict_ends:
                raise type(self._verdict)(str(self._verdict))
            try:
                # With a spool nobody has to wait for a store that stalls.
                patient = not self._settings.spool_max_bytes
                probe_store(self._settings, s3_client(self._settings, patient=patient))
            except UnsafeStore as error:
                unknown = isinstance(error, Unproven)
                self._verdict = error
                self._verdict_ends = time.monotonic() + _PAUSE_SECONDS if unknown else math.inf
                raise
            self.proven = True


def probe_store(settings: Settings, client: Any | None = None) -> None:  # noqa: ANN401
    """Race `WRITERS` conditional PUTs for one key; exactly one may win.

    Raises:
        StoreAway: The store does not answer.
        Unproven: It denies the request.
        UnsafeStore: None or several won.
    """
    s3 = client or s3_client(settings)
    try:
        for _ in range(_RACES):
            winners, repeated = _race(s3, settings.s3_bucket)
            # Of a PUT whose answer was lost the client tells only how its repetition fared: the
            # winner may be among them.
            if winners or not repeated:
                break
        else:
            raise StoreAway("the object store answers too seldom to be tried")
    except (NotConnected, HTTPClientError) as error:
        raise StoreAway(f"the object store does not answer: {type(error).__name__}") from error
    except ClientError as error:
        status, code = _status(error), error.response["Error"].get("Code", "")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            raise StoreAway(f"the object store answers {status} {code}") from error
        raise Unproven(f"the object store answers {status} {code}") from error
    except BotoCoreError as error:
        raise Unproven(f"the object store cannot be asked: {type(error).__name__}") from error
    if winners != 1:
        raise UnsafeStore(
            f"{winners} of {WRITERS} concurrent create-if-absent PUTs won where exactly one may: "
            "this store would lose acknowledged commits"
        )


def _race(s3: Any, bucket: str) -> tuple[int, bool]:  # noqa: ANN401
    """Return how many writers won, and whether the client repeated a PUT of one that lost."""
    key = f"_probe/{new_uuid7().hex}"

    def put(writer: int) -> tuple[bool, bool]:
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=str(writer).encode(), IfNoneMatch="*")
        except ClientError as error:
            if _status(error) in _LOST:
                return False, error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
            raise
        return True, False

    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(pool.map(put, range(WRITERS)))
    s3.delete_object(Bucket=bucket, Key=key)
    return sum(won for won, _ in results), any(repeated for _, repeated in results)


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]
