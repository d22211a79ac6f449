"""The audit log of reads of restricted columns: who, what and when, one JSON object a line."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from access_api.problems import not_audited
from telemetry_platform.access_keys.audit import append_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from telemetry_platform.access_keys.api_key import ApiKey

_log = logging.getLogger(__name__)


class Audit:
    """Appends to one file. A read that cannot be recorded must not happen."""

    def __init__(self, file: Path) -> None:
        self.file = file

    async def restricted_read(
        self,
        key: ApiKey,
        client: str | None,
        dataset: str,
        columns: Sequence[str],
        filters: dict[str, Any],
    ) -> None:
        """Record a read before it is answered.

        Raises:
            Problem: 503, it cannot be recorded.
        """
        entry: dict[str, object] = {
            "event": "restricted_read",
            "key_id": key.id,
            "fleet": key.fleet,
            "client": client,
            "dataset": dataset,
            "columns": list(columns),
            "filters": filters,
        }
        try:
            await asyncio.to_thread(self._append, entry)
        except OSError as error:
            _log.error("a restricted read could not be recorded", extra={"reason": error.strerror})
            raise not_audited() from error

    def _append(self, entry: dict[str, object]) -> None:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        append_line(self.file, entry)
