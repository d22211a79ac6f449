"""`telemetry env`: how other programs reach the stack of this home."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from telemetry_cli.embedded.environment import exported
from telemetry_cli.embedded.services import running_settings
from telemetry_cli.output import JsonOption, print_json
from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add the command to the `telemetry` program."""
    app.command("env")(env)


def env(as_json: JsonOption = False) -> None:
    """Print the stack's addresses and credentials as shell exports.

    Use it as  eval "$(telemetry env)" . The output contains passwords: do not log it. The API key
    is not part of it; it lies in TELEMETRY_HOME/secrets/dev_api_key.
    """
    variables = exported(running_settings(get_settings()))
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
