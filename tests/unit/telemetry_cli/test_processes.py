"""Supervision: ready or a reason, ended in order, nothing left behind."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from telemetry_cli.embedded.processes import (
    Service,
    ServiceError,
    StartCancelledError,
    Supervisor,
    end_leftovers,
)
from telemetry_cli.embedded.state import ProcessMark
from tests.stack_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

pytestmark = pytest.mark.unit

SLEEP = "import time; print('started', flush=True); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]]); " + SLEEP


@pytest.fixture
def supervisor(tmp_path: Path) -> Generator[Supervisor]:
    with Supervisor(tmp_path) as made:
        yield made


def never() -> bool:
    return False


@pytest.fixture
def service(tmp_path: Path) -> Callable[..., Service]:
    def make(code: str, *words: str, deadline: float = 60.0) -> Service:
        log = tmp_path / "server.log"

        def probe(_: float) -> str | None:
            return None if log.exists() and "started" in log.read_text() else "not started"

        return Service(
            name="server",
            arguments=[sys.executable, "-c", code, *words],
            environment={},
            probe=probe,
            address="",
            deadline_seconds=deadline,
            stop_seconds=0.5,
        )

    return make


def test_a_server_that_ends_at_its_start_is_told_with_its_log(
    supervisor: Supervisor, service: Callable[..., Service]
) -> None:
    with pytest.raises(ServiceError, match="no disk left"):
        supervisor.start(service("raise SystemExit('no disk left')"), never)
    assert not supervisor.marks


def test_a_server_that_never_answers_is_ended_at_its_deadline(
    supervisor: Supervisor, service: Callable[..., Service]
) -> None:
    with pytest.raises(ServiceError, match="not started"):
        supervisor.start(service("import time; time.sleep(600)", deadline=0.2), never)
    assert not supervisor.marks


@pytest.mark.parametrize(
    ("code", "deadline", "told"),
    [("raise SystemExit(3)", 60.0, "ended with 3"), (SLEEP, 0.5, "too long")],
)
def test_a_step_that_fails_or_lasts_too_long_is_told(
    supervisor: Supervisor, service: Callable[..., Service], code: str, deadline: float, told: str
) -> None:
    with pytest.raises(ServiceError, match=told):
        supervisor.run(service(code, deadline=deadline), never)
    assert not supervisor.marks


def test_a_step_that_succeeds_leaves_nothing_running(
    supervisor: Supervisor, service: Callable[..., Service]
) -> None:
    supervisor.run(service("pass"), never)
    assert not supervisor.marks


def test_a_start_can_be_given_up(supervisor: Supervisor, service: Callable[..., Service]) -> None:
    with pytest.raises(StartCancelledError):
        supervisor.start(service(SLEEP), lambda: True)


@pytest.mark.parametrize("code", [SLEEP, DEAF])
def test_a_stopped_server_is_gone_even_when_it_does_not_listen(
    supervisor: Supervisor, service: Callable[..., Service], code: str
) -> None:
    supervisor.start(service(code), never)
    pid = supervisor.marks["server"].pid
    supervisor.stop(["server"])
    assert not psutil.pid_exists(pid)


def test_a_kill_takes_the_servers_children_too(
    supervisor: Supervisor, service: Callable[..., Service]
) -> None:
    supervisor.start(service(PARENT, SLEEP), never)
    family = psutil.Process(supervisor.marks["server"].pid).children(recursive=True)
    supervisor.kill("server")
    wait_until(lambda: not any(_alive(child) for child in family), "children end")


def test_a_server_that_ended_by_itself_is_noticed_once(
    supervisor: Supervisor, service: Callable[..., Service]
) -> None:
    supervisor.start(service(SLEEP), never)
    psutil.Process(supervisor.marks["server"].pid).send_signal(signal.SIGKILL)
    wait_until(lambda: supervisor.dead() == ["server"], "the end is noticed")
    assert supervisor.dead() == []


def test_leftovers_of_a_dead_stack_are_ended_and_strangers_are_not(
    supervisor: Supervisor, service: Callable[..., Service]
) -> None:
    supervisor.start(service(SLEEP), never)
    mark = supervisor.marks["server"]
    stranger = ProcessMark(mark.pid, mark.created_at + 3600)
    assert end_leftovers({"server": stranger}) == []
    assert end_leftovers({"server": mark}) == ["server"]


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
