"""Checks presented API keys in a running process, against a key file that others may change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from telemetry_platform.access_keys.api_key import ApiKey, hash_secret, split_key_text
from telemetry_platform.access_keys.key_file import KeyFileError, list_keys
from telemetry_platform.clock import utc_now

if TYPE_CHECKING:
    from pathlib import Path

_CHECK_SECONDS = 1.0


class KeyStore:
    """The keys of a file, which is looked at every second and read again when it changed.

    A key is found by its id and checked by one hash, so a check costs microseconds however many
    keys there are, and a revoked key is refused after a second at most.

    Attributes:
        path: The key file.
        problem: Why the file could not be read when last tried, else None. Keys read before stay
            in force meanwhile, so that a half-edited file does not lock a fleet out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self._keys: dict[str, ApiKey] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._next_check = 0.0

    def verify(self, text: str) -> ApiKey | None:
        """Return the valid key that `text` is, else None."""
        key = self._match(text)
        return key if key is not None and key.valid_at(utc_now()) else None

    def find(self, key_id: str) -> ApiKey | None:
        """Return the valid key of that id, else None. It proves nothing about who asks."""
        self.refresh()
        key = self._keys.get(key_id)
        return key if key is not None and key.valid_at(utc_now()) else None

    def ended(self, text: str) -> ApiKey | None:
        """Return the revoked or expired key that `text` is, else None."""
        key = self._match(text)
        return key if key is not None and not key.valid_at(utc_now()) else None

    @property
    def empty(self) -> bool:
        """Whether no valid key is known."""
        self.refresh()
        now = utc_now()
        return not any(key.valid_at(now) for key in self._keys.values())

    def refresh(self) -> None:
        """Read the file again when it changed, looking at most once a second."""
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + _CHECK_SECONDS
            self.check_now()

    def check_now(self) -> None:
        """Read the file again if it changed."""
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._keys = {key.id: key for key in list_keys(self.path)}
        except FileNotFoundError:
            self.problem = "there is no API key file"
        except (OSError, KeyFileError):
            self.problem = "the API key file cannot be read"
        else:
            self._stamp, self.problem = stamp, None

    def _match(self, text: str) -> ApiKey | None:
        """Return the key whose text this is, in force or not."""
        self.refresh()
        key_id, secret = split_key_text(text)
        key = self._keys.get(key_id)
        if key is None:
            hash_secret(secret)  # an unknown id takes as long as a wrong secret
            return None
        return key if key.opens_with(secret) else None
