"""Which tests share a worker: those of a file, because its servers are its own.

`--dist loadfile` would start the whole stack once for each file of `whole_stack/`.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

WHOLE_STACK = "whole_stack"


class ByServers(LoadScopeScheduling):
    """Gives a worker all tests of a file, and all that question the whole stack."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder.endswith(f"/{WHOLE_STACK}") else file
