"""The audit log of API keys: who may do what, since when, and who still tries with an ended key.

One JSON object a line in `api_keys.audit.jsonl` beside the key file, mode 0600, appended only. It
names keys by id and never holds a secret or a hash.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson

from telemetry_platform.clock import utc_now

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry_platform.access_keys.api_key import ApiKey

CREATED = "created"
ROTATED = "rotated"
REVOKED = "revoked"
REFUSED = "refused"


def audit_file(key_file: Path) -> Path:
    """Return the audit log that belongs to a key file."""
    return key_file.with_name(f"{key_file.stem}.audit.jsonl")


def record(key_file: Path, event: str, key: ApiKey, **details: object) -> None:
    """Append one event of a key.

    The line holds `at` (UTC), `event`, `key_id`, `fleet`, `sources`, `roles`, `expires_at`, the
    account (`uid`) of the process that saw it, and `details`.

    Raises:
        OSError: It cannot be written.
    """
    append_line(
        audit_file(key_file),
        {
            "event": event,
            "key_id": key.id,
            "fleet": key.fleet,
            "sources": key.sources,
            "roles": key.roles,
            "expires_at": key.expires_at,
            **details,
        },
    )


def append_line(file: Path, entry: dict[str, object]) -> None:
    """Append one entry to a log of mode 0600, with the time and our account, and make it durable.

    Raises:
        OSError: It cannot be written.
    """
    line = orjson.dumps(
        {"at": utc_now(), **entry, "uid": os.getuid()},
        option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE,
    )
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        # One write of an appended line does not mix with those of other processes.
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
