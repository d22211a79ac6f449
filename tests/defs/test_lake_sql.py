"""The job that asks the lake: its answer is shown, and a wrong statement says what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
import pytest

from telemetry_assets.defs.lake_sql import LakeSqlResource, ask_lake
from telemetry_platform.delta import replace_partition
from telemetry_platform.layout import RECEIVED_HOUR, Table

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning"
)

HOURS = ["2026-11-01T00", "2026-11-01T01"]
MOBILE = Table("silver/mobile", {RECEIVED_HOUR: pl.String, "steps": pl.Int64}, (RECEIVED_HOUR,))


def _ask(settings: Settings, statement: str) -> dg.ExecuteInProcessResult:
    frame = pl.DataFrame({RECEIVED_HOUR: HOURS, "steps": [1, 2]})
    replace_partition(settings, MOBILE, frame, {RECEIVED_HOUR: HOURS})
    return ask_lake.execute_in_process(
        run_config={"ops": {"ask": {"config": {"statement": statement}}}},
        resources={"lake_sql": LakeSqlResource()},
        raise_on_error=False,
    )


def test_an_answer_is_shown_with_what_was_read_for_it(settings: Settings) -> None:
    done = _ask(
        settings, "SELECT steps, 'a|b' AS t FROM silver.mobile WHERE received_hour LIKE '%T01'"
    )
    assert done.success
    (output,) = [e for e in done.all_events if e.event_type == dg.DagsterEventType.STEP_OUTPUT]
    metadata = output.step_output_data.metadata
    assert metadata["answer"].value == "| steps | t |\n| --- | --- |\n| 2 | a\\|b |"
    assert metadata["files_read"].value == 1


def test_a_wrong_statement_fails_and_says_which_tables_there_are(settings: Settings) -> None:
    done = _ask(settings, "SELECT * FROM silver.mobil")
    assert not done.success
    (failure,) = [e for e in done.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
    error = failure.step_failure_data.error
    assert error is not None
    assert "silver.mobile" in str(error)
