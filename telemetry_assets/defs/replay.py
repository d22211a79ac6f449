"""The replay of refused events, as an asset that is materialized by hand or by its job."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from telemetry_assets.defs.landing import REJECTED
from telemetry_assets.defs.metadata import column_schema
from telemetry_contracts.registry import Registry
from telemetry_platform.layout import LANDING_REPLAYS
from telemetry_platform.replay.judging import open_judge
from telemetry_platform.replay.outcomes import DUPLICATE, LANDED, REFUSED, Report
from telemetry_platform.replay.rejections import Selection, parse_moment
from telemetry_platform.replay.run import replay
from telemetry_platform.settings import get_settings

REPLAYS = dg.AssetKey(["landing", "replays"])


class ReplayConfig(dg.Config):
    """Which refused events are judged again; what is empty leaves none out."""

    dry_run: bool = Field(default=True, description="Show what would be done, and change nothing.")
    sources: list[str] = Field(default=[], description="Only events of these sources.")
    since: str = Field(
        default="", description="Only events received since this ISO 8601 time or hour (UTC)."
    )
    until: str = Field(default="", description="Only events received before this time or hour.")
    rules: list[str] = Field(default=[], description="Only events that these rules refused.")
    receipts: list[str] = Field(default=[], description="Only events of these receipts.")

    def selection(self) -> Selection:
        """Return the events that are meant.

        Raises:
            ValueError: `since` or `until` is not a time.
        """
        return Selection(
            sources=tuple(self.sources),
            rules=tuple(self.rules),
            receipts=tuple(self.receipts),
            since=parse_moment(self.since) if self.since else None,
            until=parse_moment(self.until) if self.until else None,
        )


def replays_asset(registry: Registry) -> dg.AssetsDefinition:
    """Build `landing/replays`: the attempts to repair what the edge refused."""

    @dg.multi_asset(
        name="replay_refused_events",
        specs=[
            dg.AssetSpec(
                REPLAYS,
                deps=[REJECTED],
                group_name="landing",
                kinds={"deltalake", "s3"},
                # A dry run writes nothing and so materializes nothing.
                skippable=True,
                description="Attempts to read refused events by today's contracts. Events that "
                "can be read now land in the hour in which they were received.",
                metadata={"dagster/column_schema": column_schema(LANDING_REPLAYS.columns)},
            )
        ],
    )
    def replays(
        context: dg.AssetExecutionContext, config: ReplayConfig
    ) -> Iterator[dg.MaterializeResult]:
        settings = get_settings()
        try:
            selection = config.selection()
            judge = open_judge(settings, registry)
        except (OSError, ValueError) as error:
            raise dg.Failure(
                f"{error}. A time is written 2026-11-22T14; the edge's keys must be in the "
                "directory that TELEMETRY_SECRETS_DIR names, because refused events are sealed."
            ) from error
        report = replay(settings, judge, selection, dry_run=config.dry_run)
        context.log.info(report.summary())
        for warning in report.warnings():
            context.log.warning(warning)
        if config.dry_run:
            context.log_event(dg.AssetObservation(REPLAYS, metadata=_metadata(report)))
        else:
            yield dg.MaterializeResult(REPLAYS, metadata=_metadata(report))

    return replays


def _metadata(report: Report) -> dict[str, dg.MetadataValue]:
    return {
        "dry_run": dg.MetadataValue.bool(report.dry_run),
        "differences": dg.MetadataValue.md(report.markdown()),
        **{name: dg.MetadataValue.int(report.count(name)) for name in (LANDED, DUPLICATE, REFUSED)},
        "put_right_before": dg.MetadataValue.int(report.settled),
        "cannot_be_opened": dg.MetadataValue.int(sum(report.unopened.values())),
    }


replay_rejected = dg.define_asset_job(
    "replay_rejected",
    selection=dg.AssetSelection.assets(REPLAYS),
    executor_def=dg.in_process_executor,
    description="Judge refused events again by today's contracts. A dry run unless told otherwise.",
)
