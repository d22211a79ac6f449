"""Upkeep: small files of closed hours are joined; Postgres lets old days go and joins past ones."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from telemetry_assets.lakehouse.compaction import compact_closed_hours
from telemetry_assets.lakehouse.partitioning import Tidied, tidy
from telemetry_platform.clock import HOUR, utc_now
from telemetry_platform.contracts import contracts_in_force
from telemetry_platform.layout import (
    LANDING_EVENTS,
    LANDING_FILE_ERRORS,
    LANDING_FILES,
    LANDING_REJECTED,
)
from telemetry_platform.settings import get_settings

_TABLES = (LANDING_EVENTS, LANDING_REJECTED, LANDING_FILES, LANDING_FILE_ERRORS)
_MINUTE_OF_THE_HOUR = 20


class CompactionConfig(dg.Config):
    """When an hour is worth rewriting."""

    least_files: int = Field(default=8, ge=2, description="Hours with fewer files are left alone.")
    closed_hours: int = Field(
        default=1, ge=1, description="How many hours must have passed since an hour was over."
    )


@dg.op(description="Join the small files of closed hours in the landing tables.")
def compact_hours(context: dg.OpExecutionContext, config: CompactionConfig) -> int:
    """Compact and say what became of each hour; returns the number of hours."""
    closed_at = utc_now() - HOUR * (config.closed_hours - 1)
    done = compact_closed_hours(get_settings(), _TABLES, closed_at, config.least_files)
    rows = [f"| {each.table} | {each.source} | {each.hour} | {each.files_before} | "
            f"{each.files_after} |" for each in done]  # fmt: skip
    header = ["| table | source | hour | files before | after |", "|---|---|---|---|---|"]
    context.add_output_metadata(
        {"hours": len(done), "compacted": dg.MetadataValue.md("\n".join(header + rows))}
    )
    return len(done)


@dg.op(description="Let days go that TELEMETRY_RETENTION_DAYS does not keep; join past partitions.")
def tidy_partitions(context: dg.OpExecutionContext) -> int:
    """Tidy the partitions in Postgres and say what became of them; returns how much was done."""
    settings = get_settings()
    done = tidy(settings, contracts_in_force(settings)) if settings.postgres_dsn else []
    context.add_output_metadata(tidied_metadata(settings.retention_days, done))
    return len(done)


def tidied_metadata(retention_days: int | None, done: Sequence[Tidied]) -> dict[str, Any]:
    """Describe what was dropped, deleted, joined, or left for the next time because it was busy."""
    rows = [f"| {each.table} | {each.what} | {each.part} | {each.rows:,} |" for each in done]
    header = ["| table | what | part | rows |", "|---|---|---|---|"]
    counts = Counter(each.what for each in done)
    return {
        "retention": f"{retention_days} days" if retention_days else "all days",
        "partitions_dropped": counts["dropped"],
        "tables_busy": counts["busy"],
        "tidied": dg.MetadataValue.md("\n".join(header + rows)),
    }


@dg.job(
    executor_def=dg.in_process_executor,
    description="Join the small files of closed hours, which changes no row; tidy the partitions "
    "in Postgres. Can be repeated at will.",
)
def compact_landing() -> None:
    """Compact the landing tables, and tidy Postgres' partitions."""
    compact_hours()
    tidy_partitions()


compact_every_hour = dg.ScheduleDefinition(
    job=compact_landing,
    cron_schedule=f"{_MINUTE_OF_THE_HOUR} * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
