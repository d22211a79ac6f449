"""The backlog: every change is asked for in the end, none while its hour is being run."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from telemetry_assets.lakehouse.backlog import Backlog, run_key
from telemetry_assets.lakehouse.delta_log import Changes

TABLES = ("landing/events", "landing/rejected")
HOURS = ("2026-11-22T13", "2026-11-22T14", "2026-11-22T15")

changes = st.tuples(
    st.sampled_from(TABLES),
    st.dictionaries(
        st.tuples(st.sampled_from(["mobile", "wearable"]), st.sampled_from(HOURS)), st.just(0)
    ),
)
steps = st.lists(
    st.tuples(st.lists(changes, max_size=3), st.sets(st.sampled_from(HOURS)), st.integers(1, 3)),
    max_size=12,
)


@given(script=steps)
def test_every_change_is_taken_once_and_never_while_its_hour_is_busy(
    script: list[tuple[list[tuple[str, dict[tuple[str, str], int]]], set[str], int]],
) -> None:
    backlog = Backlog()
    versions: dict[str, int] = defaultdict(lambda: -1)
    owed: dict[str, dict[str, int]] = defaultdict(dict)
    sources: dict[str, set[str]] = defaultdict(set)
    for arrived, busy, limit in [*script, ([], set(), len(HOURS))]:
        for table, partitions in arrived:
            versions[table] += 1
            touched = dict.fromkeys(partitions, versions[table])
            backlog.add(table, Changes(versions[table], touched))
            for source, hour in touched:
                owed[hour][table] = versions[table]
                sources[hour].add(source)
        # A cursor is all that is left of a backlog between two ticks.
        backlog = Backlog.parse(backlog.dump())
        taken = backlog.take(busy, limit)
        assert not busy & set(taken)
        assert len(taken) <= limit
        free = sorted(owed.keys() - busy)
        wanted = free if len(free) <= limit else [*free[: limit - 1], free[-1]]
        assert list(taken) == wanted
        for hour, entry in taken.items():
            assert entry["versions"] == owed.pop(hour)
            assert entry["sources"] == sorted(sources.pop(hour))
    assert not owed
    assert not backlog.waiting
    assert backlog.versions == versions


def test_without_a_cursor_everything_is_new() -> None:
    assert Backlog.parse(None) == Backlog.parse("") == Backlog({}, {})


def test_hours_of_a_source_without_a_contract_wait_until_it_has_one() -> None:
    backlog = Backlog()
    changes = Changes(7, {("mobile", HOURS[0]): 6, ("soil", HOURS[1]): 7})
    assert backlog.add(TABLES[0], changes, {"mobile"})
    assert not backlog.add(TABLES[0], Changes(8, {("soil", HOURS[2]): 8}), {"mobile"})
    assert list(backlog.take(set(), 9)) == [HOURS[0]]
    backlog = Backlog.parse(backlog.dump())
    backlog.recognise(TABLES[0], {"mobile", "soil"})
    taken = backlog.take(set(), 9)
    assert {hour: entry["versions"] for hour, entry in taken.items()} == {
        HOURS[1]: {TABLES[0]: 7},
        HOURS[2]: {TABLES[0]: 8},
    }
    assert not backlog.unknown


def test_what_is_read_again_from_the_beginning_is_run_where_it_is_not_settled() -> None:
    backlog = Backlog()
    backlog.recover(TABLES[0])
    for version, hour in enumerate(HOURS):
        backlog.add(TABLES[0], Changes(version, {("mobile", hour): version}))
        backlog = Backlog.parse(backlog.dump())
        assert not backlog.waiting
    backlog.recovered(TABLES[0], {("mobile", HOURS[1]), ("wearable", HOURS[2])})
    assert list(backlog.take(set(), 9)) == [HOURS[0], HOURS[2]]
    assert not backlog.recovering


def test_a_run_is_named_after_its_changes() -> None:
    def key(**versions: int) -> str:
        backlog = Backlog()
        for table, version in versions.items():
            backlog.add(table, Changes(version, {("mobile", HOURS[0]): version}))
        return run_key(HOURS[0], backlog.take(set(), 1)[HOURS[0]])

    assert key(a=1, b=2) == key(b=2, a=1)
    assert len({key(a=1), key(a=2), key(b=1), key(a=1, b=1)}) == 4
