"""reports/quality: the quality report as a page in the bucket, and one check for each source."""

from collections.abc import Sequence

import dagster as dg

from telemetry_assets.defs.partitions import RETRIES
from telemetry_contracts.quality_dimensions import NAMES
from telemetry_contracts.registry import Registry
from telemetry_platform.quality import words
from telemetry_platform.quality.reading import DEFAULT_DAYS, read_report
from telemetry_platform.quality.report import QualityReport, RuleTally, SourceQuality
from telemetry_platform.quality.storing import store
from telemetry_platform.settings import get_settings

REPORT_KEY = dg.AssetKey(["reports", "quality"])
_MARTS = ("rpt_data_quality", "rpt_quality_rules", "rpt_reconciliation")
_MINUTE_OF_THE_HOUR = 10
_TREND_DAYS = 14
_RULES = 5


class QualityConfig(dg.Config):
    """What the report is about."""

    days: int = DEFAULT_DAYS


def quality_asset(registry: Registry) -> dg.AssetsDefinition:
    """Build `reports/quality` with one check for each source."""

    @dg.asset(
        key=REPORT_KEY,
        deps=[dg.AssetKey(["marts", name]) for name in _MARTS],
        group_name="reports",
        kinds={"html", "s3"},
        retry_policy=RETRIES,
        description="The six dimensions of data quality, scored by source and day of arrival, as a "
        "page: `reports/quality/latest.html` in the bucket, and one page for each day. The same "
        "page: `telemetry quality`.",
        check_specs=[
            dg.AssetCheckSpec(
                source,
                asset=REPORT_KEY,
                description=f"The six scores of {source} on its last day with events reach the "
                "thresholds of its contract.",
            )
            for source in registry.sources
        ],
    )
    def quality(config: QualityConfig) -> dg.MaterializeResult:
        # Imported here: what draws tables takes a second to import, and no other run needs it.
        from telemetry_platform.quality.page import render

        settings = get_settings()
        report = read_report(settings, registry, config.days)
        latest, dated = store(settings, render(report), report.made_at.date())
        sources = {source.source: source for source in report.sources}
        return dg.MaterializeResult(
            metadata={
                "page": dg.MetadataValue.path(latest),
                "page_of_the_day": dg.MetadataValue.path(dated),
                "scores": dg.MetadataValue.md(_overview(report)),
                "below_threshold": sum(len(source.below()) for source in report.sources),
                "hours_that_do_not_add_up": report.wrong,
            },
            check_results=[quality_check(sources[source]) for source in registry.sources],
        )

    return quality


def quality_check(source: SourceQuality) -> dg.AssetCheckResult:
    """Judge a source by its last day with events; without any, there is nothing to object to."""
    below, latest = source.below(), source.latest
    metadata: dict[str, dg.MetadataValue] = {}
    if latest is None:
        metadata["day"] = dg.MetadataValue.text("no events yet")
    else:
        metadata["day"] = dg.MetadataValue.text(latest.last.isoformat())
        metadata["below_threshold"] = dg.MetadataValue.text(", ".join(below) or "none")
        metadata["scores"] = dg.MetadataValue.md(_standing(source))
        metadata["trend"] = dg.MetadataValue.md(_trend(source))
        for name in NAMES:
            score = latest.tally(name).score
            if score is not None:
                metadata[name] = dg.MetadataValue.float(score)
        metadata |= _failures(source)
    return dg.AssetCheckResult(
        asset_key=REPORT_KEY,
        check_name=source.source,
        passed=not below,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


def _overview(report: QualityReport) -> str:
    rows = [
        [source.source, *(_score(source, name) for name in NAMES), source.latest.last.isoformat()]
        for source in report.scored
        if source.latest
    ]
    return _markdown(["source", *NAMES, "last day"], rows) if rows else "No events yet."


def _standing(source: SourceQuality) -> str:
    rows = [
        [
            name,
            _score(source, name),
            words.limit(source.thresholds[name]),
            f"{tally.failed:,}",
            f"{tally.checked:,}",
            tally.most_broken_rule or "",
        ]
        for name in NAMES
        if source.latest
        for tally in [source.latest.tally(name)]
    ]
    return _markdown(
        ["dimension", "score", "threshold", "failed", "checks", "most broken rule"], rows
    )


def _trend(source: SourceQuality) -> str:
    rows = [
        [span.first.isoformat(), *(words.percent(span.tally(name).score) for name in NAMES)]
        for span in reversed(source.days[-_TREND_DAYS:])
    ]
    return _markdown(["day", *NAMES], rows)


def _failures(source: SourceQuality) -> dict[str, dg.MetadataValue]:
    failing = [rule for rule in source.rules if rule.failed][:_RULES]
    found = {}
    if failing:
        found["failing_rules"] = dg.MetadataValue.md(_rules(failing))
    if source.samples:
        rows = [
            [each.rule, each.value or "", each.finding, each.event_id or "", each.receipt_id or ""]
            for each in source.samples
        ]
        header = ["rule", "value", "finding", "event", "receipt"]
        found["failing_rows"] = dg.MetadataValue.md(_markdown(header, rows))
    return found


def _rules(failing: Sequence[RuleTally]) -> str:
    rows = [[r.rule, r.dimension, f"{r.failed:,}", f"{r.checked:,}"] for r in failing]
    return _markdown(["rule", "dimension", "failed", "checked"], rows)


def _score(source: SourceQuality, name: str) -> str:
    if source.latest is None:
        return words.NO_SCORE
    mark = " ▼" if source.falls_short(source.latest, name) else ""
    return words.percent(source.latest.tally(name).score) + mark


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: str) -> str:
    """Return text that Markdown and the browser show as it is: values come from devices."""
    plain = "".join(f"\\{letter}" if letter in "\\`*_[]|~#!" else letter for letter in value)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ").replace("\r", " ")


report_quality = dg.define_asset_job(
    "report_quality",
    selection=dg.AssetSelection.assets(REPORT_KEY),
    executor_def=dg.in_process_executor,
    description="Score the sources and write the quality page into the bucket.",
)

report_every_hour = dg.ScheduleDefinition(
    job=report_quality,
    cron_schedule=f"{_MINUTE_OF_THE_HOUR} * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
