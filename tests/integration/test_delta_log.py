"""The log writer on a real object store: a race of writers loses and doubles nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import polars as pl
import pytest

from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.delta import open_table
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.layout import Table
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

TABLE = Table(
    "numbers", {"source": pl.String, "received_hour": pl.String, "n": pl.Int64}, statistics=("n",)
)
WRITERS = 4
COMMITS = 15


def test_racing_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    with EmbeddedStack(Settings(home=tmp_path), only={"s3"}) as stack:
        stack.start()
        logs = [DeltaLog(stack.settings, TABLE) for _ in range(WRITERS)]

        def write(writer: int) -> None:
            for commit in range(COMMITS):
                numbers = [writer * COMMITS + commit]
                frame = pl.DataFrame({"source": "s", "received_hour": "h", "n": numbers})
                logs[writer].commit(logs[writer].prepare(frame))

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write, range(WRITERS)))
        for log in logs:
            log.close()
        table = open_table(stack.settings, TABLE.path)
        assert table is not None
        landed = pl.scan_delta(table).collect()["n"].sort().to_list()
        assert landed == list(range(WRITERS * COMMITS))
        assert table.version() == WRITERS * COMMITS
