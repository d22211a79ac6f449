"""`telemetry keys`: the API keys that devices post with and people read with."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from telemetry_cli.errors import CommandError
from telemetry_cli.output import JsonOption, people, print_json, print_table
from telemetry_platform.access_keys.api_key import ALL_SOURCES, DEFAULT_ROLES, ROLES
from telemetry_platform.access_keys.key_file import (
    KeyFileError,
    create_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from telemetry_platform.access_keys.rate_limit import RateLimit
from telemetry_platform.clock import utc_now
from telemetry_platform.contracts import contracts_in_force
from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telemetry_platform.access_keys.api_key import ApiKey

app = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True)

T = TypeVar("T")
_NEVER = "never"
_DURATION = re.compile(r"(\d+)([dhm])")
_DURATION_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_EXPIRES_HELP = (
    "When the key ends: in 90d, 12h or 30m, or at a day or time such as 2027-01-31 (UTC)"
)
KeyId = Annotated[str, typer.Argument(help="The key's id, as `telemetry keys list` shows it.")]


def register(program: typer.Typer) -> None:
    """Add the commands to the `telemetry` program."""
    program.add_typer(app, name="keys")


@app.command("create")
def create(  # noqa: PLR0913, PLR0917 - one parameter an option
    fleet: Annotated[str, typer.Argument(help="Name of the fleet that will use the key.")],
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="A source the key is for; repeat it. All without it."),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role", help=f"What it may do; repeat it: {', '.join(ROLES)}. `write` without it."
        ),
    ] = None,
    expires: Annotated[str | None, typer.Option(help=f"{_EXPIRES_HELP}. Never without it.")] = None,
    rate: Annotated[
        float | None, typer.Option(help="Events a second; without it as the settings say.")
    ] = None,
    burst: Annotated[
        int | None, typer.Option(help="Events at once after a pause; 10 s of --rate without it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for a fleet. Its text is shown this once; only a hash is stored."""
    known = contracts_in_force(get_settings()).sources
    unknown = sorted(set(source or ()) - {*known, ALL_SOURCES})
    if unknown:
        raise CommandError(
            f"There is no source {', '.join(unknown)}.", f"Choose from: {', '.join(known)}."
        )
    roles = role or DEFAULT_ROLES
    if not set(roles) <= set(ROLES):
        raise CommandError("There is no such role.", f"Choose from: {', '.join(ROLES)}.")
    expires_at, rate_limit = _moment(expires), _limit(rate, burst)
    path = _key_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def make() -> tuple[str, str]:
        return create_key(
            path,
            fleet,
            source or [ALL_SOURCES],
            roles=roles,
            expires_at=expires_at,
            rate_limit=rate_limit,
        )

    _show_new(*_tried(make), as_json=as_json)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Show all keys: id, fleet, sources, roles, whether in force. Never a key's text."""
    path = _key_file()
    found = _tried(list_keys, path) if path.exists() else []
    if as_json:
        print_json({"keys": [_public(key) for key in found]})
        return
    rows = [
        (
            key.id,
            key.fleet,
            ", ".join(key.sources),
            ", ".join(key.roles),
            _shown(key.created_at),
            _shown(key.expires_at) if key.expires_at else _NEVER,
            _shown_limit(key.rate_limit),
            _state(key),
        )
        for key in found
    ]
    columns = (
        "Id",
        "Fleet",
        "Sources",
        "Roles",
        "Created (UTC)",
        "Expires (UTC)",
        "Events/s",
        "State",
    )
    print_table(f"API keys in {path}", columns, rows)


@app.command("rotate")
def rotate(
    key_id: KeyId,
    overlap_hours: Annotated[
        float, typer.Option(help="How long the old key stays good, in hours.", min=0)
    ] = 24.0,
    expires: Annotated[
        str | None,
        typer.Option(
            help=f"{_EXPIRES_HELP}, or '{_NEVER}'. The successor of a key that expires needs it."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a successor of a key. The old one stays good for a while, so that devices can change."""
    never = expires == _NEVER
    expires_at = None if never else _moment(expires)

    def make() -> tuple[str, str]:
        overlap = timedelta(hours=overlap_hours)
        return rotate_key(
            _key_file(), key_id, overlap, expires_at=expires_at, may_never_expire=never
        )

    _show_new(*_tried(make), as_json=as_json)


@app.command("revoke")
def revoke(key_id: KeyId, as_json: JsonOption = False) -> None:
    """End a key now; every process refuses it within 5 s."""
    key = _tried(revoke_key, _key_file(), key_id)
    if as_json:
        print_json(_public(key))
    else:
        people().print(f"Key {key.id} of fleet {key.fleet} is revoked.", markup=False)


def _key_file() -> Path:
    return get_settings().secrets_dir / "api_keys.json"


def _tried(action: Callable[..., T], *arguments: object) -> T:
    try:
        return action(*arguments)
    except KeyFileError as error:
        raise CommandError(f"{error}.", "`telemetry keys list` shows the keys.") from error
    except FileNotFoundError as error:
        raise CommandError(
            f"There is no key file {error.filename}.",
            "Make a first key with `telemetry keys create FLEET`, or start `telemetry up`.",
        ) from error
    except OSError as error:
        raise CommandError(
            f"The key file cannot be used: {error}.", "Check its owner and its mode (0600)."
        ) from error


def _show_new(key_id: str, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": key_id, "key": text})
        return
    people().print(f"Key {key_id}. Keep its text safe, it is not shown again:", markup=False)
    sys.stdout.write(f"{text}\n")  # the key alone, for a pipe


def _public(key: ApiKey) -> dict[str, Any]:
    return {name: value for name, value in asdict(key).items() if name != "hash"}


def _state(key: ApiKey) -> str:
    if key.revoked_at:
        return f"revoked {_shown(key.revoked_at)}"
    return "in force" if key.valid_at(utc_now()) else "expired"


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _shown_limit(limit: RateLimit | None) -> str:
    if limit is None:
        return "as set"
    return f"{limit.events_per_second:g}, burst {limit.burst_events}"


def _limit(rate: float | None, burst: int | None) -> RateLimit | None:
    if rate is None and burst is None:
        return None
    try:
        if rate is None:
            raise ValueError("a burst needs a rate")
        return RateLimit.of(rate, burst)
    except ValueError as error:
        raise CommandError(
            f"This is no rate limit: {error}.", "Try --rate 100 --burst 1000."
        ) from (error)


def _moment(text: str | None) -> datetime | None:
    """Return the moment that a duration from now, a day or a time names; a zone is UTC if none."""
    if text is None:
        return None
    duration = _DURATION.fullmatch(text)
    try:
        if duration:
            return utc_now() + timedelta(**{_DURATION_UNITS[duration[2]]: int(duration[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise CommandError(
            f"{text!r} is no time to expire at.", "Write 90d, 12h, 30m, or 2027-01-31."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
