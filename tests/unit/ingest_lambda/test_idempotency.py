"""Replays: one piece of work per key, failures are forgotten, memory is bounded."""

from __future__ import annotations

import asyncio

import pytest

from ingest_lambda.answers import Answer
from ingest_lambda.idempotency import Replays
from ingest_lambda.problems import Problem

pytestmark = pytest.mark.unit


class Work:
    """Counts how often it is done."""

    def __init__(self, fails: bool = False, size: int = 10) -> None:
        self.done = 0
        self._fails = fails
        self._size = size

    async def __call__(self) -> Answer:
        self.done += 1
        await asyncio.sleep(0)
        if self._fails:
            raise RuntimeError
        return Answer(f"rcp_{self.done}", b"x" * self._size, 1, 0, 0)


def test_concurrent_and_later_replays_get_the_first_answer() -> None:
    async def session() -> None:
        replays, work = Replays(), Work()
        both = await asyncio.gather(*(replays.once(("k",), b"d", work) for _ in range(5)))
        both.append(await replays.once(("k",), b"d", work))
        assert {answer.receipt_id for answer in both} == {"rcp_1"}
        assert work.done == 1

    asyncio.run(session())


def test_another_body_or_another_sender() -> None:
    async def session() -> None:
        replays, work = Replays(), Work()
        await replays.once(("a", "k"), b"d", work)
        await replays.once(("b", "k"), b"d", work)
        assert work.done == 2
        with pytest.raises(Problem):
            await replays.once(("a", "k"), b"other", work)

    asyncio.run(session())


def test_a_failure_may_be_tried_again() -> None:
    async def session() -> None:
        replays, good = Replays(), Work()
        with pytest.raises(RuntimeError):
            await replays.once(("k",), b"d", Work(fails=True))
        assert (await replays.once(("k",), b"d", good)).receipt_id == "rcp_1"

    asyncio.run(session())


def test_the_oldest_answers_are_forgotten_first() -> None:
    async def session() -> None:
        replays, work = Replays(max_bytes=5_000), Work(size=1_000)
        for n in range(10):
            await replays.once((str(n),), b"d", work)
        assert (await replays.once(("9",), b"d", work)).receipt_id == "rcp_10"
        assert (await replays.once(("0",), b"d", work)).receipt_id == "rcp_11"

    asyncio.run(session())
