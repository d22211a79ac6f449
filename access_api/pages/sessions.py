"""A session of a browser: a cookie that stands for an API key, and that nobody else can write.

It is signed with what is stored of the key, as cursors are, so every process can check it, none
needs a secret of its own, and it ends with the key.
"""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telemetry_platform.access_keys.api_key import ApiKey
    from telemetry_platform.access_keys.key_store import KeyStore

COOKIE = "telemetry_session"
SECONDS = 12 * 3600


def write_session(key: ApiKey, now: float | None = None) -> str:
    """Return the cookie of a session that begins now."""
    end = int((time.time() if now is None else now) + SECONDS)
    return f"{key.id}.{end}.{_signature(key, end)}"


def read_session(keys: KeyStore, cookie: str, now: float | None = None) -> ApiKey | None:
    """Return the key that a cookie stands for, while both are valid, else None."""
    key_id, _, rest = cookie.partition(".")
    end, _, signature = rest.partition(".")
    key = keys.find(key_id)
    if key is None or not (end.isascii() and end.isdecimal()):
        return None
    if not hmac.compare_digest(_signature(key, int(end)).encode(), signature.encode()):
        return None
    return key if (time.time() if now is None else now) < int(end) else None


def _signature(key: ApiKey, end: int) -> str:
    return hmac.digest(f"session {key.hash}".encode(), f"{key.id} {end}".encode(), "sha256").hex()
