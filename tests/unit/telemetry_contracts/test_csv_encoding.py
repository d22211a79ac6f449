"""Encodings of CSV files: what is told for sure, what is assumed and said, what is refused."""

from __future__ import annotations

import hashlib
import io

import pytest

from telemetry_contracts.csv_encoding import MAX_LINE, UnreadableFile, content_hash, survey

pytestmark = pytest.mark.unit

TEXT = "device_id;timestamp;place\nd1;2026-01-05;Küche 21 °C\n"


def rubbish(seed: int, size: int) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "utf-8-sig"),
        (TEXT.encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "utf-16"),
        (TEXT.encode("utf-32"), "utf-32"),
    ],
)
def test_utf_8_and_every_byte_order_mark_are_told_without_an_assumption(
    data: bytes, encoding: str
) -> None:
    found = survey(io.BytesIO(data))
    assert (found.encoding, found.assumed) == (encoding, ())
    assert data.decode(found.encoding) == TEXT


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("cp1252", "Windows-1252"),
        ("latin-1", "Windows-1252"),
        ("utf-16-le", "UTF-16-LE"),
        ("utf-16-be", "UTF-16-BE"),
    ],
)
def test_an_assumed_encoding_is_said(encoding: str, told: str) -> None:
    data = TEXT.encode(encoding)
    found = survey(io.BytesIO(data))
    assert data.decode(found.encoding) == TEXT
    assert len(found.assumed) == 1
    assert told in found.assumed[0]


def test_a_declared_encoding_is_not_second_guessed() -> None:
    data = "device_id;place\nd1;Łódź\n".encode("cp1250")
    found = survey(io.BytesIO(data), "cp1250")
    assert (found.encoding, found.assumed) == ("cp1250", ())
    with pytest.raises(UnreadableFile, match="not ascii text"):
        survey(io.BytesIO(data), "ascii")


@pytest.mark.parametrize(
    "data",
    [
        "Küche;Größe\n".encode() + b"21\xfc;1\n",
        "Küche;Größe\n".encode()[:-5],
        TEXT.encode("utf-16")[:-1],
        b"PK\x03\x04\x14\x00\x06\x00\x08\x00" + rubbish(1, 5_000),
        b"\x1f\x8b\x08\x00" + rubbish(2, 5_000),
        b"device_id;timestamp\nd1;2026\n" + rubbish(3, 2_000_000),
    ],
    ids=["one bad byte", "cut inside a character", "half a unit", "zip", "gzip", "disk rubbish"],
)
def test_a_damaged_file_is_no_windows_1252(data: bytes) -> None:
    with pytest.raises(UnreadableFile, match=r"not text|damaged"):
        survey(io.BytesIO(data))


def test_a_character_across_two_chunks_is_one_character() -> None:
    data = ("x" * (1024 * 1024 - 1) + "é\n").encode()
    assert survey(io.BytesIO(data)).encoding == "utf-8"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a,b\r\n1,2\r\n", True),
        ("a,b\r1,2\r", False),
        ('a,b\n"1",2\n', False),
        ("a" * (1024 * 1024 - 1) + "\r\nb\n", True),
        ("a" * (1024 * 1024 - 1) + "\rb\n", False),
    ],
)
def test_quotes_and_lone_carriage_returns_are_seen(text: str, plain: bool) -> None:
    assert survey(io.BytesIO(text.encode())).plain is plain


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(UnreadableFile, match="more than 4,194,304 characters"):
        survey(io.BytesIO(b"a;b\n" + b"x" * (MAX_LINE + 2_000_000)))


def test_the_content_hash_depends_on_the_content_and_on_what_is_said_of_it() -> None:
    plain = content_hash(io.BytesIO(b"a"))
    assert plain == content_hash(io.BytesIO(b"a"))
    assert len({plain, content_hash(io.BytesIO(b"b")), content_hash(io.BytesIO(b"a"), b"c")}) == 3
