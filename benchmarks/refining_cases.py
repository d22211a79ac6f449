"""Benchmarks of refining alone: no server, Delta tables in a local directory.

Each run is a process of its own, `python -m benchmarks.refining`, so that its peak of memory is its
own. What it prints is one JSON object.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from benchmarks.figures import Figure

_ROOT = Path(__file__).resolve().parent.parent
_LIMIT_SECONDS = 1800
_MEBIBYTE = 1024 * 1024


def split(runs: int, rows: int = 5_000_000) -> list[Figure]:
    """Measure the split of rows into good and bad, with every reason of the bad ones."""
    found = [_measure("split", rows) for _ in range(runs)]
    sizes = f"{rows:,} rows, {found[0]['rules']} rules, {found[0]['bad']:,} rows bad"
    return [
        _figure("rules, split with reasons", "s", found, "seconds", sizes, 1.5),
        _figure("rules, split, processor time", "s", found, "processor_seconds", sizes, None),
        _figure("rules, memory for the split", "MiB", found, "memory", sizes, 2048),
    ]


def partition(runs: int, rows: int = 1_000_000) -> list[Figure]:
    """Measure one arrival hour of phone events from landing to gold against decoding its JSON."""
    found = [_measure("partition", rows) for _ in range(runs)]
    sizes = f"{rows:,} mobile events in one arrival hour, Delta tables on a local disk"
    ratios = [{**each, "ratio": each["seconds"] / each["decode_seconds"]} for each in found]
    return [
        _figure("hour, landing to gold, to decoding its JSON", "x", ratios, "ratio", sizes, 2),
        _figure("hour, landing to gold", "s", found, "seconds", sizes, None),
        _figure("hour, landing to gold, memory", "MiB", found, "memory", sizes, 2560),
    ]


def linear(runs: int, rows: int = 10_000_000, partitions: int = 24) -> list[Figure]:
    """Measure whether the later of many arrival hours take longer than the earlier ones."""
    found = [_measure("linear", rows, partitions) for _ in range(runs)]
    sizes = f"{rows:,} environment events over {partitions} arrival hours of equal size"
    return [
        Figure(
            "hours, the later half to the earlier", "x",
            tuple(each["growth"] for each in found), sizes, target=1.0, within=0.15,
        ),
        _figure("hours, landing to gold, all", "s", found, "seconds", sizes, None),
    ]  # fmt: skip


def _figure(  # noqa: PLR0913, PLR0917 - a row of the table
    name: str,
    unit: str,
    found: list[dict[str, Any]],
    key: str,
    sizes: str,
    target: float | None,
) -> Figure:
    return Figure(name, unit, tuple(each[key] for each in found), sizes, target=target)


def _measure(case: str, rows: int, partitions: int = 1) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.refining", case, str(rows), str(partitions)],
        stdout=subprocess.PIPE,
        check=True,
        cwd=_ROOT,
        timeout=_LIMIT_SECONDS,
    )
    found = orjson.loads(done.stdout)
    found["memory"] = found.pop("peak_bytes") / _MEBIBYTE
    return found
