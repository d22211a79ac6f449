"""The CSV inbox: every file is taken whole and once, whatever happens on the way."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import polars as pl
import pytest
from botocore.exceptions import BotoCoreError

from ingest_lambda import large_files
from ingest_lambda.edge import Edge, open_edge
from ingest_lambda.inbox import Inbox
from ingest_lambda.inbox_folder import FolderFeeder
from ingest_lambda.inbox_objects import InboxObjects
from ingest_lambda.large_files import LargeFile, Stopped
from telemetry_contracts.csv_encoding import content_hash
from tests.unit.ingest_lambda.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from telemetry_platform.settings import Settings

    Rows = Callable[[str], pl.DataFrame]

pytestmark = pytest.mark.unit

EVENTS, FILES, ERRORS = "landing/events", "landing/files", "landing/file_errors"
HEADER = "sensor_id;location;lat;lon;timestamp;pressure;temperature;humidity"
WATCH = "device_id,event_time,heart_rate_bpm,user_email"


def reading(number: int, temperature: str = "21.5") -> str:
    moment = f"2026-11-{1 + number // 86_400:02}T{number // 3600 % 24:02}:{number // 60 % 60:02}"
    return f"7;2;42.1;23.1;{moment}:{number % 60:02};94000;{temperature};40.5"


def readings(count: int, bad_every: int = 10_000) -> bytes:
    lines = [reading(n, "warm" if n % bad_every == 1 else "21.5") for n in range(count)]
    return "\n".join([HEADER, *lines, ""]).encode()


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    folders = {"inbox_dir": tmp_path / "inbox", "quarantine_dir": tmp_path / "quarantine"}
    (tmp_path / "inbox").mkdir()
    return settings.model_copy(update=folders)


@pytest.fixture
def inbox(edge: Edge, bucket: Bucket) -> Iterator[Inbox]:
    inbox = Inbox(edge, bucket)
    yield inbox
    inbox.stop()


def drop(settings: Settings, name: str, content: bytes) -> Path:
    assert settings.inbox_dir is not None
    path = settings.inbox_dir / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_taken_when_it_has_stopped_growing(settings: Settings, bucket: Bucket) -> None:
    feeder = FolderFeeder(settings, settings.inbox_dir or settings.home, bucket)
    path = drop(settings, "slow.csv", b"sensor_id;lat\n")
    assert feeder.feed() == 0
    with path.open("ab") as file:
        file.write(b"1;2\n")
    assert feeder.feed() == 0
    assert feeder.feed() == 1
    assert bucket.objects == {"inbox/slow.csv": b"sensor_id;lat\n1;2\n"}


def test_a_file_that_changes_while_it_is_uploaded_is_taken_back(settings: Settings) -> None:
    whole = b"sensor_id;lat\n1;2\n"
    path = drop(settings, "late.csv", b"sensor_id;lat\n")

    class Slow(Bucket):
        def put_object(self, *, Key: str, **rest: object) -> None:  # noqa: N803
            super().put_object(Key=Key, **rest)  # ty: ignore[invalid-argument-type]
            if path.stat().st_size < len(whole):
                path.write_bytes(whole)

    bucket = Slow()
    feeder = FolderFeeder(settings, settings.inbox_dir or settings.home, bucket)
    assert [feeder.feed(), feeder.feed()] == [0, 0]
    assert bucket.objects == {}
    assert feeder.feed() + feeder.feed() == 1
    assert bucket.objects == {"inbox/late.csv": whole}


def test_a_file_under_another_name_is_left_alone_until_it_is_renamed(
    settings: Settings, bucket: Bucket
) -> None:
    feeder = FolderFeeder(settings, settings.inbox_dir or settings.home, bucket)
    for name in (".hidden.csv", "half.csv.part"):
        drop(settings, name, b"x")
    assert [feeder.feed(), feeder.feed()] == [0, 0]
    part = drop(settings, "half.csv.part", b"x")
    part.rename(part.with_suffix(""))
    assert [feeder.feed(), feeder.feed()] == [0, 1]


def test_a_file_waits_for_the_yaml_file_beside_it(settings: Settings, bucket: Bucket) -> None:
    feeder = FolderFeeder(settings, settings.inbox_dir or settings.home, bucket)
    path = drop(settings, "room.csv", b"7;21,5\n")
    feeder.feed()
    drop(settings, "room.csv.yaml", b"columns: [a")
    assert feeder.feed() == 0
    beside = drop(settings, "room.csv.yaml", b"columns: [a, b]")
    os.utime(beside, ns=(0, 0))
    assert [feeder.feed(), feeder.feed()] == [0, 1]
    assert bucket.objects["inbox/room.csv.yaml"] == b"columns: [a, b]"
    assert not path.exists()
    assert not beside.exists()


def test_a_headless_file_lands_by_the_yaml_file_beside_it(
    inbox: Inbox, bucket: Bucket, rows: Rows
) -> None:
    names = ", ".join(HEADER.split(";"))
    bucket.objects["inbox/room.csv"] = reading(1).replace(".", ",").encode()
    bucket.objects["inbox/room.csv.yaml"] = f"columns: [{names}]\n".encode()
    bucket.objects["inbox/odd.csv"] = reading(2).encode()
    bucket.objects["inbox/odd.csv.yaml"] = b"colums: [a]"
    assert inbox.look_once() == 2
    found = rows(FILES).sort("file").select("file", "outcome", "accepted", "message").rows()
    assert found[0][:3] == ("odd.csv", "unreadable", 0)
    assert "colums" in found[0][3]
    assert found[1] == ("room.csv", "landed", 1, "assumed: decimal commas")
    assert bucket.keys("inbox/") == []
    kept = [key.split(".", 1)[-1] for key in bucket.keys("quarantine/odd.csv.")]
    assert sorted(kept) == ["csv", "csv.yaml", "log.csv"]


def test_a_file_that_was_landed_wrong_can_be_dropped_again_with_a_yaml_file(
    inbox: Inbox, bucket: Bucket, rows: Rows
) -> None:
    thousands = f"{HEADER}\n{reading(1, '1,500')}\n".encode()
    bucket.objects["inbox/room.csv"] = thousands
    inbox.look_once()
    bucket.objects["inbox/room.csv"] = thousands.replace(b"42.1;23.1", b"42.1;23.1")
    bucket.objects["inbox/room.csv.yaml"] = b"rename: {}\ndecimal: '.'"
    inbox.look_once()
    assert rows(FILES)["outcome"].to_list() == ["landed", "landed"]


def test_errors_are_a_table_with_personal_values_as_tokens(
    inbox: Inbox, edge: Edge, bucket: Bucket, rows: Rows
) -> None:
    lines = (WATCH, "w,2026-11-01T00:00:00,60,a@b.org", f"w,2026-11-01,600,{'x' * 5000}")
    bucket.objects["inbox/wearable/watch.csv"] = "\n".join(lines).encode()
    bucket.objects["inbox/zip.csv"] = b"PK\x03\x04" + bytes(range(256))
    assert inbox.look_once() == 2
    (landed,) = rows(FILES).filter(file="watch.csv").to_dicts()
    found = rows(ERRORS).sort("file", "column_name", nulls_last=True)
    assert found.select("file", "row_number", "column_name", "rule", "value").rows() == [
        ("watch.csv", 2, "heart_rate_bpm", "range.heart_rate_bpm", "600"),
        ("watch.csv", 2, "user_email", "length", edge.keyring.token("x" * 5000)),
        ("zip.csv", None, None, "file", None),
    ]
    assert found["receipt_id"][0] == landed["receipt_id"]
    assert found["message"].null_count() == 0
    assert found.select("source", "received_hour").unique().height == 2


def test_a_corrupt_file_goes_to_quarantine_whole_and_the_others_land(
    inbox: Inbox, settings: Settings, bucket: Bucket, rows: Rows
) -> None:
    corrupt = f"{HEADER}\n{reading(1)}\n".encode().replace(b"21.5", b"\xff\x00\xc3")
    bucket.objects["inbox/a.csv"] = corrupt
    bucket.objects["inbox/b.csv"] = readings(3, 2)
    assert inbox.look_once() == 2
    files = rows(FILES).sort("file")
    assert files.select("outcome", "rows", "accepted", "rejected").rows() == [
        ("unreadable", 0, 0, 0),
        ("landed", 3, 2, 1),
    ]
    name = f"a.csv.{files['receipt_id'][0]}"
    assert bucket.objects[f"quarantine/{name}.csv"] == corrupt
    assert settings.quarantine_dir is not None
    assert (settings.quarantine_dir / f"{name}.csv").read_bytes() == corrupt
    log = pl.read_csv(settings.quarantine_dir / f"{name}.log.csv")
    assert log["message"].to_list() == [files["message"][0]]


def test_a_repeated_file_of_personal_values_is_kept_sealed(inbox: Inbox, bucket: Bucket) -> None:
    for _ in range(2):
        bucket.objects["inbox/wearable/w.csv"] = f"{WATCH}\nw,2026-11-01,60,a@b.org\n".encode()
        assert inbox.look_once() == 1
    kept = bucket.keys("inbox-done/")
    assert len(kept) == 2
    assert all(key.endswith(".sealed") for key in kept)


def test_a_file_waits_while_storage_is_away(inbox: Inbox, bucket: Bucket, rows: Rows) -> None:
    bucket.objects["inbox/a.csv"] = readings(3)
    bucket.away = True
    with pytest.raises(BotoCoreError):
        inbox.look_once()
    bucket.away = False
    assert inbox.look_once() == 1
    assert rows(FILES)["accepted"].to_list() == [2]


class Large:
    """One large file, landed in small batches."""

    def __init__(self, edge: Edge, bucket: Bucket, content: bytes, name: str = "big.csv") -> None:
        bucket.objects[f"inbox/{name}"] = content
        self.edge = edge
        self.objects = InboxObjects(edge.settings, bucket, edge.box)
        (self.waiting,) = self.objects.waiting(f"inbox/{name}")

    def land(self, batches: int | None = None) -> large_files.Filing:
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
    edge: Edge, inbox: Inbox, bucket: Bucket, rows: Rows
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
