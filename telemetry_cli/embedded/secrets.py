"""The secrets of an embedded stack: made at the first start, mode 0600, kept over restarts."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from telemetry_cli.embedded.state import write_private
from telemetry_cli.errors import CommandError
from telemetry_contracts.sealing import SealBox
from telemetry_contracts.tokens import KeyRing
from telemetry_platform.access_keys.api_key import DEFAULT_ROLES, READ, WRITE
from telemetry_platform.access_keys.key_file import create_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ACCESS_KEY_BYTES = 10
_SECRET_BYTES = 30
DEVELOPMENT_FLEET = "development"
DEVELOPMENT_KEY_FILE = "dev_api_key"
DEVELOPMENT_ROLES = (READ, WRITE)


def _s3_access_key() -> str:
    return "TL" + secrets.token_hex(_ACCESS_KEY_BYTES).upper()


def _secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


_ADDED_LATER = {
    "postgres_reader_password": _secret,
    "s3_reader_access_key": _s3_access_key,
    "s3_reader_secret_key": _secret,
}


@dataclass(frozen=True)
class StackSecrets:
    """Credentials of the embedded servers. The values are random text of URL-safe characters."""

    s3_access_key: str
    s3_secret_key: str
    postgres_password: str
    postgres_superuser_password: str
    postgres_reader_password: str = ""
    """Missing in the file of a home that is older than the access API, until its next start."""

    s3_reader_access_key: str = ""
    s3_reader_secret_key: str = ""
    """The access API's way into the lake; missing like the password of the reader."""


def ensure_secrets(directory: Path) -> StackSecrets:
    """Make what is missing in `directory` and return the servers' credentials.

    Files: `servers.json` (see StackSecrets), `token_keys.json`, `seal_keys.json`, `api_keys.json`,
    and `dev_api_key` with the development key in plain text, for this machine only.

    Raises:
        CommandError: A file is there but cannot be used.
    """
    ensure_keys(directory, DEVELOPMENT_FLEET, directory / DEVELOPMENT_KEY_FILE, DEVELOPMENT_ROLES)
    return ensure_server_secrets(directory)


def ensure_keys(
    directory: Path, fleet: str, key_file: Path, roles: Sequence[str] = DEFAULT_ROLES
) -> None:
    """Make what the edge needs and is missing in `directory`: token, seal and API keys.

    Args:
        directory: The edge's secrets; made with mode 0700.
        fleet: Who the first API key is for.
        key_file: Where that key is kept in plain text. When the file is there, no key is made.
        roles: What that key may do.
    """
    make_directory(directory)
    if not (directory / "token_keys.json").exists():
        KeyRing.generate().save(directory / "token_keys.json")
    if not (directory / "seal_keys.json").exists():
        SealBox.generate().save(directory / "seal_keys.json")
    ensure_first_key(directory, fleet, key_file, roles)


def ensure_first_key(directory: Path, fleet: str, key_file: Path, roles: Sequence[str]) -> None:
    """Make an API key for every source, unless `key_file` holds one in plain text already."""
    make_directory(directory)
    if not key_file.exists():
        _, plain = create_key(directory / "api_keys.json", fleet, ["*"], roles=roles)
        write_private(key_file, plain + "\n")


def make_directory(directory: Path) -> None:
    """Make a directory for secrets that nobody else can enter."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)


def read_secrets(directory: Path) -> StackSecrets:
    """Return the credentials that `ensure_secrets` made.

    Raises:
        CommandError: There are none, or the file cannot be used.
    """
    path = directory / "servers.json"
    try:
        return StackSecrets(**json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise CommandError(
            f"No stack was ever started with secrets in {directory}.",
            "Run `telemetry up` first, or set TELEMETRY_HOME to the home of your stack.",
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(
            f"The credentials file {path} cannot be used ({type(error).__name__}).",
            "Restore it from a copy; without it the data of this home cannot be opened.",
        ) from error


def ensure_server_secrets(directory: Path) -> StackSecrets:
    """Return the servers' credentials in `directory`, made when there are none.

    Raises:
        CommandError: The file is there but cannot be used.
    """
    path = directory / "servers.json"
    if not path.exists():
        made = StackSecrets(
            s3_access_key=_s3_access_key(),
            s3_secret_key=_secret(),
            postgres_password=_secret(),
            postgres_superuser_password=_secret(),
        )
        write_private(path, json.dumps(asdict(made), indent=2))
    found = read_secrets(directory)
    missing = {name: made() for name, made in _ADDED_LATER.items() if not getattr(found, name)}
    if missing:
        found = replace(found, **missing)
        write_private(path, json.dumps(asdict(found), indent=2))
    return found
