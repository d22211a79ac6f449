"""How much memory processes take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable


def proportional_bytes(roots: Iterable[int]) -> int:
    """Return the bytes of some processes and their children; shared pages count by share.

    That is PSS on Linux; elsewhere USS, which leaves shared pages out.
    """
    total = 0
    for pid in roots:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            try:
                facts = process.memory_full_info()
            except psutil.NoSuchProcess:
                continue
            total += getattr(facts, "pss", facts.uss)
    return total
