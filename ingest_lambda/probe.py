"""Proves that the object store does an atomic create-if-absent before anything is accepted.

Delta's log is safe only where `PUT If-None-Match: *` has one winner. Stores that ignore the
header lose acknowledged commits without a word, so the edge refuses to serve on them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from telemetry_platform.ids import new_uuid7
from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

WRITERS = 16
_LOST = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT})


class UnsafeStore(RuntimeError):
    """The object store cannot be trusted with a Delta log, or cannot be reached."""


def probe_store(settings: Settings, client: Any | None = None) -> None:  # noqa: ANN401
    """Race `WRITERS` conditional PUTs for one key; exactly one may win.

    Raises:
        UnsafeStore: None or several won, or the store does not answer.
    """
    s3 = client or s3_client(settings)
    key = f"_probe/{new_uuid7().hex}"

    def put(writer: int) -> bool:
        try:
            s3.put_object(
                Bucket=settings.s3_bucket, Key=key, Body=str(writer).encode(), IfNoneMatch="*"
            )
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in _LOST:
                return False
            raise
        return True

    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            winners = sum(pool.map(put, range(WRITERS)))
        s3.delete_object(Bucket=settings.s3_bucket, Key=key)
    except (BotoCoreError, ClientError) as error:
        raise UnsafeStore(f"the object store does not answer: {type(error).__name__}") from error
    if winners != 1:
        raise UnsafeStore(
            f"{winners} of {WRITERS} concurrent create-if-absent PUTs won where exactly one may: "
            "this store would lose acknowledged commits"
        )
