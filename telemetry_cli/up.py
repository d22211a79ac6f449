"""`telemetry up`: run the whole stack on this machine until it is told to stop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from telemetry_cli.embedded.broker import PASSWORD_FILE, embedded_url
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_cli.embedded.services import SERVERS
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_cli.errors import CommandError
from telemetry_cli.output import JsonOption, people, print_json, print_table
from telemetry_platform.settings import get_settings
from telemetry_platform.signals import EndFlag, ending_on_signals

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

_WATCH_SECONDS = 1.0
_REVIVALS_LIMIT = 20


def register(app: typer.Typer) -> None:
    """Add the command to the `telemetry` program."""
    app.command("up")(up)


OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only", help=f"Start this server alone; repeat it. One of: {', '.join(SERVERS)}."
    ),
]


MqttOption = Annotated[
    bool, typer.Option("--mqtt", help="Start an MQTT broker too, and take what is published there.")
]


def up(only: OnlyOption = None, mqtt: MqttOption = False, as_json: JsonOption = False) -> None:
    """Start the whole stack on this machine and serve until Ctrl-C.

    Starts an S3 server, Postgres, the edge that accepts events, the access API
    that answers from the marts, and Dagster, all on 127.0.0.1.
    State and secrets live under TELEMETRY_HOME (default ./.telemetry) and survive a restart. When
    a preferred port is taken a free one is used; the table shows the real addresses.
    """
    unknown = sorted(set(only or ()) - set(SERVERS))
    if unknown:
        raise CommandError(
            f"There is no server {', '.join(unknown)}.", f"Choose from: {', '.join(SERVERS)}."
        )
    console = None if as_json else people()
    with (
        ending_on_signals() as ended,
        EmbeddedStack(get_settings(), console, only=only, mqtt=mqtt) as stack,
    ):
        seconds = stack.start(ended)
        if ended.is_set():
            return
        if as_json:
            print_json({"pid": os.getpid(), "seconds": seconds, **addresses(stack.settings)})
        else:
            show_addresses(stack.settings, seconds)
        serve(stack, ended)
        if console:
            console.print("Stopping …")


def serve(stack: EmbeddedStack, ended: EndFlag) -> None:
    """Keep a started stack alive until `ended` is set; servers that died are started again.

    Raises:
        CommandError: A server cannot be started again.
    """
    console = people()
    revivals = 0
    while not ended.wait(_WATCH_SECONDS):
        names = stack.revive()
        revivals += len(names)
        for name in names:
            console.print(f"[yellow]{name} ended by itself and was started again[/]")
        if revivals > _REVIVALS_LIMIT:
            raise CommandError(
                f"Servers ended {revivals} times, the last was {names[-1]}.",
                f"See the logs in {stack.settings.home / 'logs'}.",
            )


def show_addresses(settings: Settings, seconds: float) -> None:
    """Print what a person connects to."""
    labels = {
        "ingest": "Post events to",
        "edge_docs": "API documentation",
        "catalog": "Catalog, quality, trace",
        "access": "Read marts from",
        "access_docs": "Its documentation",
        "dagster": "Dagster UI",
        "s3": "S3",
        "postgres": "Postgres",
        "mqtt": "Publish events to",
        "mqtt_password_file": "MQTT password (file)",
        "inbox": "CSV inbox",
        "quarantine": "Quarantined files",
        "dev_api_key_file": "API key (file)",
        "logs": "Logs",
    }
    found = addresses(settings)
    print_table(
        f"The stack is up ({seconds:.1f} s). Ctrl-C stops it.",
        ("What", "Where"),
        [(label, found[name]) for name, label in labels.items() if name in found],
    )
    people().print('Settings for other programs:  eval "$(telemetry env)"')


def addresses(settings: Settings) -> dict[str, str]:
    """Return what a person connects to, by name. Holds no secret."""
    database = settings.postgres_dsn.get_secret_value() if settings.postgres_dsn else ""
    return {
        "ingest": f"{settings.ingest_url}/v1/events",
        "edge_docs": f"{settings.ingest_url}/docs",
        "catalog": f"{settings.access_url}/catalog",
        "access": f"{settings.access_url}/v1/datasets",
        "access_docs": f"{settings.access_url}/docs",
        "dagster": settings.dagster_url,
        "s3": f"{settings.s3_endpoint}  bucket {settings.s3_bucket}",
        "postgres": f"postgresql://{database.rpartition('@')[2]}",
        "inbox": str(settings.inbox_dir),
        "quarantine": str(settings.quarantine_dir),
        "dev_api_key_file": str(settings.secrets_dir / DEVELOPMENT_KEY_FILE),
        "logs": str(settings.home / "logs"),
        **_broker_addresses(settings),
    }


def _broker_addresses(settings: Settings) -> dict[str, str]:
    if not settings.mqtt_url:
        return {}
    user = f"  user {settings.mqtt_username}" if settings.mqtt_username else ""
    topics = ", ".join(settings.mqtt_topics)
    found = {"mqtt": f"{settings.mqtt_url}{user}  topics {topics}"}
    if settings.mqtt_url == embedded_url(settings.mqtt_port):
        found["mqtt_password_file"] = str(settings.secrets_dir / PASSWORD_FILE)
    return found
