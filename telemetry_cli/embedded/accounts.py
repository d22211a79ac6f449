"""Accounts of this machine: Postgres refuses to run as root, so one without privileges runs it."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from telemetry_cli.embedded.processes import Account
from telemetry_cli.errors import CommandError

# `postgres` exists where a distribution's server was installed, `nobody` nearly everywhere.
_CANDIDATES = ("postgres", "nobody")


def unprivileged_account() -> Account | None:
    """Return the account that runs the database when we are root; None when we are not.

    Raises:
        CommandError: We are root and there is no such account.
    """
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise CommandError(
        f"PostgreSQL does not run as root, and none of the accounts {_CANDIDATES} exists.",
        "Run as an ordinary user, or create an account: `useradd --system postgres`.",
    )


def reachable(path: Path, account: Account) -> bool:
    """Return whether `account` may enter `path` and every directory above it."""
    place = path.resolve()
    return all(_may_enter(directory, account) for directory in (place, *place.parents))


def _may_enter(directory: Path, account: Account) -> bool:
    found = directory.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
