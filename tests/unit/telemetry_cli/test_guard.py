"""The guard: servers and their children die with the supervisor, forgotten groups do not."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from tests.stack_process import DEADLINE_SECONDS, wait_until

pytestmark = pytest.mark.unit

SUPERVISOR = """
import os, signal, subprocess, sys
from telemetry_cli.embedded.guard import Guard

guard = Guard()
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
for index in range(4):
    family = ["sh", "-c", "sleep 600 & sleep 600"]
    sleeper = subprocess.Popen(family, start_new_session=True, **quiet)
    guard.add(sleeper.pid)
    if index == 2:
        guard.drop(sleeper.pid)
    print(sleeper.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_only_watched_groups_die_with_a_killed_supervisor() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    groups = [int(word) for word in done.stdout.split()]
    assert len(groups) == 4, done.stderr
    dropped = groups.pop(2)
    try:
        wait_until(lambda: not any(_members(group) for group in groups), "watched groups die")
        wait_until(lambda: len(_members(dropped)) == 3, "the forgotten group has come up whole")
    finally:
        for process in _members(dropped):
            process.kill()


def _members(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and os.getpgid(process.pid) == group:
                found.append(process)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return found
