"""Kills: whatever is killed with SIGKILL, the next start is clean and what was stored is there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
import pytest

from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_cli.embedded.state import StackState
from telemetry_platform.objects import s3_client
from telemetry_platform.postgres import connect
from telemetry_platform.settings import Settings
from tests.integration.dagster_client import DagsterClient
from tests.stack_process import command_lines_of, stack_home, telemetry, telemetry_up, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.faults

STORES = {"s3", "postgres"}

# A run that waits for a file, so that the test decides when it may end.
DEFINITIONS = """
import pathlib, time
import dagster as dg

@dg.asset
def patient() -> None:
    gate = pathlib.Path(__file__).with_name("gate")
    gate.with_name("started").touch()
    while not gate.exists():
        time.sleep(0.05)

definitions = dg.Definitions(
    assets=[patient],
    jobs=[dg.define_asset_job("wait", executor_def=dg.in_process_executor,
                              tags={"dagster/retry_strategy": "ALL_STEPS"})],
)
"""


@pytest.fixture
def home() -> Generator[Path]:
    with stack_home() as made:
        yield made


def test_a_killed_telemetry_up_leaves_no_process_and_starts_again(home: Path) -> None:
    with telemetry_up(home, "s3", "postgres", "edge") as process:
        process.kill()
        wait_until(lambda: command_lines_of(home) == [], "all servers are gone")
    with telemetry_up(home, "s3", "postgres", "edge"):
        assert telemetry(home, "env").returncode == 0


def test_leftovers_are_ended_when_even_the_guard_was_killed(home: Path) -> None:
    with telemetry_up(home, *STORES) as process:
        for child in psutil.Process(process.pid).children():
            if child.name() in {"sh", "dash", "bash"}:
                child.kill()
        old = {mark.pid for mark in StackState.read(home).processes.values()}
        process.kill()
        process.wait()
        assert any(psutil.pid_exists(pid) for pid in old)
    with telemetry_up(home, *STORES):
        new = {mark.pid for mark in StackState.read(home).processes.values()}
        assert not old & new
        wait_until(lambda: not any(map(psutil.pid_exists, old)), "the old servers are gone")


def test_killed_stores_keep_what_was_written(home: Path) -> None:
    with EmbeddedStack(Settings(home=home), only=STORES) as stack:
        stack.start()
        client, bucket = s3_client(stack.settings), stack.settings.s3_bucket
        for index in range(20):
            client.put_object(Bucket=bucket, Key=f"kept/{index}", Body=b"%d" % index)
        with connect(stack.settings) as connection:
            connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS value")
        stack.kill("s3")
        stack.kill("postgres")
        stack.restart("postgres")
        stack.restart("s3")
        listed = client.list_objects_v2(Bucket=bucket, Prefix="kept/")["Contents"]
        bodies = {client.get_object(Bucket=bucket, Key=o["Key"])["Body"].read() for o in listed}
        assert bodies == {b"%d" % index for index in range(20)}
        with connect(stack.settings) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


def test_a_server_that_dies_is_started_again(home: Path) -> None:
    with telemetry_up(home, *STORES):
        mark = StackState.read(home).processes["postgres"]
        psutil.Process(mark.pid).kill()
        wait_until(
            lambda: StackState.read(home).processes.get("postgres", mark).pid != mark.pid,
            "postgres is started again",
        )


def test_a_run_of_a_killed_code_server_is_failed_and_retried(home: Path) -> None:
    definitions = home / "patient_definitions.py"
    definitions.write_text(DEFINITIONS)
    settings = Settings(home=home)
    names = {"postgres", "code-server", "webserver", "daemon"}
    with EmbeddedStack(settings, code_location=str(definitions), only=names) as stack:
        stack.start()
        dagster = DagsterClient(stack.settings.dagster_url)
        dagster.launch_job("wait", {})
        wait_until((home / "started").exists, "the run is going on")
        stack.kill("code-server")
        # Longer than the daemon tries to reconnect, so that it has given the definitions up once.
        time.sleep(15)
        stack.restart("code-server")

        def runs() -> list[str]:
            return dagster.statuses()

        wait_until(lambda: runs() == ["STARTED", "FAILURE"], "the run is retried", runs, 300)
        (home / "gate").touch()
        wait_until(lambda: runs() == ["SUCCESS", "FAILURE"], "the retry succeeds", runs)
