"""The CSV inbox: every file is taken whole and once, whatever happens on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from botocore.exceptions import BotoCoreError

from ingest_lambda.edge import Edge
from ingest_lambda.inbox import Inbox
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
