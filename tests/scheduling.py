"""Which tests share a worker: those of a file, because its servers are its own.

`--dist loadfile` would start the servers of a folder once for each of its files.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

WHOLE_STACK = "whole_stack"
SHARED = (WHOLE_STACK, "filled_marts")
"""Folders whose tests question the same servers."""


class ByServers(LoadScopeScheduling):
    """Gives a worker all tests of a file, and all of a folder that shares its servers."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder.rpartition("/")[2] in SHARED else file
