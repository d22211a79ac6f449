"""The edge as a process against clients that mean harm: raw sockets, no HTTP library between.

Each gets a clear answer or a closed connection, never a 500, and others are served meanwhile.
"""

from __future__ import annotations

import gzip
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import zstandard

from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.settings import Settings
from tests.integration.raw_client import (
    CHUNKED,
    CLOSE,
    EVENT,
    GRACE_SECONDS,
    LENGTH,
    Door,
    ask,
    connection,
    is_served,
    trickle,
)
from tests.stack_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD_SECONDS, BODY_SECONDS = 1.0, 2.0
SERVED = 20
CUT_OFF = r"reset|pipe"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT)
OK, BAD, LARGE = HTTPStatus.OK, HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE
BOMBS = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "deflate": zlib.compress,
}
LATE, HEAD_LARGE = HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Serve clients that are judged by what they send, however slowly a busy machine sends it."""
    yield from served(Settings(home=tmp_path_factory.mktemp("hostile")))


@pytest.fixture(scope="module")
def hasty_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Serve clients that are judged by their slowness."""
    home = tmp_path_factory.mktemp("hasty")
    yield from served(Settings(home=home, head_seconds=HEAD_SECONDS, body_seconds=BODY_SECONDS))


def served(wanted: Settings) -> Iterator[Door]:
    with EmbeddedStack(wanted, only={"s3", "edge"}) as stack:
        stack.start()
        address = urlsplit(stack.settings.ingest_url)
        key = (stack.settings.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()
        assert address.hostname
        assert address.port
        yield Door(address.hostname, address.port, key.encode())


SMUGGLED = {
    "length and chunks": ((LENGTH, CHUNKED), CHUNKS),
    "chunks and length": ((CHUNKED, LENGTH), CHUNKS),
    "two lengths": ((LENGTH, b"Content-Length: 5"), EVENT),
    "the same length twice": ((LENGTH, LENGTH), EVENT),
    "a list of lengths": ((b"Content-Length: 2, 2",), b"{}"),
    "a length with a sign": ((b"Content-Length: +2",), b"{}"),
    "a negative length": ((b"Content-Length: -2",), b"{}"),
    "a hexadecimal length": ((b"Content-Length: 0x2",), b"{}"),
    "a length beyond 64 bits": ((b"Content-Length: 99999999999999999999",), b"{}"),
    "an unknown transfer coding": ((b"Transfer-Encoding: xchunked",), CHUNKS),
    "chunked that is not last": ((b"Transfer-Encoding: chunked, identity",), CHUNKS),
    "chunked twice": ((CHUNKED, CHUNKED), CHUNKS),
    "a space before the colon": ((b"Transfer-Encoding : chunked",), CHUNKS),
    "a folded header": ((b"Transfer-Encoding:\r\n chunked",), CHUNKS),
    "a vertical tab": ((b"Transfer-Encoding: \x0bchunked",), CHUNKS),
    "a bare CR in a header": ((b"X-A: b\rX-B: c", LENGTH), EVENT),
    "a bare LF between headers": ((b"X-A: b\nX-B: c", LENGTH), EVENT),
    "NUL in a header": ((b"X-A: b\x00c", LENGTH), EVENT),
    "a header without a colon": ((b"nonsense", LENGTH), EVENT),
    "bare LF in chunks": ((CHUNKED,), CHUNKS.replace(b"\r\n", b"\n")),
    "a chunk longer than it says": ((CHUNKED,), b"2\r\n{}}\r\n0\r\n\r\n"),
    "a negative chunk": ((CHUNKED,), b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk beyond 64 bits": ((CHUNKED,), b"f" * 20 + b"\r\n"),
    "a length in the trailer": ((CHUNKED,), CHUNKS[:-2] + LENGTH + b"\r\n\r\n"),
    "two keys": ((b"x-api-key: tlk_other_key", LENGTH), EVENT),
    "two codings": ((b"Content-Encoding: gzip", b"Content-Encoding: br", LENGTH), EVENT),
}
OTHER_PROTOCOLS = {
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.7": b"POST /ingest HTTP/3.7\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "every byte": bytes(range(256)) * 10,
    "CONNECT": b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n",
    "a path that is not ASCII": b"POST /ing\xe9st HTTP/1.1\r\nHost: edge\r\n\r\n",
}


@pytest.mark.parametrize("case", SMUGGLED.values(), ids=SMUGGLED)
def test_a_request_with_two_meanings_is_refused(
    door: Door, case: tuple[tuple[bytes, ...], bytes]
) -> None:
    headers, body = case
    assert ask(door, door.head(CLOSE, *headers) + body) == [BAD]
    assert is_served(door)


@pytest.mark.parametrize("raw", OTHER_PROTOCOLS.values(), ids=OTHER_PROTOCOLS)
def test_what_is_not_http_1_is_refused(door: Door, raw: bytes) -> None:
    assert ask(door, raw) == [BAD]


@pytest.mark.parametrize(
    "head",
    [
        (b"X-A: " + b"a" * 300_000,),
        tuple(b"X-%d: a" % number for number in range(30_000)),
    ],
    ids=["one header", "many headers"],
)
def test_headers_that_are_too_large_are_refused(door: Door, head: tuple[bytes, ...]) -> None:
    assert ask(door, door.post(*head)) == [HEAD_LARGE]


def test_a_target_that_is_too_long_is_refused(door: Door) -> None:
    target = b"POST /ingest?" + b"a" * 300_000 + b" HTTP/1.1"
    assert ask(door, door.head(LENGTH, line=target) + EVENT) == [HEAD_LARGE]


@pytest.mark.parametrize(
    "endless",
    [
        b"POST /ingest HTTP/1.1\r\nX-A: " + b"a" * 5_000_000,
        b"POST /ingest HTTP/1.1\r\n" + CHUNKED + b"\r\n\r\n2;" + b"a" * 5_000_000,
        b"POST /ingest HTTP/1.1\r\n" + CHUNKED + b"\r\n\r\n0\r\n" + b"X-A: b\r\n" * 600_000,
    ],
    ids=["header", "chunk extension", "trailers"],
)
def test_what_has_no_end_is_not_kept(door: Door, endless: bytes) -> None:
    started = time.monotonic()
    with connection(door) as client, pytest.raises(OSError, match=CUT_OFF):
        while time.monotonic() - started < GRACE_SECONDS:
            client.sendall(endless)
            endless = endless[-1_000_000:]
    assert is_served(door)


def test_a_body_in_chunks_without_end_is_refused_and_then_dropped(door: Door) -> None:
    chunk = b"40000\r\n" + b" " * 0x40000 + b"\r\n"
    with connection(door) as client:
        assert trickle(client, door.head(CHUNKED), chunk) == [LARGE]
    assert is_served(door)


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(door: Door) -> None:
    assert ask(door, door.head(b"Content-Length: 10000000000")) == [LARGE]


@pytest.mark.parametrize(
    ("first", "answers"),
    [
        (b"", []),
        (b"POST /ing", [LATE]),
        (b"POST /ingest HTTP/1.1\r\nHost: ed", [LATE]),
    ],
    ids=["nothing", "half a line", "half a head"],
)
def test_a_head_that_trickles_is_cut_off(
    hasty_door: Door, first: bytes, answers: list[HTTPStatus]
) -> None:
    with connection(hasty_door) as client:
        assert trickle(client, first, b"") == answers


@pytest.mark.parametrize(
    ("headers", "drop"),
    [((LENGTH,), b" "), ((CHUNKED,), b"1\r\n \r\n")],
    ids=["length", "chunks"],
)
def test_a_body_that_trickles_is_cut_off(
    hasty_door: Door, headers: tuple[bytes, ...], drop: bytes
) -> None:
    with connection(hasty_door) as client:
        assert trickle(client, hasty_door.head(*headers), drop) == [LATE]


def test_line_ends_between_requests_do_not_hold_a_connection(hasty_door: Door) -> None:
    with connection(hasty_door) as client:
        assert trickle(client, hasty_door.post(), b"\r\n") == [OK]


def test_an_early_answer_does_not_hold_a_connection(door: Door) -> None:
    head = b"POST /ingest HTTP/1.1\r\nHost: edge\r\n" + LENGTH + b"\r\n\r\n"
    with connection(door) as client:
        assert trickle(client, head, b"") == [HTTPStatus.UNAUTHORIZED]


def test_a_client_that_reads_no_answer_loses_its_connection(hasty_door: Door) -> None:
    ask_for_much = hasty_door.head(line=b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1") * 8
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(GRACE_SECONDS)
        client.connect((hasty_door.host, hasty_door.port))
        client.sendall(ask_for_much)
        name = client.getsockname()
        wait_until(lambda: not is_connected(name), "the connection is given up")


def is_connected(client: tuple[str, int]) -> bool:
    """Whether the edge still holds its end of a client's connection."""
    return any(each.raddr == client for each in psutil.net_connections("tcp4") if each.pid)


def test_a_bad_request_behind_a_good_one_does_not_take_its_answer(door: Door) -> None:
    assert ask(door, door.post() + b"\x00garbage\r\n\r\n") == [OK]


def test_others_are_served_while_many_trickle(hasty_door: Door) -> None:
    enough = Event()

    def attack(number: int) -> list[HTTPStatus]:
        """Trickle again and again, until others were served often enough."""
        found: list[HTTPStatus] = []
        while not found or not enough.is_set():
            with connection(hasty_door) as client:
                head = hasty_door.head(LENGTH) if number % 2 else b"POST /ing"
                found += trickle(client, head, b" " if number % 2 else b"x")
        return found

    with ThreadPoolExecutor(64) as pool:
        attacks = [pool.submit(attack, number) for number in range(64)]
        try:
            for _ in range(SERVED):
                # This client shares a processor with 64 others, and may itself be late.
                wait_until(lambda: is_served(hasty_door), "another client is served")
        finally:
            enough.set()
        assert {status for each in attacks for status in each.result()} == {LATE}


@pytest.mark.parametrize(
    "line",
    [
        b"GET /docs/assets/a%00b HTTP/1.1",
        b"GET /docs/assets/" + b"a" * 5_000 + b" HTTP/1.1",
        b"GET /docs/assets/../../../etc/passwd HTTP/1.1",
        b"GET /docs/assets/%2e%2e/%2e%2e/secrets HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
    ],
)
def test_a_strange_path_is_not_found(door: Door, line: bytes) -> None:
    assert ask(door, door.head(CLOSE, line=line)) == [HTTPStatus.NOT_FOUND]


def test_what_no_decoder_reads_is_kept_apart_from_its_batch(door: Door) -> None:
    bad = [
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":1e999}',
        b"[" * 300 + b"]" * 300,
    ]
    answer = httpx.post(
        f"{door.url}/ingest",
        content=b"[" + b",".join([EVENT, *bad]) + b"]",
        headers={"x-api-key": door.key.decode()},
        timeout=GRACE_SECONDS,
        trust_env=False,
    )
    assert answer.status_code == OK
    outcomes = [event["status"] for event in answer.json()["events"]]
    assert outcomes[0] in {"accepted", "duplicate"}
    assert outcomes[1:] == ["rejected"] * len(bad)


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate"])
def test_a_bomb_is_refused_and_others_are_served_meanwhile(door: Door, coding: str) -> None:
    bomb = BOMBS[coding](b" " * 49_000_000)
    headers = (b"Content-Encoding: " + coding.encode(), b"Content-Length: %d" % len(bomb))
    with ThreadPoolExecutor(8) as pool:
        attacks = [pool.submit(ask, door, door.head(CLOSE, *headers) + bomb) for _ in range(8)]
        assert is_served(door)
        assert [each.result() for each in attacks] == [[LARGE]] * len(attacks)
