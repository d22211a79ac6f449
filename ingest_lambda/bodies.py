"""Turns the bytes of a request into events: content coding, size limits, JSON or NDJSON.

What an event means is the contract's matter (`admission`); nothing here knows a source.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import orjson
import zstandard

from ingest_lambda.problems import too_large, unreadable, unsupported

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP, _ZLIB, _RAW = 31, 15, -15
# A zstd block is at most 128 KiB and may be 4 bytes of input, so the output of one step of
# this many bytes overshoots the limit by 16 MiB at most.
_ZSTD_STEP = 512
_NDJSON_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
_OTHER_TYPES = frozenset({"", "application/json", "text/json", "text/plain"})
_BINARY_TYPES = frozenset({"application/octet-stream", "application/gzip"})


class Limits(NamedTuple):
    """What one post may bring: decompressed bytes and events."""

    decompressed_bytes: int
    events: int


class Element(NamedTuple):
    """One event of a body, decoded, or the bytes of one that is not JSON.

    Attributes:
        value: The decoded JSON value; None when `raw` is set.
        raw: The undecodable bytes; None when the element is JSON.
    """

    value: Any
    raw: bytes | None = None

    def source_bytes(self) -> bytes:
        """Return the element as bytes, to be sealed when it is rejected."""
        return orjson.dumps(self.value) if self.raw is None else self.raw


def read_elements(
    body: bytes, content_type: str, content_encoding: str, limits: Limits
) -> list[Element]:
    """Decode a request body into its events, in order.

    Raises:
        Problem: 400 when the body is unreadable, 413 when it is too large once decompressed or
            brings too many events, 415 for a media type or coding that is not read here.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if not _is_known(media_type):
        raise unsupported("send application/json or application/x-ndjson")
    plain = decompress(body, content_encoding, limits.decompressed_bytes)
    if media_type in _NDJSON_TYPES:
        elements = _lines(plain)
        if all(element.raw is not None for element in elements):
            raise unreadable("no line of the body is JSON")
    else:
        elements = _document(plain)
    if len(elements) > limits.events:
        raise too_large(f"a post may bring {limits.events} events")
    return elements


def decompress(body: bytes, content_encoding: str, limit: int) -> bytes:
    """Undo the content coding, never holding much more than `limit` bytes.

    A gzip body is recognised without the header too: clients exist that forget it.

    Raises:
        Problem: 400 for broken data, 413 above the limit, 415 for an unknown coding.
    """
    coding = content_encoding.strip().lower()
    if coding in {"", "identity"}:
        coding = "gzip" if body.startswith(_GZIP_MAGIC) else "identity"
    match coding:
        case "identity":
            plain = body
        case "gzip" | "x-gzip":
            plain = _inflate_members(body, limit)
        case "deflate":
            plain = _inflate_deflate(body, limit)
        case "zstd":
            plain = _decompress_zstd(body, limit)
        case _:
            raise unsupported("Content-Encoding must be gzip, zstd, deflate or identity")
    if len(plain) > limit:
        raise too_large(f"a post may have {limit} bytes after decompression")
    return plain


def _is_known(media_type: str) -> bool:
    known = _NDJSON_TYPES | _OTHER_TYPES | _BINARY_TYPES
    return media_type in known or media_type.endswith("+json")


def _document(plain: bytes) -> list[Element]:
    try:
        value = orjson.loads(plain)
    except orjson.JSONDecodeError:
        return _lines_instead(plain)
    if type(value) is list:
        return [Element(event) for event in value]
    return [Element(value)]


def _lines_instead(plain: bytes) -> list[Element]:
    """Read NDJSON sent under another media type, known by a first line that is an object."""
    first, newline, _ = plain.lstrip().partition(b"\n")
    if newline:
        try:
            if type(orjson.loads(first)) is dict:
                return _lines(plain)
        except orjson.JSONDecodeError:
            pass
    raise unreadable("the body is neither JSON nor NDJSON")


def _lines(plain: bytes) -> list[Element]:
    elements = []
    for line in plain.split(b"\n"):
        text = line.strip()
        if text:
            try:
                elements.append(Element(orjson.loads(text)))
            except orjson.JSONDecodeError:
                elements.append(Element(None, text))
    return elements


def _inflate_members(body: bytes, limit: int) -> bytes:
    """Inflate gzip, which may be several members one after another (RFC 1952, section 2.2)."""
    parts: list[bytes] = []
    room = limit + 1
    rest = body
    while rest and room > 0:
        part, rest = _inflate(rest, _GZIP, room)
        parts.append(part)
        room -= len(part)
    return b"".join(parts)


def _inflate_deflate(body: bytes, limit: int) -> bytes:
    """Inflate `deflate`, which clients send with and without the zlib wrapper."""
    wrapped = (
        len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and not int.from_bytes(body[:2]) % 31
    )
    return _inflate(body, _ZLIB if wrapped else _RAW, limit + 1)[0]


def _inflate(body: bytes, window_bits: int, room: int) -> tuple[bytes, bytes]:
    """Return up to `room` inflated bytes and what follows the compressed stream."""
    inflater = zlib.decompressobj(window_bits)
    try:
        plain = inflater.decompress(body, room)
    except zlib.error:
        raise unreadable("the body is not what its Content-Encoding says") from None
    if not inflater.eof and len(plain) < room:
        raise unreadable("the compressed body is cut short")
    return plain, inflater.unused_data


def _decompress_zstd(body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    frame = zstandard.ZstdDecompressor().decompressobj()
    position = 0
    while position < len(body) and size <= limit:
        step = body[position : position + _ZSTD_STEP]
        position += len(step)
        try:
            part = frame.decompress(step)
        except zstandard.ZstdError:
            raise unreadable("the body is not what its Content-Encoding says") from None
        parts.append(part)
        size += len(part)
        if frame.eof and position - len(frame.unused_data) < len(body):
            position -= len(frame.unused_data)
            frame = zstandard.ZstdDecompressor().decompressobj()
    if size <= limit and not frame.eof:
        raise unreadable("the compressed body is cut short")
    return b"".join(parts)
