"""Looks a CSV file through from end to end before anything of it is used: content hash, encoding.

Every byte is decoded once here, so that reading cannot fail at a byte half way through. Memory is
bounded, whatever the file's size.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_CHUNK_BYTES = 1024 * 1024
MAX_LINE = 4 * 1024 * 1024
"""Most characters of a line; a longer one is no line of a table."""

_MARKS = (
    # UTF-32 first: its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WINDOWS = "cp1252"
_SAMPLE_BYTES = 4096
# Text has next to no zero bytes, UTF-16 of Latin letters has one in every character.
_ZEROS_OF_UTF16 = 0.4
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f\x7f]")
_UTF8_SEQUENCE = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")


class UnreadableFile(ValueError):
    """A file as a whole cannot be read; the message says why and what to do.

    It repeats nothing of the file, which may have no header and begin with somebody's data.
    """


@dataclass(frozen=True)
class Survey:
    """What is known of a file before its rows are read.

    Attributes:
        encoding: Its encoding, as Python calls it.
        plain: Whether every line is a row: there are no quotes and no line ends of CR alone.
        assumed: What was assumed of it, in words.
    """

    encoding: str
    plain: bool
    assumed: tuple[str, ...] = ()


def content_hash(stream: BinaryIO, sidecar: bytes | None = None) -> str:
    """Return what identifies a file's content together with what is said of it."""
    stream.seek(0)
    digest = hashlib.sha256()
    for chunk in _chunks(stream):
        digest.update(chunk)
    if sidecar is not None:
        digest.update(b"\x00" + sidecar)
    return digest.hexdigest()


def survey(stream: BinaryIO, encoding: str | None = None) -> Survey:
    """Look a file through.

    Without a byte order mark it is taken for UTF-16 when every other byte of its beginning is
    zero, for UTF-8 when all of it is, and else for Windows-1252, of which printable Latin-1 is a
    part. A damaged UTF-8 file is told from Windows-1252 by the whole characters that it has.

    Args:
        stream: The file; it is read from the beginning.
        encoding: Its encoding, when somebody said so.

    Raises:
        UnreadableFile: It is no text, or not in its encoding.
    """
    stream.seek(0)
    head = stream.read(_SAMPLE_BYTES)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if encoding is not None:
        # With a mark, Python's name without a byte order reads past it.
        return Survey(encoding, _check(stream, encoding))
    if marked is not None:
        return Survey(marked, _check(stream, marked))
    wide = _utf16_without_mark(head)
    if wide is not None:
        return Survey(
            wide, _check(stream, wide), (f"encoding {wide.upper()} (without a byte order mark)",)
        )
    try:
        return Survey("utf-8", _check(stream, "utf-8"))
    except UnreadableFile as error:
        _require_windows(stream, error)
    return Survey(
        _WINDOWS, _check(stream, _WINDOWS), ("encoding Windows-1252 (the file is not UTF-8)",)
    )


def _utf16_without_mark(head: bytes) -> str | None:
    half = len(head) // 2
    if half and not head[0::2].count(0) and head[1::2].count(0) > _ZEROS_OF_UTF16 * half:
        return "utf-16-le"
    if half and not head[1::2].count(0) and head[0::2].count(0) > _ZEROS_OF_UTF16 * half:
        return "utf-16-be"
    return None


def _require_windows(stream: BinaryIO, not_utf8: UnreadableFile) -> None:
    """Raise `not_utf8` unless the file can be text of one byte a character."""
    stream.seek(0)
    for chunk in _chunks(stream):
        if _BINARY.search(chunk):
            raise UnreadableFile("the file is not text; save it as CSV in UTF-8") from not_utf8
        if _UTF8_SEQUENCE.search(chunk):
            raise not_utf8


def _check(stream: BinaryIO, encoding: str) -> bool:
    """Decode all of the file; return whether every line is a row."""
    stream.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    plain, done, line = True, 0, 0
    held = ""
    try:
        for chunk in _chunks(stream):
            text = held + decoder.decode(chunk)
            # Whether a CR stands alone is known once the next character is.
            held = "\r" if text.endswith("\r") else ""
            text = text.removesuffix("\r")
            plain = plain and '"' not in text and text.count("\r") == text.count("\r\n")
            line = _open_line(line, text)
            done += len(chunk)
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        at = done + getattr(error, "start", 0)
        name = "UTF-8" if encoding.startswith("utf-8") else encoding
        raise UnreadableFile(
            f"the file is not {name} text (about byte {at}): it is damaged or in another encoding; "
            "save it as UTF-8, or name its encoding in a YAML file beside it"
        ) from error
    return plain and not held


def _open_line(before: int, text: str) -> int:
    """Return the length of the line that `text` leaves open."""
    end = max(text.rfind("\n"), text.rfind("\r"))
    length = before + len(text) if end < 0 else len(text) - end - 1
    if length > MAX_LINE:
        raise UnreadableFile(f"a line has more than {MAX_LINE:,} characters; is this a CSV file?")
    return length


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk
