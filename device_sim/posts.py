"""From events to HTTP requests: which route, which encoding, which faults of the whole body."""

import gzip
import random
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
import zstandard

from device_sim.faults import BROKEN_JSON, NOT_AN_OBJECT, NOT_OBJECTS, TRUNCATED, garble_lines
from device_sim.fleet import Event

_JSON: Final = "application/json"
_NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Post:
    """One request, ready to be sent any number of times with the same bytes.

    ``events`` counts the events in the body, readable or not; ``faults`` counts the injected
    faults by kind.
    """

    source: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    events: int
    with_key: bool = True
    faults: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Packing:
    """How a client writes events into a body.

    ``compression`` is gzip, zstd, deflate or empty; ``announced`` tells whether the client sends
    the Content-Encoding header that belongs to it.
    """

    lines: bool = False
    compression: str = ""
    announced: bool = True


BATCH_PACKINGS: Final = (
    Packing(),
    Packing(lines=True),
    Packing(compression="gzip"),
    Packing(compression="gzip", announced=False),
    Packing(lines=True, compression="zstd"),
    Packing(compression="zstd"),
    Packing(lines=True, compression="deflate"),
)
SDK_PACKINGS: Final = (
    Packing(compression="gzip"),
    Packing(compression="gzip", announced=False),
)


def compress(body: bytes, compression: str) -> bytes:
    """Return the body compressed; the same bytes give the same result at any time."""
    if compression == "gzip":
        return gzip.compress(body, compresslevel=6, mtime=0)
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=3).compress(body)
    return zlib.compress(body) if compression == "deflate" else body


def _headers(packing: Packing) -> dict[str, str]:
    headers = {"content-type": _NDJSON if packing.lines else _JSON}
    if packing.compression and packing.announced:
        headers["content-encoding"] = packing.compression
    return headers


def _join(lines: Sequence[bytes], packing: Packing, *, single: bool) -> bytes:
    if single:
        return lines[0]
    return b"\n".join(lines) + b"\n" if packing.lines else b"[" + b",".join(lines) + b"]"


def _fault_counts(events: Sequence[Event]) -> dict[str, int]:
    return dict(Counter(fault for event in events for fault in event.faults))


def _malform(
    lines: Sequence[bytes], packing: Packing, rng: random.Random, *, single: bool
) -> tuple[bytes, int, str]:
    """Return a body that cannot be read as it should, its event count, and what is wrong."""
    kinds = [BROKEN_JSON, NOT_AN_OBJECT] + ([TRUNCATED] if packing.compression else [])
    kind = rng.choice(kinds)
    if kind == NOT_AN_OBJECT:
        return compress(rng.choice(NOT_OBJECTS), packing.compression), 1, kind
    if kind == BROKEN_JSON:
        if packing.lines and not single:
            body = _join(garble_lines(lines, rng), packing, single=False)
        else:
            whole = _join(lines, packing, single=single)
            body = whole[: rng.randint(1, len(whole) - 1)]
        return compress(body, packing.compression), len(lines), kind
    whole = compress(_join(lines, packing, single=single), packing.compression)
    return whole[: len(whole) * 2 // 3], len(lines), kind


def pack(
    events: Sequence[Event],
    path: str,
    packing: Packing,
    *,
    with_key: bool = True,
    malformed: random.Random | None = None,
) -> Post:
    """Return one post of the events; one event goes as an object on the client routes.

    Args:
        events: At least one event, all of one source.
        path: Route with its query, such as ``/v1/events?source=mobile``.
        packing: How the body is written.
        with_key: Whether the sender adds its API key.
        malformed: Draws what is wrong with the body; None writes a readable one.
    """
    lines = [orjson.dumps(event.body) for event in events]
    single = not path.startswith("/v1/")
    faults = _fault_counts(events)
    count = len(events)
    if malformed is None:
        body = compress(_join(lines, packing, single=single), packing.compression)
    else:
        body, count, kind = _malform(lines, packing, malformed, single=single)
        faults = {kind: count}
    return Post(events[0].source, path, _headers(packing), body, count, with_key, faults)
