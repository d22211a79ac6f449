"""`telemetry contracts`: whether the device contracts hold and stay readable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telemetry_cli.errors import CommandError
from telemetry_cli.output import JsonOption, people, print_json, print_table
from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry

app = typer.Typer(help="Check the contracts that say what a device may send.", no_args_is_help=True)

DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        help="Directory of contract files; without it, the built-in ones.",
        exists=True,
    ),
]


def register(program: typer.Typer) -> None:
    """Add the commands to the `telemetry` program."""
    program.add_typer(app, name="contracts")


@app.command("check")
def check(directory: DirectoryOption = None, as_json: JsonOption = False) -> None:
    """Load every contract and compare it with its last released or accepted version.

    Without --directory these are the built-in ones and those in TELEMETRY_CONTRACTS_DIR. With it,
    they are compared with what is in force at this home, and with a released.json beside them, too.
    Exit code 1 when a contract is wrong, or would break those who read its data.
    """
    # Imported here because they read YAML and schemas, which no other command needs.
    from telemetry_contracts.compatibility import check as find_problems
    from telemetry_contracts.registry import load_registry

    loaded = load_registry(directory)
    problems = find_problems(loaded)
    if directory is None:
        loaded, more = _followed()
    else:
        more = _against_those_before(loaded, directory)
    problems += [problem for problem in more if problem not in problems]
    if as_json:
        print_json({"sources": list(loaded.sources), "problems": problems})
    else:
        rows = [(s, loaded[s].version, str(len(loaded[s].fields))) for s in loaded.sources]
        print_table("Contracts", ("Source", "Version", "Fields"), rows)
    if problems and not as_json:
        raise CommandError(
            "\n".join(problems), "Mend the contract, or release a new major version."
        )
    if problems:
        raise typer.Exit(1)


def _followed() -> tuple[Registry, list[str]]:
    """Return the contracts in force, and why files of the folder are not among them."""
    from telemetry_contracts.compatibility import schema_problems
    from telemetry_platform.contracts import contract_folder

    settings = get_settings()
    found = contract_folder(settings).look()
    problems = schema_problems(settings.contracts_path)
    return found.registry, [*problems, *(f"{name}: {why}" for name, why in found.refused.items())]


def _against_those_before(loaded: Registry, directory: Path) -> list[str]:
    """Compare contracts with those in force here, and with those released from their folder."""
    from telemetry_contracts.adoption import RELEASED_FILE
    from telemetry_contracts.compatibility import change_problems, described, read_released
    from telemetry_platform.contracts import contracts_in_force

    in_force = contracts_in_force(get_settings())
    released = directory / RELEASED_FILE
    baselines = [
        {source: described(contract) for source, contract in in_force.items()},
        read_released(released) if released.exists() else {},
    ]
    return [
        problem
        for before in baselines
        for source, contract in loaded.items()
        if source in before
        for problem in change_problems(contract, before[source])
    ]


@app.command("release")
def release() -> None:
    """Keep the built-in contracts as the released ones, to hold later changes against.

    Exit code 1 when they would break those who read their data.
    """
    from telemetry_contracts.compatibility import release as keep
    from telemetry_contracts.contract import ContractError
    from telemetry_contracts.registry import load_registry

    registry = load_registry()
    try:
        keep(registry)
    except ContractError as error:
        raise CommandError(str(error), "Mend the contract, or raise its major version.") from error
    people().print(", ".join(f"{source} {registry[source].version}" for source in registry))
