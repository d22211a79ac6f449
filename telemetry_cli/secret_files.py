"""`telemetry secrets`: the credentials of a stack whose servers are not children of this program.

`docker-compose.yml` says which container is given which of the files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from telemetry_cli.embedded.postgres import DAGSTER_DATABASE, DATABASE
from telemetry_cli.embedded.roles import OWNER, READER
from telemetry_cli.embedded.seaweed import identities
from telemetry_cli.embedded.secrets import ensure_first_key, ensure_keys, ensure_server_secrets
from telemetry_cli.embedded.state import write_private
from telemetry_cli.output import JsonOption, people, print_json
from telemetry_platform.access_keys.api_key import READ

if TYPE_CHECKING:
    from telemetry_cli.embedded.secrets import StackSecrets

FIRST_FLEET = "first"
FIRST_READERS = "readers"
# Root owns the files of nobody's containers: their processes run as this account instead.
_UNPRIVILEGED_ID = 10001
_POSTGRES_HOST = "postgres"
_BUCKET = "telemetry-lake"

app = typer.Typer(help="Make the credentials of a deployment.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `init` a sub-command although it is the only one."""


def register(program: typer.Typer) -> None:
    """Add the commands to the `telemetry` program."""
    program.add_typer(app, name="secrets")


@app.command("init")
def init(
    directory: Annotated[
        Path, typer.Argument(help="Where the files go; keep it out of version control.")
    ] = Path("secrets"),
    as_json: JsonOption = False,
) -> None:
    """Make random credentials for `docker compose`, each file readable by its owner only.

    What is there is kept, so that a second call changes no password.
    """
    files = make_secret_files(directory.resolve())
    if as_json:
        print_json({"directory": str(directory.resolve()), "files": [file.name for file in files]})
        return
    console = people()
    console.print(f"Credentials are in {directory.resolve()} (mode 0600).", markup=False)
    console.print(f"The first API key is in {directory / 'first_api_key'},", markup=False)
    console.print(f"the first one for reading in {directory / 'first_read_key'}.", markup=False)
    console.print(
        f"Next:  docker compose --env-file {directory / 'compose.env'} up --build --wait",
        markup=False,
    )


def make_secret_files(directory: Path) -> list[Path]:
    """Write the files that `docker-compose.yml` reads and return their paths.

    `edge/` holds the edge's keys and `access/` those of the access API; `lake.env`, `database.env`
    and `access.env` the credentials of those who use the store and the database;
    `s3_identities.json` and the files of Postgres' passwords are what the servers themselves are
    given; `compose.env` names
    the directory and the account that the containers run as, because a container can read a file
    of mode 0600 only as its owner.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    ensure_keys(directory / "edge", FIRST_FLEET, directory / "first_api_key")
    readers = directory / "access"
    ensure_first_key(readers, FIRST_READERS, directory / "first_read_key", [READ])
    secrets = ensure_server_secrets(directory)
    uid, gid = os.getuid() or _UNPRIVILEGED_ID, os.getgid() or _UNPRIVILEGED_ID
    texts = {
        "lake.env": _lines(
            AWS_ACCESS_KEY_ID=secrets.s3_access_key, AWS_SECRET_ACCESS_KEY=secrets.s3_secret_key
        ),
        "database.env": _database(secrets),
        "access.env": _lines(
            TELEMETRY_ACCESS_POSTGRES_DSN=_address(READER, secrets.postgres_reader_password)
        ),
        "s3_identities.json": identities(secrets, _BUCKET),
        "postgres_password": secrets.postgres_password,
        "postgres_reader_password": secrets.postgres_reader_password,
        "postgres_superuser_password": secrets.postgres_superuser_password,
        "compose.env": _lines(
            TELEMETRY_SECRETS=str(directory), TELEMETRY_UID=str(uid), TELEMETRY_GID=str(gid)
        ),
    }
    for name, text in texts.items():
        write_private(directory / name, text)
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    if os.getuid() == 0:
        for path in (directory, directory / "edge", readers, *files):
            os.chown(path, uid, gid)
    return files


def _database(secrets: StackSecrets) -> str:
    password = secrets.postgres_password
    return _lines(
        TELEMETRY_POSTGRES_DSN=_address(OWNER, password),
        TELEMETRY_DAGSTER_POSTGRES_DSN=_address(OWNER, password, DAGSTER_DATABASE),
        TELEMETRY_PG_HOST=_POSTGRES_HOST,
        TELEMETRY_PG_PORT="5432",
        TELEMETRY_PG_USER=OWNER,
        TELEMETRY_PG_PASSWORD=password,
        TELEMETRY_PG_DATABASE=DATABASE,
        TELEMETRY_DAGSTER_PG_DATABASE=DAGSTER_DATABASE,
    )


def _address(user: str, password: str, database: str = DATABASE) -> str:
    return f"postgresql://{user}:{quote(password, safe='')}@{_POSTGRES_HOST}:5432/{database}"


def _lines(**variables: str) -> str:
    return "".join(f"{name}={value}\n" for name, value in variables.items())
