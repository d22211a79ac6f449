"""Dagster's storage on a real Postgres: what is recorded travels over connections that stay."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from dagster_postgres import DagsterPostgresStorage, PostgresRunStorage

from telemetry_cli.dagster_storage import PooledPostgresStorage

pytestmark = pytest.mark.integration


def sessions(storage: DagsterPostgresStorage) -> set[int]:
    """Return the database sessions that answer four questions, asked one after another."""
    runs = storage.run_storage
    assert isinstance(runs, PostgresRunStorage)
    found = set()
    for _ in range(4):
        with runs.connect() as connection:
            found.add(connection.execute(sa.text("select pg_backend_pid()")).scalar_one())
    return found


def test_a_connection_is_kept_where_dagster_opens_one_for_each_record(postgres_dsn: str) -> None:
    config: Any = {"postgres_url": postgres_dsn}
    assert len(sessions(DagsterPostgresStorage.from_config_value(None, config))) == 4
    assert len(sessions(PooledPostgresStorage.from_config_value(None, config))) == 1
