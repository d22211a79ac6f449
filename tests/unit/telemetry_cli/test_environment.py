"""Environment: a child process reads back exactly the settings it was given, and little else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from telemetry_cli.embedded.environment import exported, machine_environment, process_environment
from telemetry_cli.embedded.secrets import StackSecrets
from telemetry_cli.embedded.services import preferred_ports, resolve
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit

SECRETS = StackSecrets("ACCESS", "s3/secret", "pass@word", "super")


@pytest.fixture
def resolved(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    ports = {name: 20_000 + index for index, name in enumerate(preferred_ports(settings))}
    return resolve(settings, ports, SECRETS)


def test_a_child_reads_back_the_same_settings(
    resolved: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in process_environment(resolved).items():
        monkeypatch.setenv(name, value)
    assert Settings() == resolved


def test_addresses_of_another_stack_in_the_shell_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEMETRY_S3_ENDPOINT", "http://elsewhere:1")
    monkeypatch.setenv("TELEMETRY_POSTGRES_DSN", "postgresql://elsewhere/db")
    settings = Settings(home=tmp_path)
    ports = dict.fromkeys(preferred_ports(settings), 20_001)
    assert "elsewhere" not in str(exported(resolve(settings, ports, SECRETS)))


def test_the_callers_shell_does_not_reach_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"AWS_PROFILE", "PGSSLMODE", "HTTP_PROXY", "DAGSTER_HOME", "PYTHONPATH"}
    for name in names:
        monkeypatch.setenv(name, "x")
    assert not names & set(machine_environment())


def test_telemetry_env_exports_what_the_design_promises(resolved: Settings) -> None:
    variables = exported(resolved)
    assert set(variables) >= {
        "TELEMETRY_POSTGRES_DSN",
        "TELEMETRY_S3_ENDPOINT",
        "TELEMETRY_S3_BUCKET",
        "TELEMETRY_INGEST_URL",
        "TELEMETRY_DAGSTER_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    }
    assert variables["TELEMETRY_POSTGRES_DSN"].startswith("postgresql://telemetry:pass%40word@")
