"""Turns the bytes of a request into events: content coding, size limits, JSON or NDJSON.

What an event means is the contract's matter (`admission`); nothing here knows a source.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
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
# The most repetitive telemetry shrinks to about a hundredth; a bomb of zeros to a thousandth.
MAX_RATIO = 200
_RATIO_FREE_BYTES = 1024 * 1024
# A value of two bytes costs sixty when decoded: a post may bring this many.
MAX_VALUES = 1_000_000
_LINE = re.compile(rb"\S.*")
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_TOLERANT = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)
_FIRST = re.compile(r"\[[ \t\n\r]*")
_NEXT = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")
_NO_JSON = "the body is neither JSON nor NDJSON"


class Sent(NamedTuple):
    """The body of a request as it came, and what its headers say of it."""

    body: bytes
    content_type: str = "application/json"
    content_encoding: str = ""


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
        Problem: 400 for broken data, 413 when it is too large once decompressed or has more than
            `MAX_VALUES` values, 415 for a media type or coding that is not read here.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if not _is_known(media_type):
        raise unsupported("send application/json or application/x-ndjson")
    text = decompress(body, content_encoding, max_bytes)
    # Each value but the first takes a separator and a character at least.
    if len(text) > 2 * MAX_VALUES and text.count(b",") + text.count(b"\n") >= MAX_VALUES:
        raise too_large(f"a post may bring {MAX_VALUES} values")
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
        return _split_array(text)
    if _is_json(text):
        return [text]
    lines = _lines(text)
    if len(lines) > 1 and _is_object(lines[0]):
        return lines
    raise unreadable(_NO_JSON)


def _split_array(text: bytes) -> list[bytes]:
    try:
        return [bytes(part) for part in _ARRAY.decode(text)]
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        return list(_tolerant_parts(text.decode(errors="surrogateescape")))
    except (ValueError, RecursionError):
        raise unreadable(_NO_JSON) from None


def _tolerant_parts(text: str) -> Iterator[bytes]:
    """Tell the elements of an array apart although some are no JSON.

    Encoders exist that write NaN, lone surrogates or control characters. Such an event is refused
    when it is read; here it must not take the others down.

    Raises:
        ValueError: The text is no array in that sense either.
    """
    end, more = 0, _FIRST.match(text)
    while more is not None:
        _, end = _TOLERANT.raw_decode(text, more.end())
        yield text[more.end() : end].encode(errors="surrogateescape")
        more = _NEXT.match(text, end)
    if text[end:].strip(" \t\n\r") != "]":
        raise ValueError("the array does not end")


def decompress(body: bytes, content_encoding: str, limit: int) -> bytes:
    """Undo the content coding, never holding much more than `limit` bytes.

    Above 1 MiB, that is also `MAX_RATIO` times the compressed size. A gzip body is recognised
    without the header too: clients exist that forget it.

    Raises:
        Problem: 400 for broken data, 413 above the limit, 415 for an unknown coding.
    """
    coding = content_encoding.strip().lower()
    if coding in {"", "identity"}:
        coding = "gzip" if body.startswith(_GZIP_MAGIC) else "identity"
    if coding == "identity":
        if len(body) > limit:
            raise too_large(f"a post may have {limit} bytes after decompression")
        return body
    by_ratio = max(MAX_RATIO * len(body), _RATIO_FREE_BYTES)
    plain = _decompress(body, coding, min(limit, by_ratio))
    if len(plain) > limit:
        raise too_large(f"a post may have {limit} bytes after decompression")
    if len(plain) > by_ratio:
        raise too_large(f"a post may grow to {MAX_RATIO} times its size")
    return plain


def _decompress(body: bytes, coding: str, limit: int) -> bytes:
    match coding:
        case "gzip" | "x-gzip":
            return _inflate_members(body, limit)
        case "deflate":
            return _inflate_deflate(body, limit)
        case "zstd":
            return _decompress_zstd(body, limit)
    raise unsupported("Content-Encoding must be gzip, zstd, deflate or identity")


def _is_known(media_type: str) -> bool:
    known = _NDJSON_TYPES | _OTHER_TYPES | _BINARY_TYPES
    return media_type in known or media_type.endswith("+json")


def count_lines(text: bytes) -> int:
    """Return the number of lines that are not blank."""
    return len(_LINE.findall(text))


def _lines(text: bytes) -> list[bytes]:
    return [line.rstrip() for line in _LINE.findall(text)]


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
