"""Bodies made from golden events by changes that keep most of their structure."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from random import Random
from typing import Any

import zstandard

GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "events.json").read_text()
)
_VALUES = (
    b"null", b"true", b"-0", b"-1", b"4e18", b"1e308", b"1722902400", b"18446744073709551616",
    b"9" * 300, b"{}", b"[]", b"[" * 40 + b"]" * 40, b'{"a":' * 40 + b"1" + b"}" * 40, b'""',
    b'" "', b'"7"', b'"1_0"', b'"1e999"', b'"\\u0000"', b'"\\u00e9"', '"\ufb01\u2028"'.encode(),
    b'"celsius"', b'"' + b"a" * 4097 + b'"', b'"2300-01-01"', b'"2026-01-05T10:00:00Z"',
    b'"0001-01-01T00:00:00+23:59"', b'"6F9619FF-8B86-D011-B42D-00CF4FC964FF"',
)  # fmt: skip
_BROKEN = (
    b"NaN", b"-Infinity", b"1e999", b"0x10", b"01", b'"\\ud800"', b'"\\udc00x"', b'"\xff"',
    b'"\x00"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b"\xef\xbb\xbf", b"//", b"'a'", b"[" * 2000,
)  # fmt: skip
_GLUE = (b",", b"\n", b"\r\n", b"\n\n", b" ", b"", b",,", b"\x00")
_ENCODE = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor(level=1).compress,
    "deflate": zlib.compress,
}


def event_text(random: Random, event: dict[str, Any]) -> bytes:
    """Return the event as JSON, with up to three of its parts changed."""
    text = json.dumps(event, ensure_ascii=random.random() < 0.5).encode()
    for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
        text = _change(random, text)
    return text


def body(random: Random, source: str) -> bytes:
    """Return a body of up to five events, mostly of `source`: an object, an array or lines."""
    pool = [case["event"] for case in GOLDEN if case["source"] == source or random.random() < 0.05]
    texts = [event_text(random, random.choice(pool)) for _ in range(random.choice((1, 1, 2, 3, 5)))]
    form = random.random()
    if form < 0.45:
        made = b"[" + b",".join(texts) + b"]"
    elif form < 0.9:
        made = b"\n".join(texts)
    else:
        made = random.choice(_GLUE).join(texts)
    return damage(random, made) if random.random() < 0.1 else made


def damage(random: Random, text: bytes) -> bytes:
    """Return the bytes with some of them lost, doubled, turned or put elsewhere."""
    start = random.randrange(len(text) + 1)
    end = min(len(text), start + random.choice((1, 1, 2, 8, 64)))
    match random.randrange(4):
        case 0:
            middle = b""
        case 1:
            middle = text[start:end] * 2
        case 2:
            middle = bytes(byte ^ 1 << random.randrange(8) for byte in text[start:end])
        case _:
            middle = random.choice((*_BROKEN, *_GLUE)) + text[start:end]
    return text[:start] + middle + text[end:]


def encode(random: Random, text: bytes, coding: str) -> bytes:
    """Return the text in a content coding, now and then damaged or in two parts."""
    coder = _ENCODE.get(coding)
    if coder is None:
        return text
    half = len(text) // 2 if random.random() < 0.1 else 0
    coded = (coder(text[:half]) if half else b"") + coder(text[half:])
    return damage(random, coded) if random.random() < 0.1 else coded


def _change(random: Random, text: bytes) -> bytes:
    """Put something else in the place of a value, or write a key twice."""
    colons = [place for place in range(len(text)) if text[place : place + 2] == b": "]
    if not colons:
        return damage(random, text)
    colon = random.choice(colons)
    ends = [place for place in (text.find(mark, colon) for mark in (b",", b"}")) if place > 0]
    end = min(ends, default=len(text))
    if random.random() < 0.7:
        return text[: colon + 2] + _value(random) + text[end:]
    key = text[text.rfind(b'"', 0, max(colon - 1, 0)) : colon]
    return text[:end] + b", " + key + b": " + _value(random) + text[end:]


def _value(random: Random) -> bytes:
    return random.choice(_VALUES if random.random() < 0.9 else _BROKEN)
