"""`telemetry keys`: the API keys that devices post with."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ingest_lambda.keys import (
    ALL_SOURCES,
    ApiKey,
    KeyFileError,
    create_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from telemetry_cli.errors import CommandError
from telemetry_cli.output import JsonOption, people, print_json, print_table
from telemetry_contracts.registry import load_registry
from telemetry_platform.clock import utc_now
from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

app = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True)

T = TypeVar("T")
KeyId = Annotated[str, typer.Argument(help="The key's id, as `telemetry keys list` shows it.")]


def register(program: typer.Typer) -> None:
    """Add the commands to the `telemetry` program."""
    program.add_typer(app, name="keys")


@app.command("create")
def create(
    fleet: Annotated[str, typer.Argument(help="Name of the fleet that will use the key.")],
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="A source the key may post to; repeat it. All without it."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for a fleet. Its text is shown this once; only a hash is stored."""
    known = load_registry().sources
    unknown = sorted(set(source or ()) - {*known, ALL_SOURCES})
    if unknown:
        raise CommandError(
            f"There is no source {', '.join(unknown)}.", f"Choose from: {', '.join(known)}."
        )
    path = _key_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _show_new(*_tried(create_key, path, fleet, source or [ALL_SOURCES]), as_json=as_json)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Show all keys: id, fleet, sources and whether they are in force. Never a key's text."""
    path = _key_file()
    found = _tried(list_keys, path) if path.exists() else []
    if as_json:
        print_json({"keys": [_public(key) for key in found]})
        return
    rows = [
        (key.id, key.fleet, ", ".join(key.sources), f"{key.created_at:%Y-%m-%d %H:%M}", _state(key))
        for key in found
    ]
    print_table(f"API keys in {path}", ("Id", "Fleet", "Sources", "Created (UTC)", "State"), rows)


@app.command("rotate")
def rotate(
    key_id: KeyId,
    overlap_hours: Annotated[
        float, typer.Option(help="How long the old key stays good, in hours.", min=0)
    ] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """Make a successor of a key. The old one stays good for a while, so that devices can change."""
    overlap = timedelta(hours=overlap_hours)
    _show_new(*_tried(rotate_key, _key_file(), key_id, overlap), as_json=as_json)


@app.command("revoke")
def revoke(key_id: KeyId, as_json: JsonOption = False) -> None:
    """End a key now; posts with it are refused within a second."""
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
        return f"revoked {key.revoked_at:%Y-%m-%d %H:%M}"
    if not key.valid_at(utc_now()):
        return "expired"
    return f"until {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "in force"
