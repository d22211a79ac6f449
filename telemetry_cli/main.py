"""The `telemetry` program: its commands, and the one place where its errors end."""

from __future__ import annotations

import logging
import sys

import typer

from telemetry_cli import (
    bench,
    contracts,
    demo,
    env,
    keys,
    quality,
    replay,
    secret_files,
    status,
    trace,
    up,
)
from telemetry_cli.errors import CommandError
from telemetry_cli.output import people, print_json

app = typer.Typer(
    name="telemetry",
    help="Collect, clean and question telemetry: run the stack, manage its keys, check it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    up,
    demo,
    status,
    quality,
    env,
    keys,
    contracts,
    replay,
    trace,
    secret_files,
    bench,
):
    command.register(app)

_log = logging.getLogger(__name__)


def main() -> None:
    """Run the program; a CommandError becomes a message and exit code 1."""
    try:
        app()
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
