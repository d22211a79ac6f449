"""Turns the bytes of a request into events: content coding, size limits, JSON or NDJSON.

What an event means is the contract's matter (`admission`); nothing here knows a source.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import msgspec
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
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_NO_JSON = "the body is neither JSON nor NDJSON"


class Body(NamedTuple):
    """What a request brought, without its content coding.

    Attributes:
        text: One JSON document (an event or an array of events), or NDJSON.
        is_lines: Whether it was announced as NDJSON.
    """

    text: bytes
    is_lines: bool


def read_body(body: bytes, content_type: str, content_encoding: str, max_bytes: int) -> Body:
    """Undo the coding of a request body, which may have `max_bytes` without it.

    Raises:
        Problem: 400 for broken data, 413 when it is too large once decompressed, 415 for a media
            type or coding that is not read here.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if not _is_known(media_type):
        raise unsupported("send application/json or application/x-ndjson")
    text = decompress(body, content_encoding, max_bytes)
    return Body(text, media_type in _NDJSON_TYPES)


def split_events(body: Body) -> list[bytes]:
    """Return the texts of a body's events, in order. Each may still turn out not to be JSON.

    Raises:
        Problem: 400 when nothing can be told apart.
    """
    if body.is_lines:
        lines = _lines(body.text)
        if not any(map(_is_json, lines)):
            raise unreadable("no line of the body is JSON")
        return lines
    text = body.text.strip()
    if text.startswith(b"["):
        try:
            return [bytes(part) for part in _ARRAY.decode(text)]
        except (msgspec.MsgspecError, RecursionError):
            raise unreadable(_NO_JSON) from None
    if _is_json(text):
        return [text]
    lines = _lines(text)
    if len(lines) > 1 and _is_object(lines[0]):
        return lines
    raise unreadable(_NO_JSON)


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


def count_lines(text: bytes) -> int:
    """Return the number of lines that are not blank."""
    return sum(map(bool, map(bytes.strip, text.split(b"\n"))))


def _lines(text: bytes) -> list[bytes]:
    return [line for part in text.split(b"\n") if (line := part.strip())]


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_object(text: bytes) -> bool:
    return text.startswith(b"{") and _is_json(text)


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
