"""Canonical payload bytes, and event ids: the client's own or made from the event."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
import orjson

from telemetry_contracts.conversions import Unreadable

_VERSION_8 = 8
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
MAX_EXTRAS_BYTES = 1024 * 1024
MAX_EXTRAS_DEPTH = 32
MAX_EXTRAS_KEYS = 1000
"""Most keys of unknown fields, nested ones too; what Elasticsearch takes by default."""

encode_canonical: Callable[[Any], bytes] = msgspec.json.Encoder(order="deterministic").encode
"""Writes JSON with sorted keys: the same values give the same bytes."""


def encode_extras(extras: dict[str, Any]) -> str:
    """Return unknown fields as JSON with sorted keys.

    Raises:
        Unreadable: They are too many, nested too deeply, too long, or have a NUL character.
    """
    _check_nesting(extras)
    text = orjson.dumps(extras, option=orjson.OPT_SORT_KEYS)
    if len(text) > MAX_EXTRAS_BYTES:
        message = f"expected unknown fields of at most {MAX_EXTRAS_BYTES} bytes"
        raise Unreadable("size", message)
    # Postgres has no NUL, neither in text nor in jsonb: one would stop the table it comes to.
    if b"\\u0000" in text and _NUL.search(text):
        raise Unreadable("text", "expected text without NUL characters")
    return text.decode()


def _check_nesting(extras: dict[str, Any]) -> None:
    level: list[Any] = [extras]
    keys = 0
    for _ in range(MAX_EXTRAS_DEPTH):
        keys += sum(len(node) for node in level if type(node) is dict)
        if keys > MAX_EXTRAS_KEYS:
            raise Unreadable("keys", f"expected at most {MAX_EXTRAS_KEYS} keys of unknown fields")
        values = [node.values() if type(node) is dict else node for node in level]
        level = [value for some in values for value in some if type(value) in (dict, list)]
        if not level:
            return
    raise Unreadable("depth", f"expected at most {MAX_EXTRAS_DEPTH} levels of nesting")


def given_event_id(salt: bytes, device_id: str, client_id: str) -> str:
    """Return the client's id when it is a UUID, else a UUIDv8 made from device and id.

    Args:
        salt: The source's name and a NUL byte.
        device_id: The device.
        client_id: What the client sent.
    """
    try:
        return str(uuid.UUID(client_id))
    except ValueError:
        return derived_event_id(b"%b%b\x00%b" % (salt, device_id.encode(), client_id.encode()))


def identifying_content(salt: bytes, device_id: str, event_time_us: int, payload: bytes) -> bytes:
    """Return what identifies an event whose client gave no id.

    Args:
        salt: The source's name and a NUL byte.
        device_id: The device.
        event_time_us: Microseconds since 1970 UTC.
        payload: Canonical payload.
    """
    return b"%b%b\x00%d\x00%b" % (salt, device_id.encode(), event_time_us, payload)


def derived_event_id(content: bytes) -> str:
    """Return a UUIDv8 (RFC 9562, section 5.8) that depends on `content` alone."""
    number = int.from_bytes(blake2b(content, digest_size=16).digest())
    number &= ~(0xF000 << 64) & ~(0xC000 << 48)
    number |= (_VERSION_8 << 76) | (0x8000 << 48)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
