"""Sensors that only discover: which arrival hours changed, which registries are new."""

import json
import time
from collections.abc import Mapping

import dagster as dg

from telemetry_assets.defs.gold import RECONCILIATION, TABLES
from telemetry_assets.defs.jobs import LEDGERS, REFINE, load_registries
from telemetry_assets.defs.landing import EVENTS
from telemetry_assets.defs.partitions import SOURCES_TAG, VERSION_TAG, hours_of
from telemetry_assets.defs.refinement import (
    DUPLICATES_KEY,
    OVERTAKEN,
    QUARANTINE_KEY,
    SUPERSEDED_KEY,
    bronze_key,
    silver_checks,
    silver_key,
)
from telemetry_assets.defs.warehouse import warehouse_key, warehouse_keys
from telemetry_assets.lakehouse.backlog import Backlog, Waiting, run_key
from telemetry_assets.lakehouse.delta_log import NO_VERSION, DeltaLog
from telemetry_assets.lakehouse.reference import registry_versions
from telemetry_assets.lakehouse.settled import settled_hours
from telemetry_assets.lakehouse.tables import QUARANTINE_REPLAYS, REFINED_AGAIN, YES
from telemetry_assets.lakehouse.warehouse_schema import FILE_ERRORS, FILES
from telemetry_contracts.registry import Registry
from telemetry_platform.layout import LANDING_EVENTS, LANDING_FILES, LANDING_REJECTED
from telemetry_platform.settings import get_settings

NAME = "landing_sensor"
LISTEN_SECONDS = 25.0
"""How long a tick listens; Dagster ends a tick after 60 s."""

READ_SECONDS = 10.0
"""How long a tick reads logs that are far ahead of it; it goes on in the next."""

POLL_SECONDS = 0.2
MAX_REQUESTS = 8
MAX_UNFINISHED = 24
"""Runs of this sensor that may be queued or going on. What comes now is not to wait behind more."""

PRIORITY = "1"
"""Runs of what comes now leave the queue before those of a backfill."""

_RECORDS_A_TICK = 200
REFERENCE_POLL_SECONDS = 30

_WATCHED = (LANDING_EVENTS.path, LANDING_REJECTED.path, LANDING_FILES.path)
# Hours that a replay of quarantine found to come out otherwise today.
_REQUESTED = (QUARANTINE_REPLAYS.path, (REFINED_AGAIN, YES))
_SENSOR_TAG = "dagster/sensor_name"
PRIORITY_TAG = "dagster/priority"


def landing_sensor(
    registry: Registry,
    marts: Mapping[dg.AssetKey, set[str]],
    listen_seconds: float = LISTEN_SECONDS,
    read_seconds: float = READ_SECONDS,
) -> dg.SensorDefinition:
    """Build the sensor that follows the Delta logs of landing.

    It listens inside its tick, because Dagster starts ticks at most every 5 s. Its cursor moves
    only over commits it has taken note of, so none is skipped; an hour whose run is going on
    waits, and then gets one run for all that came meanwhile.

    Args:
        registry: Contracts in force.
        marts: The mart assets, each with the sources it is limited to; none means all.
        listen_seconds: How long a tick listens.
        read_seconds: How long it reads before it asks for runs of what it has read.
    """

    @dg.sensor(
        name=NAME,
        job_name=REFINE,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests a run for every arrival hour that changed in landing, or that a "
        "replay of quarantine found to come out otherwise today.",
    )
    def follow_landing(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        settings = get_settings()
        logs = {path: DeltaLog(settings, path) for path in _WATCHED}
        logs[QUARANTINE_REPLAYS.path] = DeltaLog(settings, *_REQUESTED)
        backlog = Backlog.parse(context.cursor)
        backlog.recognise(LANDING_EVENTS.path, registry)
        for source in registry.sources:
            _note_overtaken(context.instance, source, backlog)
        deadline = time.monotonic() + listen_seconds
        while True:
            began = time.monotonic()
            # Its contract is about to come here, too: the next tick is one of new definitions.
            newcomer = _read(logs, backlog, registry, began + read_seconds)
            if backlog.waiting:
                busy, own = _busy_hours(context.instance)
                taken = backlog.take(busy, max(0, min(MAX_REQUESTS, MAX_UNFINISHED - own)))
                if taken:
                    requests = [_request(hour, taken[hour], registry, marts) for hour in taken]
                    return dg.SensorResult(
                        run_requests=requests,
                        cursor=backlog.dump(),
                        asset_events=[
                            _landed(hour, entry)
                            for hour, entry in taken.items()
                            if not entry["versions"].keys().isdisjoint(_WATCHED)
                        ],
                    )
            if newcomer or time.monotonic() >= deadline:
                context.update_cursor(backlog.dump())
                return dg.SkipReason(_idle_reason(backlog))
            # A look that takes long, because much is queued, is not to be all that a tick does.
            time.sleep(max(POLL_SECONDS, time.monotonic() - began))

    return follow_landing


@dg.sensor(
    name="reference_sensor",
    job=load_registries,
    minimum_interval_seconds=REFERENCE_POLL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a run when a registry in the bucket changed.",
)
def reference_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Compare the registries' entity tags with those of the last run."""
    seen = json.loads(context.cursor) if context.cursor else {}
    found = registry_versions(get_settings())
    changed = sorted(name for name, tag in found.items() if seen.get(name) != tag)
    if not changed:
        return dg.SkipReason("No registry changed.")
    key = ",".join(f"{name}:{found[name]}" for name in changed)
    selection = [dg.AssetKey(["reference", name]) for name in changed]
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=key, asset_selection=selection)],
        cursor=json.dumps(found),
    )


def _request(
    hour: str, entry: Waiting, registry: Registry, marts: Mapping[dg.AssetKey, set[str]]
) -> dg.RunRequest:
    sources = [source for source in entry["sources"] if source in registry]
    tags = {
        "dagster/retry_strategy": "ALL_STEPS",
        PRIORITY_TAG: PRIORITY,
        SOURCES_TAG: ",".join(sources),
        VERSION_TAG: str(entry["versions"].get(LANDING_EVENTS.path, NO_VERSION)),
    }
    if set(entry["versions"]) == {LANDING_FILES.path}:
        # A file's row is committed after its events, whose run it would otherwise repeat whole,
        # and after what was wrong in it.
        return dg.RunRequest(
            run_key=run_key(hour, entry),
            partition_key=hour,
            asset_selection=[warehouse_key(FILES.name), warehouse_key(FILE_ERRORS.name)],
            tags=tags,
        )
    per_source = [bronze_key, silver_key, warehouse_key]
    unchanged = {key(s) for s in registry.sources if s not in sources for key in per_source}
    unchanged |= {mart for mart, only in marts.items() if only and only.isdisjoint(sources)}
    return dg.RunRequest(
        run_key=run_key(hour, entry),
        partition_key=hour,
        asset_selection=[key for key in selected_keys(registry, marts) if key not in unchanged],
        asset_check_keys=[
            *(key for source in sources for key in silver_checks(registry[source])),
            *(dg.AssetCheckKey(ledger, RECONCILIATION) for ledger in LEDGERS),
        ],
        tags=tags,
    )


def selected_keys(registry: Registry, marts: Mapping[dg.AssetKey, set[str]]) -> list[dg.AssetKey]:
    """Return every asset of the refinement job."""
    per_source = [key(source) for source in registry.sources for key in (bronze_key, silver_key)]
    exceptions = (QUARANTINE_KEY, DUPLICATES_KEY, SUPERSEDED_KEY)
    return [*per_source, *exceptions, *TABLES, *warehouse_keys(registry), *marts]


def _read(
    logs: Mapping[str, DeltaLog], backlog: Backlog, registry: Registry, deadline: float
) -> bool:
    """Take note of what changed; tells whether that is of a source that has no contract here."""
    newcomer = False
    for path, log in logs.items():
        # What nobody could read is of no source, and is loaded all the same.
        known = registry if path == LANDING_EVENTS.path else None
        while True:
            before = backlog.versions.get(path, NO_VERSION)
            changes = log.changes_after(before, deadline=deadline)
            if before == NO_VERSION or changes.snapshot:
                backlog.recover(path)
            newcomer = backlog.add(path, changes, known) or newcomer
            if changes.complete or time.monotonic() >= deadline:
                break
        if changes.complete and path in backlog.recovering:
            found = backlog.recovering[path]
            backlog.recovered(path, settled_hours(get_settings(), path) if found else ())
    return newcomer


def _landed(hour: str, entry: Waiting) -> dg.AssetObservation:
    return dg.AssetObservation(
        asset_key=EVENTS,
        partition=hour,
        metadata={**entry["versions"], "sources": ", ".join(entry["sources"])},
    )


def _note_overtaken(instance: dg.DagsterInstance, source: str, backlog: Backlog) -> None:
    """Read what silver runs told of since the last look; history before the first is settled."""
    key = silver_key(source)
    asset, seen = key.to_user_string(), backlog.told.get(key.to_user_string())
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, after_storage_id=seen),
        limit=1 if seen is None else _RECORDS_A_TICK,
        ascending=seen is not None,
    )
    for record in found.records:
        backlog.told[asset] = record.storage_id
        materialization = record.asset_materialization
        if seen is None or materialization is None:
            continue
        told = materialization.metadata.get(OVERTAKEN)
        if isinstance(told, dg.TextMetadataValue):
            hours = (told.text or "").split()
            backlog.add_overtaken(source, hours, asset, record.storage_id)
    backlog.told.setdefault(asset, 0)


def _busy_hours(instance: dg.DagsterInstance) -> tuple[set[str], int]:
    """Return the hours that are being run or are to be, and how many of the runs are ours."""
    unfinished = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    # Whatever job it is: assets that are materialized by hand have one of Dagster's own.
    runs = instance.get_runs(dg.RunsFilter(statuses=unfinished))
    hours = {hour for run in runs for hour in hours_of(run.tags)}
    return hours, sum(run.tags.get(_SENSOR_TAG) == NAME for run in runs)


def _idle_reason(backlog: Backlog) -> str:
    if backlog.waiting:
        hours = ", ".join(sorted(backlog.waiting))
        return f"Waiting for the runs of {hours} to end."
    read = ", ".join(f"{table} to version {v}" for table, v in sorted(backlog.versions.items()))
    return f"Nothing new landed; read {read}."
