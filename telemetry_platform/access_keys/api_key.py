"""One API key: its text, what is stored of it, and when it is good.

The text is `tlk_<id>_<secret>`. Only a hash of the secret is stored; it has 256 random bits, so
one SHA-256 is enough to keep it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from telemetry_platform.access_keys.rate_limit import RateLimit

ALL_SOURCES = "*"
WRITE = "write"
READ = "read"
READ_RESTRICTED = "read:restricted"
ADMIN = "admin"
ROLES = (WRITE, READ, READ_RESTRICTED, ADMIN)
"""What a key may do: send events, read marts, read tokenized columns too, or all of it."""
DEFAULT_ROLES = (WRITE,)

_PREFIX = "tlk"
_ID_BYTES = 6
_SECRET_BYTES = 32


@dataclass(frozen=True)
class ApiKey:
    """One key as stored: never the secret, only its SHA-256 in hexadecimal."""

    id: str
    fleet: str
    sources: tuple[str, ...]
    hash: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    rate_limit: RateLimit | None = None
    roles: tuple[str, ...] = DEFAULT_ROLES

    def may(self, role: str) -> bool:
        """Whether the key has `role`."""
        return role in self.roles or ADMIN in self.roles

    def covers(self, source: str) -> bool:
        """Whether `source` is in the key's scope."""
        return ALL_SOURCES in self.sources or source in self.sources

    def valid_at(self, moment: datetime) -> bool:
        """Whether the key is neither revoked nor expired at `moment`."""
        return (self.expires_at is None or moment < self.expires_at) and (
            self.revoked_at is None or moment < self.revoked_at
        )

    def opens_with(self, secret: str) -> bool:
        """Whether `secret` is the key's, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(hash_secret(secret), self.hash)


def new_key_text() -> tuple[str, str, str]:
    """Return the id, the secret and the whole text of a new key."""
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return key_id, secret, f"{_PREFIX}_{key_id}_{secret}"


def split_key_text(text: str) -> tuple[str, str]:
    """Return id and secret of a key's text; both empty when it is none."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == _PREFIX else ("", "")


def hash_secret(secret: str) -> str:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
