"""The one source of new identifiers."""

from __future__ import annotations

import secrets
import time
import uuid

_VERSION_7 = 0x7
_VARIANT = 0x8000
_LOW_BITS = (1 << 62) - 1


def new_uuid7() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7): milliseconds since 1970, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    high = (milliseconds << 16) | (_VERSION_7 << 12) | (random >> 62)
    low = (_VARIANT << 48) | (random & _LOW_BITS)
    return uuid.UUID(int=(high << 64) | low)


def new_receipt_id() -> str:
    """Return an identifier for one accepted post or file; receipts sort by time."""
    return f"rcp_{new_uuid7().hex}"
