"""State: one stack per home, processes recognised, a broken file survived."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from telemetry_cli.embedded.state import ProcessMark, StackLock, StackState
from telemetry_cli.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit


def test_a_second_stack_of_a_home_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    with StackLock(tmp_path), pytest.raises(CommandError, match=str(os.getpid())):
        StackLock(tmp_path).__enter__()


def test_the_lock_is_free_after_its_holder(tmp_path: Path) -> None:
    with StackLock(tmp_path):
        pass
    with StackLock(tmp_path):
        pass


def test_state_survives_writing_and_reading(tmp_path: Path) -> None:
    mark = ProcessMark.of(os.getpid())
    state = StackState(mark, {"s3": 1}, {"s3": None}, {"s3": mark})
    state.write(tmp_path)
    assert StackState.read(tmp_path) == state
    assert StackState.read(tmp_path).running


def test_a_process_id_that_another_process_has_now_is_not_recognised() -> None:
    mark = ProcessMark.of(os.getpid())
    assert mark.process() is not None
    assert ProcessMark(mark.pid, mark.created_at - 3600).process() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ports": 1}'])
def test_a_broken_state_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    assert StackState.read(tmp_path) == StackState()


def test_ports_are_forgotten_when_another_is_wished_for() -> None:
    state = StackState(ports={"s3": 9000, "edge": 9001}, preferred={"s3": 8333, "edge": 8080})
    assert state.remembered({"s3": 8333, "edge": 18080}) == {"s3": 9000}
