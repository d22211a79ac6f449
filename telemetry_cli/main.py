"""The `telemetry` program: its commands, and the one place where its errors end."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING

import typer

from telemetry_cli.errors import CommandError
from telemetry_cli.output import people, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES = {
    "up": "up",
    "demo": "demo",
    "status": "status",
    "quality": "quality",
    "env": "env",
    "keys": "keys",
    "contracts": "contracts",
    "replay": "replay",
    "trace": "trace",
    "sql": "sql",
    "secrets": "secret_files",
    "bench": "bench",
}
"""Each command's module, in the order in which help lists them."""


def program(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the program with the command that `arguments` begin with, else with all of them.

    What the others import takes most of a second.
    """
    app = typer.Typer(
        name="telemetry",
        help="Collect, clean and question telemetry: run the stack, manage its keys, check it.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    # A program of one command would not ask for the command's name.
    app.callback()(lambda: None)
    named = MODULES.get(arguments[0]) if arguments else None
    for module in [named] if named else MODULES.values():
        importlib.import_module(f"telemetry_cli.{module}").register(app)
    return app


_log = logging.getLogger(__name__)


def main() -> None:
    """Run the program; a CommandError becomes a message and exit code 1."""
    try:
        program(sys.argv[1:])()
    except CommandError as error:
        _tell(error.message, error.remedy)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the process's one boundary
        # What was not foreseen is a defect, so the trace is for whoever mends it.
        _log.exception("unforeseen error")
        _tell(
            f"{type(error).__name__}: {error}", "This is a defect; please report the trace above."
        )
        sys.exit(70)


def _tell(message: str, remedy: str) -> None:
    if "--json" in sys.argv:
        print_json({"error": message, "remedy": remedy})
        return
    console = people()
    console.print(f"error: {message}", style="red", markup=False)
    if remedy:
        console.print(remedy, markup=False)


if __name__ == "__main__":
    main()
