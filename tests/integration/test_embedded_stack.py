"""The embedded stack, really started: every server answers, data stays, nothing is left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING

import boto3
import httpx
import psutil
import psycopg
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from dagster import DagsterRun
from dagster._core.launcher.base import WorkerStatus

from telemetry_cli.embedded.ports import LOOPBACK
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_cli.run_launcher import WatchedRunLauncher
from telemetry_cli.status import ServiceStatus, stack_status
from telemetry_platform.objects import s3_client
from telemetry_platform.postgres import connect
from telemetry_platform.settings import Settings
from tests.integration.dagster_client import DagsterClient
from tests.stack_process import (
    DEADLINE_SECONDS,
    command_lines_of,
    stack_home,
    telemetry,
    telemetry_up,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.integration

DEFINITIONS = """
import dagster as dg

@dg.asset
def number() -> int:
    return 1

count = dg.define_asset_job("count", executor_def=dg.in_process_executor)
definitions = dg.Definitions(assets=[number], jobs=[count])
"""


@pytest.fixture(scope="module")
def home() -> Generator[Path]:
    with stack_home() as made:
        yield made


@pytest.fixture(scope="module")
def stack(home: Path) -> Generator[EmbeddedStack]:
    definitions = home / "small_definitions.py"
    definitions.write_text(DEFINITIONS)
    with EmbeddedStack(Settings(home=home), code_location=str(definitions)) as made:
        made.start()
        yield made


def test_every_server_is_healthy_and_small(stack: EmbeddedStack) -> None:
    found: dict[str, ServiceStatus] = {}

    def problems() -> dict[str, str | None]:
        found.update({entry.name: entry for entry in stack_status(stack.settings)})
        return {name: entry.problem for name, entry in found.items() if not entry.healthy}

    # A busy machine may let one question wait longer than `telemetry status` does.
    wait_until(lambda: problems() == {}, "every server is healthy", problems)
    assert set(found) == {"telemetry up", *stack.services}
    assert sum(entry.memory_mebibytes for entry in found.values()) < 1536


def test_the_store_takes_signed_requests_and_refuses_anonymous_ones(stack: EmbeddedStack) -> None:
    signed = s3_client(stack.settings)
    bucket = stack.settings.s3_bucket
    signed.put_object(Bucket=bucket, Key="test/object", Body=b"kept")
    assert signed.get_object(Bucket=bucket, Key="test/object")["Body"].read() == b"kept"
    anonymous = boto3.client(
        "s3",
        endpoint_url=stack.settings.s3_endpoint,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}),
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        anonymous.put_object(Bucket=bucket, Key="test/anonymous", Body=b"")


def test_the_database_is_durable_private_and_owned_by_an_ordinary_role(
    stack: EmbeddedStack,
) -> None:
    with connect(stack.settings) as connection:
        row = connection.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'), rolsuper, "
            "current_setting('listen_addresses') FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == ("on", "on", False, "127.0.0.1")
    dsn = stack.settings.postgres_dsn
    assert dsn
    wrong = dsn.get_secret_value().replace("telemetry:", "telemetry:x")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_the_edge_is_ready(stack: EmbeddedStack) -> None:
    assert httpx.get(f"{stack.settings.ingest_url}/healthz", timeout=DEADLINE_SECONDS).is_success


def test_dagster_runs_a_job_from_the_queue(stack: EmbeddedStack) -> None:
    dagster = DagsterClient(stack.settings.dagster_url)
    dagster.launch_job("count", {})
    wait_until(lambda: dagster.statuses() == ["SUCCESS"], "the run succeeds", dagster.statuses)


def test_a_run_that_is_lost_is_failed_only_when_its_server_has_settled(
    stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = WatchedRunLauncher(LOOPBACK, stack.settings.code_server_port)
    lost = DagsterRun(job_name="count")
    assert launcher.check_run_worker_health(lost).status is WorkerStatus.RUNNING
    monkeypatch.setattr("telemetry_cli.run_launcher._SETTLING_SECONDS", 0.0)
    assert launcher.check_run_worker_health(lost).status is WorkerStatus.FAILED


def test_only_loopback_is_listened_on(stack: EmbeddedStack) -> None:
    servers = [psutil.Process(mark.pid) for mark in stack.processes.values()]
    addresses = set().union(
        *(_listens_on(p) for server in servers for p in [server, *server.children()])
    )
    # gRPC listens through IPv6 sockets; the mapped form is the same loopback address.
    assert "127.0.0.1" in addresses
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_secrets_appear_in_no_log_and_no_command_line(stack: EmbeddedStack, home: Path) -> None:
    variables = stack.environment()
    hidden = {variables["AWS_SECRET_ACCESS_KEY"], variables["TELEMETRY_PG_PASSWORD"]}
    texts = [path.read_text(errors="replace") for path in (home / "logs").iterdir()]
    texts += command_lines_of(home)
    assert not [secret for secret in hidden for text in texts if secret in text]


def test_a_second_start_keeps_addresses_and_data_and_a_second_stack_is_refused() -> None:
    stores = ("s3", "postgres")
    with stack_home() as home:
        with telemetry_up(home, *stores) as process:
            second = telemetry(home, "up", "--json")
            assert second.returncode == 1
            assert str(process.pid) in json.loads(second.stdout)["error"]
            before = json.loads(telemetry(home, "env", "--json").stdout)
            settings = _settings_of(home, before)
            s3_client(settings).put_object(Bucket=settings.s3_bucket, Key="kept", Body=b"object")
            with connect(settings) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 'row' AS value")
        wait_until(lambda: command_lines_of(home) == [], "nothing is left running", seconds=30)
        with telemetry_up(home, *stores):
            assert json.loads(telemetry(home, "env", "--json").stdout) == before
            got = s3_client(settings).get_object(Bucket=settings.s3_bucket, Key="kept")
            assert got["Body"].read() == b"object"
            with connect(settings) as connection:
                assert connection.execute("SELECT value FROM kept").fetchone() == ("row",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands Postgres to another account")
def test_a_home_that_only_root_can_enter_gets_its_database_elsewhere() -> None:
    with stack_home() as private:
        private.chmod(0o700)
        settings = Settings(home=private / "home")
        for _ in range(2):
            with EmbeddedStack(settings, only={"postgres"}) as stack:
                stack.start()
                with connect(stack.settings) as connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS kept ()")
        elsewhere = (private / "home" / "postgres").resolve()
        assert not elsewhere.is_relative_to(private)
        shutil.rmtree(elsewhere)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_cleanly(number: signal.Signals) -> None:
    with stack_home() as home:
        with telemetry_up(home, "s3", "postgres", "edge") as process:
            process.send_signal(number)
            assert process.wait(timeout=DEADLINE_SECONDS) == 0
        wait_until(lambda: command_lines_of(home) == [], "nothing is left running", seconds=30)
        log = (home / "logs" / "postgres.log").read_text()
        assert "database system is shut down" in log
        assert telemetry(home, "status", "--json").returncode == 1


def _listens_on(process: psutil.Process) -> set[str]:
    try:
        found = process.net_connections("inet")
    except psutil.NoSuchProcess:
        return set()  # the database's sessions come and go
    return {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN}


def _settings_of(home: Path, variables: dict[str, str]) -> Settings:
    return Settings(
        home=home,
        s3_endpoint=variables["TELEMETRY_S3_ENDPOINT"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        postgres_dsn=variables["TELEMETRY_POSTGRES_DSN"],
    )
