"""Recent ids: bounded, and pending until the commit is over."""

from __future__ import annotations

import uuid
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_lambda.recent import RecentIds, event_keys

pytestmark = pytest.mark.unit

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
KEY = event_keys("mobile", [ID])[0]


def test_an_id_is_a_duplicate_while_its_first_copy_is_under_way() -> None:
    recent = RecentIds(10)
    commit: Future[int | None] = Future()
    assert recent.fresh([KEY]) == ([True], set())
    recent.claim([KEY], commit)
    assert recent.fresh([KEY]) == ([False], {commit})
    commit.set_result(1)
    assert recent.fresh([KEY]) == ([False], set())


def test_an_id_whose_commit_failed_is_new_again() -> None:
    recent = RecentIds(10)
    commit: Future[int | None] = Future()
    recent.claim([KEY], commit)
    commit.set_exception(RuntimeError())
    assert recent.fresh([KEY]) == ([True], set())


def test_the_same_id_of_another_source_is_another_event() -> None:
    recent = RecentIds(10)
    recent.remember([KEY])
    assert recent.fresh(event_keys("wearable", [ID]))[0] == [True]


def test_equal_ids_written_differently_are_equal() -> None:
    assert event_keys("mobile", [ID.upper()])[0] == KEY


@given(count=st.integers(1, 200), capacity=st.integers(2, 50))
def test_memory_is_bounded_and_the_newest_are_kept(count: int, capacity: int) -> None:
    recent = RecentIds(capacity)
    keys = event_keys("s", [str(uuid.UUID(int=n)) for n in range(count)])
    for key in keys:
        recent.remember([key])
    assert len(recent) <= capacity
    kept = keys[-max(1, capacity // 2) :]
    assert not any(recent.fresh(kept)[0])
