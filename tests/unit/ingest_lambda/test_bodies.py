"""Bodies: every coding gives the same events back, limits hold, one bad line stays alone."""

from __future__ import annotations

import gzip
import zlib
from http import HTTPStatus

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_lambda.bodies import MAX_VALUES, decompress, read_body, split_events
from ingest_lambda.problems import Problem

pytestmark = pytest.mark.unit

MAX_BYTES = 100_000
JSON = "application/json"
NDJSON = "application/x-ndjson"
ENCODE = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "deflate": zlib.compress,
    "identity": bytes,
}


def raw_deflate(data: bytes) -> bytes:
    maker = zlib.compressobj(wbits=-15)
    return maker.compress(data) + maker.flush()


def texts(body: bytes, content_type: str = JSON, coding: str = "") -> list[bytes]:
    return split_events(read_body(body, content_type, coding, MAX_BYTES))


def values(body: bytes, content_type: str = JSON, coding: str = "") -> list[object]:
    return [orjson.loads(text) for text in texts(body, content_type, coding)]


def status_of(body: bytes, content_type: str = JSON, coding: str = "") -> HTTPStatus:
    with pytest.raises(Problem) as caught:
        texts(body, content_type, coding)
    return caught.value.status


@pytest.mark.parametrize("coding", ENCODE)
@given(data=st.binary(max_size=5_000))
def test_every_coding_is_undone(coding: str, data: bytes) -> None:
    if coding == "identity" and data.startswith(b"\x1f\x8b"):
        return
    assert decompress(ENCODE[coding](data), coding, 5_000) == data


@settings(max_examples=30)
@given(parts=st.lists(st.binary(min_size=1, max_size=500), min_size=1, max_size=4))
def test_several_frames_are_one_body(parts: list[bytes]) -> None:
    plain = b"".join(parts)
    assert decompress(b"".join(map(gzip.compress, parts)), "gzip", 5_000) == plain
    assert decompress(b"".join(map(ENCODE["zstd"], parts)), "zstd", 5_000) == plain


@given(data=st.binary(min_size=1, max_size=2_000))
def test_deflate_without_its_wrapper_is_read(data: bytes) -> None:
    assert decompress(raw_deflate(data), "deflate", 5_000) == data


def test_gzip_is_recognised_without_the_header() -> None:
    assert values(gzip.compress(b'{"a":1}')) == [{"a": 1}]


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate"])
def test_the_limit_holds_while_decompressing(coding: str) -> None:
    bomb = ENCODE[coding](b"[" + b" " * 3_000_000 + b"]")
    assert status_of(bomb, coding=coding) == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate"])
def test_a_bomb_is_refused_long_before_the_limit(coding: str) -> None:
    bomb = ENCODE[coding](b" " * 3_000_000)
    with pytest.raises(Problem, match="200 times"):
        decompress(bomb, coding, 2**40)


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate"])
def test_a_small_body_may_shrink_to_nothing(coding: str) -> None:
    plain = b" " * 2**20
    assert decompress(ENCODE[coding](plain), coding, 2**40) == plain


@pytest.mark.parametrize("text", [b"[" + b"1," * MAX_VALUES + b"1]", b"1\n" * (MAX_VALUES + 1)])
def test_more_values_than_memory_bears_are_refused_unread(text: bytes) -> None:
    with pytest.raises(Problem, match="values"):
        read_body(text, JSON, "", 2**40)


def test_a_large_body_of_few_values_is_read() -> None:
    text = b'{"a":"%b"}' % (b"x" * 3 * MAX_VALUES)
    assert read_body(text, JSON, "", 2**40).text == text


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate"])
@given(cut=st.integers(min_value=1, max_value=20))
def test_a_body_cut_short_is_refused(coding: str, cut: int) -> None:
    whole = ENCODE[coding](orjson.dumps([{"n": n} for n in range(40)]))
    assert status_of(whole[:-cut], coding=coding) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("body", "content_type", "coding", "status"),
    [
        (b"{", JSON, "", HTTPStatus.BAD_REQUEST),
        (b"\xff\xfe", JSON, "", HTTPStatus.BAD_REQUEST),
        (b"x\ny", NDJSON, "", HTTPStatus.BAD_REQUEST),
        (b"[]", JSON, "gzip", HTTPStatus.BAD_REQUEST),
        (b"[]", JSON, "zstd", HTTPStatus.BAD_REQUEST),
        (b"[]", JSON, "br", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (b"a=1", "application/x-www-form-urlencoded", "", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    ],
)
def test_what_cannot_be_read_says_why(
    body: bytes, content_type: str, coding: str, status: HTTPStatus
) -> None:
    assert status_of(body, content_type, coding) == status


def test_one_bad_line_keeps_its_bytes_and_its_place() -> None:
    assert texts(b'{"a":1}\n{oops\n\n{"a":2}\r\n', NDJSON) == [b'{"a":1}', b"{oops", b'{"a":2}']


def test_ndjson_is_read_under_the_json_type_too() -> None:
    assert values(b'{"a":1}\n{"a":2}\n') == [{"a": 1}, {"a": 2}]


def test_broken_json_over_several_lines_is_not_taken_for_ndjson() -> None:
    assert status_of(b'{\n"a": 1,\n"b": \n}') == HTTPStatus.BAD_REQUEST


@settings(max_examples=50)
@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.integers(-(2**53), 2**53), max_size=3), max_size=8
    )
)
def test_array_and_lines_hold_the_same_events(events: list[dict[str, int]]) -> None:
    assert values(orjson.dumps(events)) == events
    if events:
        assert values(b"\n".join(map(orjson.dumps, events)), NDJSON) == events


@given(body=st.binary(max_size=300), coding=st.sampled_from(["", *ENCODE]))
def test_any_bytes_are_read_or_refused(body: bytes, coding: str) -> None:
    try:
        texts(body, JSON, coding)
    except Problem as problem:
        assert problem.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
