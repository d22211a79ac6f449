"""The spool: on the disk, sealed, in order, bounded, one process at a time."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import polars as pl
import pytest

from ingest_lambda.spool import Batch, Spool, SpoolFull, SpoolInUse
from telemetry_contracts.sealing import SealBox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.unit

BOX = SealBox.generate()
PLENTY = 1_000_000


def batch(sequence: int, *values: str) -> Batch:
    return Batch(sequence, pl.DataFrame({"payload": list(values)}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "events.sqlite3"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool = Spool(path, BOX, PLENTY)
    yield spool
    spool.close()


def test_batches_come_back_whole_oldest_first(spool: Spool) -> None:
    for number in (1, 2, 10):
        spool.append(batch(number, f"value {number}"))
    assert spool.last_sequence == 10
    seen = []
    while (first := spool.first()) is not None:
        seen.append((first.sequence, first.frame["payload"].to_list()))
        spool.drop(first.sequence)
    assert seen == [(number, [f"value {number}"]) for number in (1, 2, 10)]
    assert (spool.empty, spool.bytes, spool.last_sequence, spool.age_seconds) == (True, 0, 0, 0)


def test_another_process_finds_what_the_first_one_left(path: Path) -> None:
    first = Spool(path, BOX, PLENTY)
    first.append(batch(7, "kept"))
    identity, size = first.app_id, first.bytes
    first.close()
    second = Spool(path, BOX, PLENTY)
    assert (second.app_id, second.bytes, second.last_sequence) == (identity, size, 7)
    kept = second.get(7)
    assert kept is not None
    assert (second.sequences(), kept.frame["payload"].to_list()) == ([7], ["kept"])
    assert second.get(8) is None
    assert second.age_seconds > 0
    second.close()


def test_reserved_numbers_are_given_once_and_outlive_the_process(path: Path) -> None:
    spool = Spool(path, BOX, PLENTY)
    assert [spool.reserve(10), spool.reserve(10), spool.reserve(1, above=50)] == [1, 11, 51]
    spool.append(batch(60, "x"))
    spool.close()
    again = Spool(path, BOX, PLENTY)
    assert again.reserve(5) == 61
    again.close()


def test_a_spool_from_before_reservations_starts_far_beyond_its_numbers(path: Path) -> None:
    Spool(path, BOX, PLENTY).close()
    with closing(sqlite3.connect(path)) as store:
        store.execute("drop table numbering")
    spool = Spool(path, BOX, PLENTY)
    assert spool.reserve(1) > 10**12
    spool.close()


def test_nothing_plain_rests_on_the_disk(path: Path, spool: Spool) -> None:
    spool.append(batch(1, *[f"secret-{n}" for n in range(50)]))
    for file in path.parent.iterdir():
        assert b"secret-" not in file.read_bytes()
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_full_spool_takes_nothing_more_until_it_is_drained(path: Path) -> None:
    spool = Spool(path, BOX, 1)
    with pytest.raises(SpoolFull):
        spool.append(batch(1, "too much"))
    spool.close()
    roomy = Spool(path, BOX, PLENTY)
    roomy.append(batch(1, "x"))
    small = roomy.bytes
    roomy.close()
    tight = Spool(path, BOX, small + 10)
    with pytest.raises(SpoolFull):
        tight.append(batch(2, "x"))
    assert tight.last_sequence == 1
    tight.drop(1)
    tight.append(batch(2, "x"))
    tight.close()


def test_two_processes_never_share_a_spool(path: Path, spool: Spool) -> None:
    spool.append(batch(1, "x"))
    program = (
        "import sys, pathlib; from ingest_lambda.spool import Spool, SpoolInUse\n"
        "from telemetry_contracts.sealing import SealBox\n"
        "try: Spool(pathlib.Path(sys.argv[1]), SealBox.generate(), 1)\n"
        "except SpoolInUse: sys.exit(3)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=120)
    assert done.returncode == 3
    with pytest.raises(SpoolInUse):
        Spool(path, BOX, PLENTY)
