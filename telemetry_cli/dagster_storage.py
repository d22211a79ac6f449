"""Dagster's Postgres storage with connections that stay open, for every Dagster process.

Dagster's own opens a connection for each thing it records and keeps one open in the webserver
alone. A run of an arrival hour is some two hundred records: its planned assets in the daemon, its
events in the run itself. `dagster.yaml` names this class; like the launcher it imports little.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Self

from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config

if TYPE_CHECKING:
    from dagster._core.storage.config import PostgresStorageConfig
    from dagster._serdes import ConfigurableClassData

_STATEMENT_TIMEOUT_MS = 60_000
_RECYCLE_SECONDS = 600
# The daemon asks from many threads; beyond the one that stays, connections are opened when needed.
_MOST_MORE_CONNECTIONS = 20


class PooledPostgresStorage(DagsterPostgresStorage):
    """Runs, events and ticks in Postgres, each over a connection that is kept."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: PostgresStorageConfig
    ) -> Self:
        """Make the storage from its part of `dagster.yaml`, which is that of `storage.postgres`."""
        storage = cls(
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(
                statement_timeout=_STATEMENT_TIMEOUT_MS,
                pool_recycle=_RECYCLE_SECONDS,
                max_overflow=_MOST_MORE_CONNECTIONS,
            )
        # Dagster asks with every event whether its own schema has a table or a column that older
        # ones lack, on one more connection. A migration needs its services stopped.
        events: Any = storage.event_log_storage
        events.has_table = cache(events.has_table)
        events.has_asset_key_col = cache(events.has_asset_key_col)
        return storage
