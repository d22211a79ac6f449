"""The API key file: creating, rotating, revoking and listing keys.

Checking a presented key is `key_store`'s work. Every change is made under a lock, written
atomically, and recorded in the audit log.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from telemetry_platform.access_keys.api_key import (
    ALL_SOURCES,
    DEFAULT_ROLES,
    ROLES,
    ApiKey,
    hash_secret,
    new_key_text,
)
from telemetry_platform.access_keys.audit import CREATED, REVOKED, ROTATED, record
from telemetry_platform.access_keys.rate_limit import RateLimit
from telemetry_platform.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

_HASH = re.compile(r"[0-9a-f]{64}")
DEFAULT_OVERLAP = timedelta(hours=24)


class KeyFileError(ValueError):
    """The key file is not what this module writes, or does not hold such a key."""


def create_key(  # noqa: PLR0913 - one parameter a property of the key
    path: Path,
    fleet: str,
    sources: Sequence[str] = (ALL_SOURCES,),
    *,
    roles: Sequence[str] = DEFAULT_ROLES,
    expires_at: datetime | None = None,
    rate_limit: RateLimit | None = None,
) -> tuple[str, str]:
    """Add a key to the file, which is made when absent.

    Args:
        path: The key file.
        fleet: Who the key is for.
        sources: What it may send and read about; `*` for everything.
        roles: Some of `ROLES`.
        expires_at: When it ends; never without it.
        rate_limit: What it may send over time, when not what the settings say.

    Returns:
        The key's id and its text. The text is shown this once; it cannot be had again.

    Raises:
        KeyFileError: The file is no key file, a role is unknown, or `expires_at` is over.
        OSError: The file or its audit log cannot be written.
    """
    with _locked(path):
        key, text = _new_key(fleet, sources, roles, expires_at, rate_limit)
        _write(path, [*_read_if_there(path), key])
        record(path, CREATED, key)
    return key.id, text


def rotate_key(
    path: Path,
    key_id: str,
    overlap: timedelta = DEFAULT_OVERLAP,
    *,
    expires_at: datetime | None = None,
    may_never_expire: bool = False,
) -> tuple[str, str]:
    """Add a successor of a key with the same rights; the old one stays good for `overlap`.

    Args:
        path: The key file.
        key_id: The key to replace.
        overlap: How long both keys are good; the old one never lives longer than it would have.
        expires_at: When the successor ends.
        may_never_expire: Let the successor of a key that expires be one that does not.

    Returns:
        The successor's id and its text.

    Raises:
        KeyFileError: There is no valid key of that id, or it expires and nobody said whether its
            successor does.
        OSError: The file or its audit log cannot be written.
    """
    with _locked(path):
        keys = list_keys(path)
        now = utc_now()
        old = _find(keys, key_id)
        if not old.valid_at(now):
            raise KeyFileError(f"key {key_id} is revoked or expired")
        if old.expires_at and not expires_at and not may_never_expire:
            raise KeyFileError(f"key {key_id} expires; say when its successor does")
        successor, text = _new_key(old.fleet, old.sources, old.roles, expires_at, old.rate_limit)
        end = now + overlap if old.expires_at is None else min(old.expires_at, now + overlap)
        retired = replace(old, expires_at=end)
        _write(path, [*_with(keys, retired), successor])
        record(path, ROTATED, retired, successor=successor.id)
        record(path, CREATED, successor)
    return successor.id, text


def revoke_key(path: Path, key_id: str) -> ApiKey:
    """End a key now.

    Returns:
        The key as it is stored from now on.

    Raises:
        KeyFileError: There is no key of that id.
        OSError: The file or its audit log cannot be written.
    """
    with _locked(path):
        keys = list_keys(path)
        found = _find(keys, key_id)
        if found.revoked_at:
            return found
        revoked = replace(found, revoked_at=utc_now())
        _write(path, _with(keys, revoked))
        record(path, REVOKED, revoked)
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


def _new_key(
    fleet: str,
    sources: Sequence[str],
    roles: Sequence[str],
    expires_at: datetime | None,
    rate_limit: RateLimit | None,
) -> tuple[ApiKey, str]:
    now = utc_now()
    if expires_at is not None and expires_at <= now:
        raise KeyFileError("a key cannot expire before it is made")
    if not roles or not set(roles) <= set(ROLES):
        raise KeyFileError(f"the roles of a key are some of {', '.join(ROLES)}")
    key_id, secret, text = new_key_text()
    key = ApiKey(
        id=key_id,
        fleet=fleet,
        sources=tuple(sources),
        hash=hash_secret(secret),
        created_at=now,
        expires_at=expires_at,
        rate_limit=rate_limit,
        roles=tuple(roles),
    )
    return key, text


def _find(keys: list[ApiKey], key_id: str) -> ApiKey:
    for key in keys:
        if key.id == key_id:
            return key
    raise KeyFileError(f"there is no key {key_id}")


def _with(keys: list[ApiKey], changed: ApiKey) -> list[ApiKey]:
    return [changed if key.id == changed.id else key for key in keys]


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Let one process change the file at a time: each change reads what is there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The directory is locked, because the file is replaced by each change.
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_if_there(path: Path) -> list[ApiKey]:
    return list_keys(path) if path.exists() else []


def _from_json(entry: dict[str, Any]) -> ApiKey:
    created_at = _moment(entry["created_at"])
    limit = entry.get("rate_limit")
    if created_at is None or not _HASH.fullmatch(entry["hash"]):
        raise ValueError("no key")
    return ApiKey(
        id=str(entry["id"]),
        fleet=str(entry["fleet"]),
        sources=tuple(entry["sources"]),
        hash=entry["hash"],
        created_at=created_at,
        expires_at=_moment(entry.get("expires_at")),
        revoked_at=_moment(entry.get("revoked_at")),
        rate_limit=None if limit is None else RateLimit.of(**limit),
        # A key that was made before there were roles is one to send with.
        roles=tuple(entry.get("roles", DEFAULT_ROLES)),
    )


def _moment(text: str | None) -> datetime | None:
    moment = None if text is None else datetime.fromisoformat(text)
    if moment is not None and moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment


def _write(path: Path, keys: list[ApiKey]) -> None:
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
