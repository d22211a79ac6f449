"""Questions to the lake of a whole stack: `telemetry sql` over its object store, the notebook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from telemetry_platform.lake_sql.database import LakeDatabase
from telemetry_platform.postgres import dsn
from tests.integration.whole_stack.settling import wait_until_settled
from tests.stack_process import DEADLINE_SECONDS, telemetry

if TYPE_CHECKING:
    from telemetry_cli.demo_report import DemoReport
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.integration

NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebooks" / "questions.ipynb"
# What the cells leave behind, as one JSON document.
TELL = """
_told = {
    "warm": warm.height,
    "hearts": hearts["readings"].sum(),
    "hours": hours["readings"].sum(),
    "files": len(lake.files.opened),
    "chart": chart.to_dict()["layer"][0]["mark"]["type"],
}
print("TOLD" + json.dumps(_told))
"""


def test_sql_counts_every_layer_as_the_ledger_does(stack: Settings, report: DemoReport) -> None:
    assert report.problem == ""
    statement = """
        SELECT
            (SELECT count(*) FROM landing.events) AS landed,
            (SELECT count(*) FROM bronze.mobile) AS bronze,
            (SELECT count(*) FROM silver.mobile) AS silver,
            (SELECT count(*) FROM silver.quarantine) AS quarantined,
            (SELECT sum(accepted)::BIGINT FROM gold.ledger) AS accepted
    """
    wait_until_settled(stack)
    ran = telemetry(stack.home, "sql", statement, "--json")
    assert ran.returncode == 0, ran.stderr
    (row,) = json.loads(ran.stdout)
    with psycopg.connect(dsn(stack)) as connection:
        found = connection.execute(
            "select sum(accepted), sum(accepted) filter (where source = 'mobile'),"
            " sum(silver) filter (where source = 'mobile'), sum(quarantined) from warehouse.ledger"
        ).fetchone()
    assert found is not None
    accepted, mobile, silver, quarantined = map(int, found)
    assert row == {
        "landed": accepted,
        "bronze": mobile,
        "silver": silver,
        "quarantined": quarantined,
        "accepted": accepted,
    }


def test_an_hour_and_a_source_read_their_files_alone_from_the_store(
    stack: Settings, report: DemoReport
) -> None:
    assert report.problem == ""
    with LakeDatabase(stack) as lake:
        every = "SELECT source, received_hour, count(payload) AS n FROM landing.events GROUP BY ALL"
        partitions = lake.frame(every).sort("n", descending=True)
        all_files = len(lake.files.opened)
        source, hour, rows = partitions.row(0)
        lake.files.forget_reads()
        one = f"{every.replace('GROUP', 'WHERE source = $s AND received_hour = $h GROUP')}"
        one = one.replace("$s", f"'{source}'").replace("$h", f"'{hour}'")
        assert lake.frame(one)["n"].to_list() == [rows]
        of_partition = [name for name in lake.files.opened if f"/{source}/{hour}/" in name]
        assert len(of_partition) == len(lake.files.opened) < all_files


def test_the_notebook_answers_its_questions(stack: Settings, report: DemoReport) -> None:
    assert report.problem == ""
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join([*_code(_cells()), TELL])],
        env={**os.environ, "TELEMETRY_HOME": str(stack.home)},
        cwd=NOTEBOOK.parent,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.partition("TOLD")[2])
    assert told["chart"] == "area"
    assert all(told[name] > 0 for name in ("warm", "hearts", "hours", "files")), told


def test_the_notebook_is_kept_without_answers() -> None:
    cells = [cell for cell in _cells() if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def _cells() -> list[dict[str, Any]]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def _code(cells: list[dict[str, Any]]) -> list[str]:
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
