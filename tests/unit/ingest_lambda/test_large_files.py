"""Large CSV files: in batches, each row once, whatever stops in the middle."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ingest_lambda.edge import Edge, open_edge
from ingest_lambda.file_landing import Filing
from ingest_lambda.inbox import Inbox
from ingest_lambda.inbox_objects import InboxObjects
from ingest_lambda.large_files import LargeFile, Stopped
from telemetry_contracts.csv_encoding import content_hash
from tests.unit.ingest_lambda.bucket import Bucket
from tests.unit.ingest_lambda.test_inbox import ERRORS, EVENTS, FILES, WATCH, readings

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from telemetry_platform.settings import Settings

    Rows = Callable[[str], pl.DataFrame]

pytestmark = pytest.mark.unit


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


class Large:
    """One large file, landed in small batches."""

    def __init__(self, edge: Edge, bucket: Bucket, content: bytes, name: str = "big.csv") -> None:
        bucket.objects[f"inbox/{name}"] = content
        self.edge = edge
        self.objects = InboxObjects(edge.settings, bucket, edge.box)
        (self.waiting,) = self.objects.waiting(f"inbox/{name}")

    def land(self, batches: int | None = None) -> Filing:
        """Land the file, or stop after some batches as a crash would."""
        asked = 0

        def stopped() -> bool:
            nonlocal asked
            asked += 1
            return batches is not None and asked > batches

        with self.objects.download(self.waiting) as stream:
            digest = content_hash(stream)
            return LargeFile(
                self.edge, self.objects, self.waiting, None, digest, stream, stopped, 10_000
            ).land()


def test_a_large_file_lands_in_batches_as_a_small_one_does(
    edge: Edge, bucket: Bucket, rows: Rows
) -> None:
    content = readings(2_000, 100)
    filing = Large(edge, bucket, content).land()
    assert (filing.rows, filing.accepted, filing.rejected, filing.duplicate) == (2000, 1980, 20, 0)
    parts = [key for key in bucket.keys("quarantine/") if key.endswith(".rows.csv")]
    assert len(parts) > 5
    large = rows(EVENTS).sort("event_id")
    assert large["receipt_id"].unique().to_list() == [filing.receipt.id]
    assert sorted(rows(ERRORS)["row_number"]) == list(range(2, 2_000, 100))
    numbers = sorted(json.loads(payload)["_row"] for payload in large["payload"])
    assert numbers == [n for n in range(1, 2_001) if n % 100 != 2]


def test_a_crash_in_the_middle_of_a_large_file_loses_and_doubles_nothing(
    edge: Edge, settings: Settings, bucket: Bucket, rows: Rows
) -> None:
    content = readings(2_000, 100)
    with pytest.raises(Stopped):
        Large(edge, bucket, content).land(batches=5)
    landed = rows(EVENTS).height
    assert 0 < landed < 1_980
    edge.close()
    # Nothing of the first try is remembered: the table alone says what is there.
    again = open_edge(settings.model_copy(update={"recent_ids": 2}))
    with pytest.raises(Stopped):
        Large(again, bucket, content).land(batches=8)
    filing = Large(again, bucket, content).land()
    again.close()
    assert (filing.rows, filing.accepted, filing.rejected, filing.duplicate) == (2000, 1980, 20, 0)
    found = rows(EVENTS)
    assert found.height == found["event_id"].n_unique() == 1_980
    assert found["receipt_id"].n_unique() == 1
    assert rows(ERRORS)["row_number"].n_unique() == rows(ERRORS).height == 20
    stems = {key.rsplit(".", 3)[1] for key in bucket.keys("quarantine/")}
    assert len(bucket.keys("quarantine/")) == 2 * len(stems)


def test_a_large_file_that_is_corrupt_far_behind_lands_nothing(
    edge: Edge, bucket: Bucket, rows: Rows
) -> None:
    for broken in (b"caf\xc3\xa9\xc3", b'"'):
        filing = Large(edge, bucket, readings(2_000) + broken).land()
        assert filing.outcome == "unreadable"
        assert rows(EVENTS).is_empty()


def test_a_file_above_the_limit_goes_through_the_inbox_once(
    edge: Edge, bucket: Bucket, rows: Rows
) -> None:
    inbox = Inbox(edge, bucket, batch_bytes=100_000)
    header = WATCH.encode() + b",note\n"
    lines = b"".join(
        b"w,2026-11-01T%02d:%02d:00,60,a@b.org,\n" % (n // 60, n % 60)
        for n in range(1_400)
        for _ in range(2)
    )
    for _ in range(2):
        bucket.objects["inbox/wearable/big.csv"] = header + lines
        assert inbox.look_once() == 1
    files = rows(FILES).sort("received_at")
    assert files.select("outcome", "accepted").rows() == [("landed", 1_400), ("repeated", 0)]
    assert rows(EVENTS).height == files["duplicate"][0] == 1_400
    assert bucket.keys("inbox/") == bucket.keys("inbox-progress/") == []
    first, again = files["receipt_id"]
    for receipt in (first, again):
        parts = bucket.keys(f"inbox-done/{receipt}/")
        opened = [edge.box.open(bucket.objects[f"inbox-done/{receipt}/{part}"]) for part in parts]
        assert b"".join(opened) == header + lines
