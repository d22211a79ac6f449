"""Benchmark of refining an hour beside the same transformation in PySpark."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from benchmarks.figures import Figure
from benchmarks.refining import landed_phones
from telemetry_contracts.contract import LogicalType
from telemetry_contracts.frames import payload_dtype
from telemetry_contracts.registry import load_registry
from telemetry_platform.delta import ensure_table
from telemetry_platform.layout import LANDING_EVENTS

if TYPE_CHECKING:
    from telemetry_contracts.contract import Contract

_ROOT = Path(__file__).resolve().parent.parent
_PEER = _ROOT / "benchmarks" / "peers" / "spark_hour.py"
_PYTHON = _ROOT / ".venv-peers" / "bin" / "python"
_MEMORY = "6g"
_LIMIT_SECONDS = 1800
_SPARK_TYPES: dict[Any, str] = {
    pl.String: "string",
    pl.Float64: "double",
    pl.Int64: "bigint",
    pl.Boolean: "boolean",
}


class PeerMissing(RuntimeError):
    """The environment with pyspark was not made."""


def spark(runs: int, rows: int = 1_000_000) -> list[Figure]:
    """Measure one hour of phone events here and in PySpark, the start counted and not.

    Raises:
        PeerMissing: `make peers` was not run, or there is no Java.
    """
    if not _PYTHON.exists():
        raise PeerMissing("PySpark is not installed: run `make peers` (needs Java 17 or later).")
    contract = load_registry()["mobile"]
    ours = tuple(_refined(rows) for _ in range(runs))
    with tempfile.TemporaryDirectory() as folder:
        table = ensure_table(landed_phones(Path(folder), rows), LANDING_EVENTS)
        spec = {
            "runs": runs,
            "memory": _MEMORY,
            "files": table.file_uris(),
            "out": f"{folder}/spark",
            "payload_schema": _schema(contract),
            "metrics": [column.name for column in contract.metrics],
            "ranges": _ranges(contract),
        }
        peer = _peer(Path(folder), spec)
    assert peer["silver"] == rows, peer
    sizes = (
        f"{rows:,} mobile events in one arrival hour; the peer has no enrichment, ledger, outcomes "
        "of rules or profiles, and writes Parquet without Delta's log"
    )
    return [
        Figure(
            "hour, landing to gold, beside PySpark", "s", ours, sizes,
            floor=statistics.median(peer["seconds"]), floor_name="PySpark local[2], session warm",
        ),
        Figure(
            "the same with the start of both", "s", tuple(each + _start() for each in ours), sizes,
            floor=peer["start"] + peer["seconds"][0], floor_name="PySpark local[2]",
        ),
    ]  # fmt: skip


def _refined(rows: int) -> float:
    return orjson.loads(
        _output([sys.executable, "-m", "benchmarks.refining", "partition", f"{rows}", "1"])
    )["seconds"]


def _start() -> float:
    """Return the seconds that Python takes to start and to import what refines."""
    began = time.perf_counter()
    _output([sys.executable, "-c", "import benchmarks.refining"])
    return time.perf_counter() - began


def _peer(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    told = folder / "spec.json"
    told.write_bytes(orjson.dumps(spec))
    return orjson.loads(_output([str(_PYTHON), str(_PEER), str(told)]).splitlines()[-1])


def _output(command: list[str]) -> bytes:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, cwd=_ROOT, timeout=_LIMIT_SECONDS
    )
    return done.stdout


def _schema(contract: Contract) -> str:
    fields = payload_dtype(contract).fields
    return ", ".join(f"`{field.name}` {_SPARK_TYPES[field.dtype.base_type()]}" for field in fields)


def _ranges(contract: Contract) -> list[tuple[str, float | None, float | None]]:
    return [
        (field.name, field.minimum, field.maximum)
        for field in contract.sent_columns
        if field.logical_type in {LogicalType.NUMBER, LogicalType.INTEGER}
        and (field.minimum is not None or field.maximum is not None)
    ]
