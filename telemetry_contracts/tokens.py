"""Tokens that stand for personal values: keyed, deterministic, versioned.

A token is `tok_<key version>_<base32 of the first 128 bits of HMAC-SHA256>` (RFC 2104, RFC 4648).
The same value under the same key gives the same token, so tables can be joined on it; without the
key the value cannot be found by trying.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b32encode
from typing import TYPE_CHECKING

from telemetry_contracts.keyfile import read_keys, write_keys

if TYPE_CHECKING:
    from pathlib import Path

_TOKEN_BYTES = 16
_KEY_BYTES = 32
_CACHE_LIMIT = 100_000


class KeyRing:
    """Token keys by version; the highest version makes new tokens."""

    def __init__(self, keys: dict[int, bytes]) -> None:
        if not keys:
            raise ValueError("a key ring needs at least one key")
        self._keys = keys
        self.current_version = max(keys)
        self._cache: dict[str, str] = {}

    def __reduce__(self) -> tuple[type[KeyRing], tuple[dict[int, bytes]]]:
        """Leave the tokens made so far behind when the ring goes to another process."""
        return KeyRing, (self._keys,)

    @classmethod
    def generate(cls) -> KeyRing:
        """Return a ring with one new random key."""
        return cls({1: secrets.token_bytes(_KEY_BYTES)})

    @classmethod
    def from_file(cls, path: Path) -> KeyRing:
        """Load a ring saved by `save`.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is not a key file.
        """
        return cls(read_keys(path))

    def save(self, path: Path) -> None:
        """Write the ring to `path`, readable by its owner only."""
        write_keys(path, self._keys)

    def token(self, value: str) -> str:
        """Return the current token of `value`."""
        found = self._cache.get(value)
        if found is None:
            if len(self._cache) >= _CACHE_LIMIT:
                self._cache.clear()
            found = self._cache[value] = self.token_under(value, self.current_version)
        return found

    def token_under(self, value: str, version: int) -> str:
        """Return the token of `value` under an older key, to look old rows up."""
        digest = hmac.digest(self._keys[version], value.encode(), "sha256")[:_TOKEN_BYTES]
        return f"tok_{version}_{b32encode(digest).decode().rstrip('=').lower()}"

    @property
    def versions(self) -> tuple[int, ...]:
        """Key versions, oldest first."""
        return tuple(sorted(self._keys))
