"""Settings, clock, ids and addresses: one spelling of each."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from telemetry_platform.clock import hour_key, hour_start, utc_now
from telemetry_platform.ids import new_receipt_id, new_uuid7
from telemetry_platform.postgres import NotConfigured, dbt_environment, dsn
from telemetry_platform.settings import Settings
from tests.conftest import process_settings


def test_settings_come_from_prefixed_variables() -> None:
    with process_settings(home="/h", edge_port="9", secrets_dir="/s") as settings:
        assert (settings.home, settings.edge_port) == (Path("/h"), 9)
        assert settings.secrets_dir == Path("/s")


def test_secrets_lie_under_the_home_unless_told_otherwise() -> None:
    assert Settings(home=Path("/h")).secrets_dir == Path("/h/secrets")


def test_an_empty_variable_is_no_setting() -> None:
    with process_settings(s3_endpoint="", edge_port="") as settings:
        assert settings.s3_endpoint is None
        assert settings.edge_port == 8080


def test_a_secret_is_not_shown() -> None:
    settings = Settings.model_validate({"postgres_dsn": "postgresql://u:hidden@h/d"})
    assert "hidden" not in repr(settings)
    assert dsn(settings).endswith("hidden@h/d")


@pytest.mark.parametrize(
    "given", [{"tls_certificate": "/c"}, {"tls_key": "/k"}, {"rate_limit_burst_events": 5}]
)
def test_a_setting_that_needs_another_is_refused_alone(given: dict[str, str | int]) -> None:
    with pytest.raises(ValueError, match="need"):
        Settings.model_validate(given)


def test_a_missing_database_says_how_to_get_one() -> None:
    with (
        process_settings(postgres_dsn="") as settings,
        pytest.raises(NotConfigured, match="POSTGRES_DSN"),
    ):
        dsn(settings)


def test_dbt_is_given_the_parts_of_the_address_unescaped() -> None:
    settings = Settings.model_validate({"postgres_dsn": "postgresql://u%40x:p%2Fw@host:5/db"})
    assert dbt_environment(settings) == {
        "TELEMETRY_PG_HOST": "host",
        "TELEMETRY_PG_PORT": "5",
        "TELEMETRY_PG_USER": "u@x",
        "TELEMETRY_PG_PASSWORD": "p/w",
        "TELEMETRY_PG_DATABASE": "db",
    }


def test_an_hour_is_named_in_utc_and_found_again() -> None:
    moment = datetime(2026, 11, 22, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert hour_key(moment) == "2026-11-21T23"
    assert hour_start("2026-11-21T23") == datetime(2026, 11, 21, 23, tzinfo=UTC)
    assert utc_now().tzinfo is UTC
    with pytest.raises(ValueError, match="does not match"):
        hour_start("2026-11-21")


def test_receipts_are_unique_and_sort_by_time() -> None:
    ids = [new_receipt_id() for _ in range(500)]
    assert len(set(ids)) == 500
    stamps = [receipt[len("rcp_") :][:12] for receipt in ids]
    assert stamps == sorted(stamps)


def test_a_receipt_is_a_version_7_uuid() -> None:
    made = new_uuid7()
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    milliseconds = made.int >> 80
    assert abs(milliseconds / 1000 - utc_now().timestamp()) < 60
