"""API keys: who may post, for which fleet and which sources.

The key file and the check of a presented key are here; reading headers is `routes`' work. Only
hashes are stored. A secret has 256 random bits, so one SHA-256 is enough to keep it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from telemetry_platform.clock import utc_now

ALL_SOURCES = "*"
_PREFIX = "tlk"
_ID_BYTES = 6
_SECRET_BYTES = 32
_CHECK_SECONDS = 1.0
_NO_HASH = "0" * 64


class KeyFileError(ValueError):
    """The key file is not what this module writes, or names no such key."""


@dataclass(frozen=True)
class ApiKey:
    """One key as stored: never the secret, only its SHA-256."""

    id: str
    fleet: str
    sources: tuple[str, ...]
    hash: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def may_send(self, source: str) -> bool:
        """Whether the key is for events of `source`."""
        return ALL_SOURCES in self.sources or source in self.sources

    def valid_at(self, moment: datetime) -> bool:
        """Whether the key is neither revoked nor expired at `moment`."""
        ends = [end for end in (self.expires_at, self.revoked_at) if end is not None]
        return all(moment < end for end in ends)


def create_key(
    path: Path, fleet: str, sources: tuple[str, ...] | list[str] = (ALL_SOURCES,)
) -> tuple[str, str]:
    """Add a key to the file, which is made when absent.

    Returns:
        The key's id and its text. The text is shown this once; it cannot be had again.
    """
    key, text = _new_key(fleet, tuple(sources))
    _write(path, [*_read_if_there(path), key])
    return key.id, text


def rotate_key(
    path: Path, key_id: str, overlap: timedelta = timedelta(hours=24)
) -> tuple[str, str]:
    """Add a successor of a key; the old one stays good for `overlap`.

    Returns:
        The successor's id and its text.

    Raises:
        KeyFileError: There is no valid key of that id.
    """
    keys = list_keys(path)
    now = utc_now()
    old = _find(keys, key_id)
    if not old.valid_at(now):
        raise KeyFileError(f"key {key_id} is revoked or expired")
    successor, text = _new_key(old.fleet, old.sources)
    end = now + overlap if old.expires_at is None else min(old.expires_at, now + overlap)
    retired = replace(old, expires_at=end)
    _write(path, [retired if key.id == key_id else key for key in keys] + [successor])
    return successor.id, text


def revoke_key(path: Path, key_id: str) -> ApiKey:
    """End a key now.

    Returns:
        The key as it is stored from now on.

    Raises:
        KeyFileError: There is no key of that id.
    """
    keys = list_keys(path)
    found = _find(keys, key_id)
    revoked = found if found.revoked_at else replace(found, revoked_at=utc_now())
    _write(path, [revoked if key.id == key_id else key for key in keys])
    return revoked


def list_keys(path: Path) -> list[ApiKey]:
    """Return all keys in the file, revoked ones too, oldest first.

    Raises:
        OSError: The file cannot be read.
        KeyFileError: It is not a key file.
    """
    try:
        return [_from_json(entry) for entry in json.loads(path.read_bytes())["keys"]]
    except (KeyError, TypeError, ValueError) as error:
        raise KeyFileError(f"{path} is not an API key file") from error


class KeyStore:
    """Checks presented keys against the file, which is read again when it changes.

    Attributes:
        problem: Why the file could not be read when last tried, else None. Keys read before stay
            in force meanwhile, so that a half-edited file does not lock a fleet out.
    """

    def __init__(self, path: Path) -> None:
        self.problem: str | None = None
        self._path = path
        self._keys: dict[str, ApiKey] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._next_check = 0.0

    def verify(self, text: str) -> ApiKey | None:
        """Return the valid key that `text` is, else None. Takes the same time for any secret."""
        self.refresh()
        key_id, secret = _split(text)
        key = self._keys.get(key_id)
        presented = _hash(secret)
        same = hmac.compare_digest(presented, key.hash if key else _NO_HASH)
        return key if key is not None and same and key.valid_at(utc_now()) else None

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
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            self._keys = {key.id: key for key in list_keys(self._path)}
        except FileNotFoundError:
            self.problem = "there is no API key file"
        except (OSError, KeyFileError):
            self.problem = "the API key file cannot be read"
        else:
            self._stamp, self.problem = stamp, None


def _new_key(fleet: str, sources: tuple[str, ...]) -> tuple[ApiKey, str]:
    key_id = secrets.token_hex(_ID_BYTES)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    key = ApiKey(key_id, fleet, sources, _hash(secret), utc_now())
    return key, f"{_PREFIX}_{key_id}_{secret}"


def _split(text: str) -> tuple[str, str]:
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == _PREFIX else ("", "")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _find(keys: list[ApiKey], key_id: str) -> ApiKey:
    for key in keys:
        if key.id == key_id:
            return key
    raise KeyFileError(f"there is no key {key_id}")


def _read_if_there(path: Path) -> list[ApiKey]:
    return list_keys(path) if path.exists() else []


def _from_json(entry: dict) -> ApiKey:
    return ApiKey(
        id=str(entry["id"]),
        fleet=str(entry["fleet"]),
        sources=tuple(entry["sources"]),
        hash=str(entry["hash"]),
        created_at=datetime.fromisoformat(entry["created_at"]),
        expires_at=_moment(entry.get("expires_at")),
        revoked_at=_moment(entry.get("revoked_at")),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _write(path: Path, keys: list[ApiKey]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    text = json.dumps({"keys": [asdict(key) for key in keys]}, default=_iso, indent=2)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _iso(moment: datetime) -> str:
    return moment.isoformat()
