"""What a benchmark says: a median with its runs, its input, its promise and its floor."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Number = float | int
_KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity.

    Attributes:
        name: What was measured.
        unit: Its unit.
        runs: The value of each run; the figure is their median.
        sizes: The input: how much, how large.
        target: What the project promises; None when it promises nothing.
        within: How far the figure may lie from the target on either side; None when the promise
            has a direction.
        higher_is_better: Direction of the promise.
        floor: The same quantity of a bare machine, measured in the same run; None without one.
        floor_name: What the floor does.
    """

    name: str
    unit: str
    runs: tuple[Number, ...]
    sizes: str
    target: Number | None = None
    higher_is_better: bool = False
    floor: Number | None = None
    floor_name: str = ""
    within: Number | None = None

    @property
    def median(self) -> float:
        """The median of the runs."""
        return float(statistics.median(self.runs))

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept; None when there is none."""
        if self.target is None:
            return None
        if self.within is not None:
            return abs(self.median - self.target) <= self.within
        if self.higher_is_better:
            return self.median >= self.target
        return self.median <= self.target

    @property
    def ratio(self) -> float | None:
        """The median as a multiple of the floor; None without a floor."""
        return self.median / self.floor if self.floor else None

    def document(self) -> dict[str, Any]:
        """Return everything as one JSON-ready document."""
        return {**asdict(self), "median": self.median, "met": self.met, "ratio": self.ratio}


def machine() -> dict[str, str]:
    """Return the facts of this machine that a figure depends on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": str(_cores()),
        "memory": f"{pages / _KIBIBYTE**3:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "python": platform.python_version(),
        "load average": ", ".join(f"{each:.1f}" for each in os.getloadavg()),
    }


def _cores() -> int | None:
    # Not on macOS; on Linux it knows the limits of a container, which cpu_count does not.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Return table rows: name, median, runs, target, met, floor ratio, sizes."""
    return [
        (
            figure.name,
            f"{_short(figure.median)} {figure.unit}",
            f"{len(figure.runs)}: {_short(min(figure.runs))} to {_short(max(figure.runs))}",
            _target(figure),
            {True: "yes", False: "NO", None: ""}[figure.met],
            f"{figure.ratio:.2f} x {figure.floor_name}" if figure.ratio else "",
            figure.sizes,
        )
        for figure in figures
    ]


def brief_rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Return rows for a narrow terminal: name with runs, input and floor below it, and verdict."""
    brief = []
    for name, median, runs, promise, kept, floor, sizes in rows(figures):
        below = [sizes, f"runs {runs}", *([floor] if floor else [])]
        brief.append(("\n  ".join([name, *below]), median, promise, kept))
    return brief


BRIEF_HEADER = ("figure", "median", "promise", "kept")
HEADER = ("figure", "median", "runs", "promise", "kept", "against the floor", "input")


def markdown(figures: Sequence[Figure], facts: Mapping[str, str]) -> str:
    """Return the figures as a Markdown table under the facts of the machine."""
    lines = [", ".join(f"{name}: {value}" for name, value in facts.items()), ""]
    lines += [_line(HEADER), _line(["---"] * len(HEADER))]
    lines += [_line(row) for row in rows(figures)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    if figure.within is not None:
        return f"{_short(figure.target)} ± {_short(figure.within)}"
    return f"{'at least' if figure.higher_is_better else 'under'} {_short(figure.target)}"


def _short(value: Number) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
