"""Posts that another process reads: the same outcome, and nothing acknowledged when it dies."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import psutil
import pytest

from ingest_lambda import reading_pool
from ingest_lambda.bodies import Sent, read_body
from ingest_lambda.edge import Edge
from ingest_lambda.post_reader import PostReader, ReadPost
from ingest_lambda.reading_messages import Task
from ingest_lambda.reading_pool import ReadingFailed, ReadingPool
from telemetry_contracts.registry import Registry, load_registry
from telemetry_contracts.tokens import KeyRing
from telemetry_platform.problems import Problem
from tests.stack_process import DEADLINE_SECONDS
from tests.unit.ingest_lambda.conftest import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

PATH = "/v1/events?source=environment"
MAX_BYTES, MAX_EVENTS = 1_000_000, 100
GOOD = {"device_id": "attic", "timestamp": "2026-11-22T10:00:00Z", "temperature": 20.5}
LONG = orjson.dumps([GOOD | {"timestamp": f"2026-11-22T10:00:{n:02}Z"} for n in range(60)])


@pytest.fixture
def keyring() -> KeyRing:
    return KeyRing.generate()


@pytest.fixture
def pool(keyring: KeyRing) -> ReadingPool:
    return ReadingPool(1, keyring)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def task(body: bytes, source: str = "environment", **sent: str) -> Task:
    return Task(source, Sent(body, **sent), MAX_BYTES, MAX_EVENTS)


async def ready(pool: ReadingPool) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not pool.ready:
            await pool.replace_lost()
            await asyncio.sleep(0.01)


def with_pool(pool: ReadingPool, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        await pool.open()
        try:
            await ready(pool)
            return await asyncio.wait_for(work(), DEADLINE_SECONDS)
        finally:
            pool.close()

    return asyncio.run(run())


def child() -> psutil.Process:
    # A worker that runs tests has servers as children too; a child's command is its own at once.
    (found,) = [
        each for each in psutil.Process().children() if reading_pool._MODULE in each.cmdline()
    ]
    return found


def test_a_post_is_read_there_as_it_is_here(
    pool: ReadingPool, registry: Registry, keyring: KeyRing
) -> None:
    odd = [GOOD, GOOD | {"temperature": "warm"}, 5, GOOD | {"colour": "red", "timestamp": 5}, GOOD]
    bodies = [LONG, orjson.dumps(odd), b"\n".join([orjson.dumps(GOOD)] * 3)]
    here = PostReader(registry["environment"], keyring)

    async def there() -> list[ReadPost]:
        return [await pool.read(registry, task(body)) for body in bodies]

    expected = [here.read(read_body(*Sent(body), MAX_BYTES), MAX_EVENTS) for body in bodies]
    assert with_pool(pool, there) == expected


def test_answers_find_the_post_they_belong_to(pool: ReadingPool, registry: Registry) -> None:
    sizes = range(1, 60)
    bodies = [orjson.dumps([GOOD] * size) for size in sizes]

    async def there() -> list[ReadPost]:
        return list(await asyncio.gather(*(pool.read(registry, task(body)) for body in bodies)))

    assert [len(post.events.positions) for post in with_pool(pool, there)] == list(sizes)


@pytest.mark.parametrize(
    ("body", "sent", "status"),
    [
        (b"no json", {}, HTTPStatus.BAD_REQUEST),
        (gzip.compress(bytes(MAX_BYTES + 1)), {}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (orjson.dumps([GOOD] * 101), {}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (LONG, {"content_type": "image/png"}, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    ],
)
def test_what_is_wrong_with_a_post_comes_back(
    pool: ReadingPool, registry: Registry, body: bytes, sent: dict[str, str], status: HTTPStatus
) -> None:
    with pytest.raises(Problem) as problem:
        with_pool(pool, lambda: pool.read(registry, task(body, **sent)))
    assert (problem.value.status, problem.value.document()["status"]) == (status, status)


def test_a_failure_of_its_own_is_told_and_ends_nothing(
    pool: ReadingPool, registry: Registry
) -> None:
    async def there() -> ReadPost:
        with pytest.raises(ReadingFailed):
            await pool.read(registry, task(LONG, source="nobody"))
        return await pool.read(registry, task(LONG))

    assert len(with_pool(pool, there).events.positions) == 60


def test_contracts_that_changed_count_from_the_next_post(
    pool: ReadingPool, registry: Registry
) -> None:
    swapped = {"environment": registry["wearable"]}

    async def there() -> list[ReadPost]:
        return [
            await pool.read(contracts, task(LONG)) for contracts in (registry, swapped, registry)
        ]

    assert [len(post.refused) for post in with_pool(pool, there)] == [0, 60, 0]


def test_what_it_was_reading_when_it_died_is_not_acknowledged_and_can_be_sent_again(
    pool: ReadingPool, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_pool, "_SECONDS_BETWEEN_STARTS", 0.0)

    async def there() -> ReadPost:
        first = child()
        first.suspend()
        under_way = asyncio.ensure_future(pool.read(registry, task(LONG)))
        await asyncio.sleep(0)
        os.kill(first.pid, signal.SIGKILL)
        with pytest.raises(Problem) as problem:
            await under_way
        assert problem.value.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert problem.value.headers()["retry-after"] == "1"
        assert pool.ready == 0
        await ready(pool)
        assert child().pid != first.pid
        return await pool.read(registry, task(LONG))

    assert len(with_pool(pool, there).events.positions) == 60


def test_it_ends_with_the_pool(pool: ReadingPool) -> None:
    async def found() -> psutil.Process:
        return child()

    assert not with_pool(pool, found).is_running()


def test_an_edge_reads_by_itself_until_the_process_is_there(
    edge: Edge, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_pool, "_MODULE", "no_such_module")
    edge.reading.pool = ReadingPool(1, edge.keyring)

    async def post(http: Any) -> Any:
        async with edge.reading.apart():
            return await http.post(PATH, content=LONG, headers=client.headers(None))

    answer = client.run(post)
    assert (answer.status_code, answer.json()["accepted"]) == (HTTPStatus.ACCEPTED, 60)


def test_an_edge_answers_a_long_post_from_the_process(edge: Edge, client: Client) -> None:
    edge.reading.pool = pool = ReadingPool(1, edge.keyring)

    async def post(http: Any) -> Any:
        async with edge.reading.apart():
            await ready(pool)
            # Nothing is left to read with here.
            edge.contracts = edge.contracts._replace(readers={})
            return await http.post(PATH, content=LONG, headers=client.headers(None))

    answer = client.run(post)
    assert (answer.status_code, answer.json()["accepted"]) == (HTTPStatus.ACCEPTED, 60)


def test_another_event_loop_reads_by_itself(edge: Edge, client: Client) -> None:
    edge.reading.pool = pool = ReadingPool(1, edge.keyring)

    async def elsewhere() -> int:
        await pool.replace_lost()
        return pool.ready

    async def both(_: Any) -> tuple[int, int]:
        async with edge.reading.apart():
            await ready(pool)
            return pool.ready, await asyncio.to_thread(lambda: asyncio.run(elsewhere()))

    assert client.run(both) == (1, 0)
