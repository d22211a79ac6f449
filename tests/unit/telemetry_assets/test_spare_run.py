"""A run gets the process that waits for it, and no run ever lacks one."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from telemetry_assets.spare_run import SpareContext
from tests.stack_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

_SECONDS = 240


def be_quick() -> None:
    """Have nothing to import."""


def tell_pid(word: str, queue: Any, event: Any) -> None:
    """Do what a run does: report, then go on until it is told to end."""
    queue.put((word, os.getpid()))
    event.wait(_SECONDS)


@pytest.fixture
def runs() -> Generator[SpareContext]:
    """A context with a spare process, whose processes are gone afterwards."""
    yield from prepared(ahead_seconds=_SECONDS)


@pytest.fixture
def steady_runs() -> Generator[SpareContext]:
    """The same, with the next spare started as soon as a run has begun."""
    yield from prepared(ahead_seconds=0)


def prepared(ahead_seconds: float) -> Generator[SpareContext]:
    """Make a context with a spare process, and end its processes afterwards."""
    forkserver = multiprocessing.get_context("forkserver")
    context = SpareContext(forkserver, be_quick, ahead_seconds)
    context.prepare()
    yield context
    context.close()
    for process in multiprocessing.active_children():
        process.kill()
        process.join()


def launch(runs: SpareContext, word: str) -> tuple[Any, Any, Any]:
    """Start a run the way Dagster's server does."""
    queue, event = runs.Queue(), runs.Event()
    process = runs.Process(target=tell_pid, args=[word, queue, event])
    process.start()
    return process, queue, event


def spare_pid() -> int:
    (spare,) = multiprocessing.active_children()
    assert spare.pid is not None
    return spare.pid


def test_a_run_is_executed_by_the_process_that_waits(runs: SpareContext) -> None:
    waiting = spare_pid()
    process, queue, event = launch(runs, "first")
    assert queue.get(timeout=_SECONDS) == ("first", waiting)
    assert process.is_alive()
    event.set()
    process.join(_SECONDS)
    assert process.exitcode == 0


def test_a_run_beside_another_gets_a_process_of_its_own(runs: SpareContext) -> None:
    first, second = launch(runs, "first"), launch(runs, "second")
    one, pid = first[1].get(timeout=_SECONDS)
    two, other = second[1].get(timeout=_SECONDS)
    assert (one, two) == ("first", "second")
    assert pid != other


def test_the_next_process_waits_when_the_run_has_ended(runs: SpareContext) -> None:
    process, queue, event = launch(runs, "first")
    _, first = queue.get(timeout=_SECONDS)
    assert spare_pid() == first
    event.set()
    process.join(_SECONDS)
    runs.prepare()
    waiting = spare_pid()
    process, queue, event = launch(runs, "second")
    assert queue.get(timeout=_SECONDS) == ("second", waiting)
    assert waiting != first
    event.set()
    process.join(_SECONDS)


def test_the_next_process_waits_while_a_long_run_goes_on(steady_runs: SpareContext) -> None:
    first = spare_pid()
    process, _, event = launch(steady_runs, "first")
    wait_until(lambda: len(multiprocessing.active_children()) == 2, "the next process waits")
    (waiting,) = {child.pid for child in multiprocessing.active_children()} - {first}
    second, queue, told = launch(steady_runs, "second")
    assert queue.get(timeout=_SECONDS) == ("second", waiting)
    assert process.is_alive()
    for each, end in ((process, event), (second, told)):
        end.set()
        each.join(_SECONDS)


def test_a_run_is_forked_when_the_process_that_waited_was_killed(runs: SpareContext) -> None:
    (spare,) = multiprocessing.active_children()
    spare.kill()
    wait([spare.sentinel], _SECONDS)
    process, queue, event = launch(runs, "first")
    word, pid = queue.get(timeout=_SECONDS)
    assert word == "first"
    assert pid != spare.pid
    event.set()
    process.join(_SECONDS)


_SERVER = """
import multiprocessing
from telemetry_assets.spare_run import SpareContext
from tests.unit.telemetry_assets.test_spare_run import be_quick
SpareContext(multiprocessing.get_context("forkserver"), be_quick).prepare()
(spare,) = multiprocessing.active_children()
print(spare.pid)
"""


def test_a_server_that_ends_does_not_wait_for_the_process_that_waits() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SERVER],
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: not psutil.pid_exists(int(done.stdout)), "the waiting process ends too")
