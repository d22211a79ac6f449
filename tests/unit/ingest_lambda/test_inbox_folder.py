"""The watched folder: a file is taken whole, when it has stopped changing, and not before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ingest_lambda.inbox_folder import FolderFeeder
from tests.unit.ingest_lambda.bucket import Bucket

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "inbox").mkdir()
    return settings.model_copy(update={"inbox_dir": tmp_path / "inbox"})


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
