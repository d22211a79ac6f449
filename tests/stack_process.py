"""A real `telemetry up` for the tests: a home of its own, started, questioned and ended."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from telemetry_cli.embedded.ports import PortLeases, choose_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

DEADLINE_SECONDS = 240.0
"""How long a test waits for what must come. It costs nothing when it comes, so it is long."""

# As long as this process lives, no other stack or test of the machine takes these ports.
_LEASES = PortLeases()


@contextmanager
def stack_home() -> Generator[Path]:
    """Yield an empty home that an unprivileged Postgres can enter; pytest's own paths are not."""
    home = Path(tempfile.mkdtemp(prefix="telemetry-test-"))
    home.chmod(0o755)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def telemetry(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one `telemetry` command for a home."""
    return subprocess.run(
        [sys.executable, "-m", "telemetry_cli", *arguments],
        env={**os.environ, "TELEMETRY_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@contextmanager
def telemetry_up(home: Path, *only: str) -> Generator[subprocess.Popen[str]]:
    """Run `telemetry up` until the block ends, entering it when the stack is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "telemetry_cli", "up", "--json"]
        + [word for name in only for word in ("--only", name)],
        env={**os.environ, "TELEMETRY_HOME": str(home), **_own_ports(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        document = read_document(process.stdout)
        assert "error" not in document, document
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=DEADLINE_SECONDS)
        process.stdout.close()


def _own_ports(home: Path) -> dict[str, str]:
    """Wish for ports that are the home's own at each of its starts.

    Stacks of other tests wish for the usual ones, and would take them between two starts.
    """
    names = ("S3", "POSTGRES", "EDGE", "ACCESS", "WEBSERVER", "CODE_SERVER")
    # A reproducible draw, not a secret.
    ports = random.Random(home.name).sample(range(20_000, 32_000), len(names))  # noqa: S311
    return {f"TELEMETRY_{name}_PORT": str(port) for name, port in zip(names, ports, strict=True)}


def reserved_port() -> int:
    """Return a free port that stays ours, however often its server is started.

    A port that the kernel hands out may be a client's of somebody else before it is bound.
    """
    return choose_ports({"test": None}, {}, _LEASES)["test"]


def read_document(stream: Any) -> dict[str, Any]:
    """Read one JSON document from a stream that stays open."""
    text = ""
    for line in stream:
        text += line
        if line.rstrip() == "}":
            return json.loads(text)
    raise AssertionError(f"no JSON document came: {text!r}")


def command_lines_of(home: Path) -> list[str]:
    """Return the command line of every process with this home in it or as working directory.

    They are read at once: a database session or a forked run may be gone a moment later.
    """
    found = []
    for process in psutil.process_iter():
        try:
            words, directory = process.cmdline(), process.cwd()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if process.pid != os.getpid() and any(str(home) in word for word in [*words, directory]):
            found.append(" ".join(words))
    return found


def wait_until(
    holds: Callable[[], object],
    what: str,
    evidence: Callable[[], object] = lambda: "",
    seconds: float = DEADLINE_SECONDS,
) -> None:
    """Wait for a condition; fail when it does not come true in time, and show the evidence."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"did not happen: {what}\n{evidence()}"
        time.sleep(0.05)
