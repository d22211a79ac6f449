"""Makes a checkpoint of a Delta table in a process that ends with it.

A checkpoint reads the whole log. The memory that takes would stay with a process that serves for
months, and its processor time would be taken from what is urgent.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import orjson
from deltalake import DeltaTable

from telemetry_platform.delta import storage_options, table_uri

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

_SECONDS = 120.0
_NICENESS = 10


def make_checkpoint(settings: Settings, path: str) -> None:
    """Make a checkpoint of the table at `path`, such as `landing/events`, as it is now.

    Raises:
        subprocess.SubprocessError: That failed, or took two minutes.
        OSError: No process could be started.
    """
    place = {"table_uri": table_uri(settings, path), "storage_options": storage_options(settings)}
    subprocess.run(
        [sys.executable, "-m", __name__],
        # Credentials: not for the command line.
        input=orjson.dumps(place),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_SECONDS,
        check=True,
    )


def main() -> None:
    """Checkpoint the table that is named on standard input."""
    os.nice(_NICENESS)
    DeltaTable(**orjson.loads(sys.stdin.buffer.read())).create_checkpoint()


if __name__ == "__main__":
    main()
