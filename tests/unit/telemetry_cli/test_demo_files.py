"""Files reach the inbox whole, and are followed by what the edge noted of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from telemetry_cli.demo_files import drop_files, find_files, landed_files, wait_for_landing
from telemetry_cli.errors import CommandError
from telemetry_platform.delta import cast_strict, ensure_table
from telemetry_platform.layout import LANDING_FILES
from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit
NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)


def test_folders_and_files_are_found_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    for name in ("b.csv", "a.csv", "notes.txt"):
        (folder / name).write_text("x")
    single = tmp_path / "c.csv"
    single.write_text("x")
    assert [path.name for path in find_files([folder, single])] == ["a.csv", "b.csv", "c.csv"]


def test_what_is_no_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no CSV file"):
        find_files([tmp_path / "missing.csv"])
    with pytest.raises(CommandError, match="no CSV file"):
        find_files([tmp_path])


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text("1")
    with pytest.raises(CommandError, match="same name"):
        find_files([tmp_path / "x", tmp_path / "y"])


def test_the_inbox_gets_copies_and_keeps_no_drafts(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("1\n2\n")
    inbox = tmp_path / "inbox"
    drop_files([source], inbox)
    assert [(path.name, path.read_text()) for path in inbox.iterdir()] == [("a.csv", "1\n2\n")]
    assert source.exists()


def settings_with(tmp_path: Path, *rows: tuple[str, datetime, int]) -> Settings:
    settings = Settings(lake_root=str(tmp_path / "lake"))
    table = ensure_table(settings, LANDING_FILES)
    frame = pl.DataFrame(
        [
            {
                **dict.fromkeys(LANDING_FILES.schema),
                "receipt_id": f"rcp_{number}",
                "file": name,
                "source": "environment",
                "rows": count,
                "accepted": count,
                "duplicate": 0,
                "rejected": 0,
                "outcome": "landed",
                "received_at": moment,
                "received_hour": f"{moment:%Y-%m-%dT%H}",
            }
            for number, (name, moment, count) in enumerate(rows)
        ],
        infer_schema_length=None,
    )
    write_deltalake(table, cast_strict(frame, LANDING_FILES.schema), mode="append")
    return settings


def test_only_this_runs_last_entry_of_a_file_counts(tmp_path: Path) -> None:
    settings = settings_with(
        tmp_path,
        ("a.csv", NOW - timedelta(hours=1), 9),
        ("a.csv", NOW, 3),
        ("a.csv", NOW + timedelta(seconds=1), 4),
        ("other.csv", NOW, 5),
    )
    (landed,) = landed_files(settings, {"a.csv", "b.csv"}, NOW)
    assert (landed.file, landed.rows, landed.message) == ("a.csv", 4, "")


def test_a_file_that_does_not_land_is_named(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, ("a.csv", NOW, 3))
    files = [Path("a.csv"), Path("b.csv")]
    with pytest.raises(CommandError, match=r"1 of 2 files .* b\.csv"):
        wait_for_landing(settings, files, NOW, seconds=-1, on_poll=lambda _: None)


def test_before_the_first_file_there_is_nothing(tmp_path: Path) -> None:
    assert landed_files(Settings(lake_root=str(tmp_path)), {"a.csv"}, NOW) == []
