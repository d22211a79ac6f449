"""A ledger accounts for every event, and a file gives back the same totals."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.ledger import Entry, Ledger, LedgerError

pytestmark = pytest.mark.unit
NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)
COUNTS = st.integers(0, 1_000)


def entry(source: str = "mobile", events: int | None = None, **counts: int) -> Entry:
    total = sum(value for name, value in counts.items() if name != "broken_attempts")
    empty = Entry(0, source, "/ingest", NOW, NOW, total if events is None else events)
    return replace(empty, **counts)


@given(st.lists(st.tuples(st.sampled_from(["mobile", "wearable"]), *[COUNTS] * 5)))
def test_totals_are_the_sum_of_the_entries(rows: list[tuple[str, int, int, int, int, int]]) -> None:
    ledger = Ledger()
    for source, accepted, duplicate, rejected, unreadable, unacknowledged in rows:
        ledger.record(
            entry(
                source,
                accepted=accepted,
                duplicate=duplicate,
                rejected=rejected,
                unreadable=unreadable,
                unacknowledged=unacknowledged,
            )
        )
    totals = ledger.totals()
    assert sum(each.sent for each in totals.values()) == sum(sum(row[1:]) for row in rows)
    assert all(each.sent == each.accounted for each in totals.values())


def test_an_entry_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(LedgerError, match="had 10 events"):
        Ledger().record(entry(events=10, accepted=9))


def test_a_file_gives_the_totals_back_without_its_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "run.jsonl"
    with Ledger(path) as ledger:
        ledger.record(entry(accepted=3, duplicate=1, broken_attempts=1))
        ledger.record(entry("wearable", rejected=2))
    with path.open("ab") as file:
        file.write(b'{"post": 2, "sou')
    totals = Ledger.read(path).totals()
    assert totals == ledger.totals()
    assert totals["mobile"].recovered == 1
