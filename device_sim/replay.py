"""Reads an existing JSON array or NDJSON file and makes NDJSON posts of it."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from device_sim.posts import Post

DEFAULT_BATCH: Final = 500


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the events of a file as JSON texts, one each.

    A file that starts with ``[`` is read as one JSON array, any other as NDJSON; empty lines are
    skipped. Lines of NDJSON are passed on as they are, readable or not.

    Raises:
        ValueError: The file is a JSON array that cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(64).lstrip()[:1]
        file.seek(0)
        if start == b"[":
            yield from (orjson.dumps(event) for event in orjson.loads(file.read()))
        else:
            yield from (line for raw in file if (line := raw.strip()))


def replay_posts(lines: Iterable[bytes], source: str, batch: int = DEFAULT_BATCH) -> Iterator[Post]:
    """Yield posts of up to ``batch`` events to ``/v1/events?source=…``."""
    rest = iter(lines)
    while chunk := list(islice(rest, batch)):
        yield Post(
            source=source,
            path=f"/v1/events?source={source}",
            headers={"content-type": "application/x-ndjson"},
            body=b"\n".join(chunk) + b"\n",
            events=len(chunk),
        )
