"""Sealed bodies: AES-256-GCM (NIST SP 800-38D), so that rejected events rest unreadable.

Layout of a sealed value: key version (2 bytes, big-endian), nonce (12 bytes), ciphertext and tag.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from telemetry_contracts.keyfile import read_keys, write_keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_VERSION_BYTES = 2
_NONCE_BYTES = 12
_KEY_BITS = 256


class SealBroken(ValueError):
    """A sealed value was changed, or its key is not in the box."""


class SealBox:
    """Sealing keys by version; the highest version seals."""

    def __init__(self, keys: dict[int, bytes]) -> None:
        if not keys:
            raise ValueError("a seal box needs at least one key")
        self._keys = keys
        self._ciphers = {version: AESGCM(key) for version, key in keys.items()}
        self.current_version = max(keys)

    @classmethod
    def generate(cls) -> SealBox:
        """Return a box with one new random key."""
        return cls({1: AESGCM.generate_key(_KEY_BITS)})

    @classmethod
    def from_file(cls, path: Path) -> SealBox:
        """Load a box saved by `save`.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is not a key file.
        """
        return cls(read_keys(path))

    def save(self, path: Path) -> None:
        """Write the box to `path`, readable by its owner only."""
        write_keys(path, self._keys)

    def seal(self, plain: bytes) -> bytes:
        """Return `plain` sealed under the current key."""
        return self.seal_each([plain])[0]

    def seal_each(self, plains: Sequence[bytes]) -> list[bytes]:
        """Return each value sealed on its own under the current key."""
        version = self.current_version.to_bytes(_VERSION_BYTES)
        encrypt = self._ciphers[self.current_version].encrypt
        # Asking the system for randomness costs about as much as sealing a small event.
        random = secrets.token_bytes(_NONCE_BYTES * len(plains))
        nonces = [random[at : at + _NONCE_BYTES] for at in range(0, len(random), _NONCE_BYTES)]
        return [
            version + nonce + encrypt(nonce, plain, version)
            for nonce, plain in zip(nonces, plains, strict=True)
        ]

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            SealBroken: The value was changed or sealed under an unknown key.
        """
        version, rest = sealed[:_VERSION_BYTES], sealed[_VERSION_BYTES:]
        cipher = self._ciphers.get(int.from_bytes(version))
        if cipher is None:
            raise SealBroken(f"no seal key of version {int.from_bytes(version)}")
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], version)
        # A value cut inside its nonce is a ValueError.
        except (InvalidTag, ValueError) as error:
            raise SealBroken("the sealed value was changed or cut") from error
