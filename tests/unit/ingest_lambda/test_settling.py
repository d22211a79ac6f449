"""Waiting for a commit: all who wait are woken once, and one who leaves takes nobody along."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from ingest_lambda.appender import NotDurable
from ingest_lambda.settling import Settling

WAITING = 50


async def _waiting_tasks(
    settling: Settling, commit: Future[int | None]
) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(settling.over(commit)) for _ in range(WAITING)]
    await asyncio.sleep(0)
    return tasks


def test_all_that_wait_for_a_commit_are_woken_by_one_call() -> None:
    async def run() -> tuple[int, bool]:
        loop, calls = asyncio.get_running_loop(), 0
        wake: Any = loop.call_soon_threadsafe

        def counted(*arguments: Any) -> asyncio.Handle:
            nonlocal calls
            calls += 1
            return wake(*arguments)

        loop.call_soon_threadsafe = counted  # ty: ignore[invalid-assignment]
        settling, commit = Settling(), Future[int | None]()
        tasks = await _waiting_tasks(settling, commit)
        commit.set_result(7)
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        return calls, all(task.done() for task in tasks)

    assert asyncio.run(run()) == (1, True)


def test_a_waiter_that_is_cancelled_leaves_the_others_waiting() -> None:
    async def run() -> None:
        settling, commit = Settling(), Future[int | None]()
        first, *others = await _waiting_tasks(settling, commit)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        assert not commit.cancelled()
        assert not any(task.done() for task in others)
        commit.set_result(7)
        await asyncio.wait_for(asyncio.gather(*others), 60)

    asyncio.run(run())


def test_every_waiter_hears_of_the_failure() -> None:
    async def run() -> list[BaseException | None]:
        settling, commit = Settling(), Future[int | None]()
        tasks = await _waiting_tasks(settling, commit)
        commit.set_exception(NotDurable("away"))
        await asyncio.wait(tasks, timeout=60)
        with pytest.raises(NotDurable):
            await settling.over(commit)
        return [task.exception() for task in tasks]

    errors = asyncio.run(run())
    assert len(errors) == WAITING
    assert all(isinstance(error, NotDurable) for error in errors)


def test_two_loops_wait_for_the_same_commit() -> None:
    settling, commit = Settling(), Future[int | None]()
    started = [Event(), Event()]

    def wait(which: int) -> None:
        async def run() -> None:
            waiting = asyncio.create_task(settling.over(commit))
            await asyncio.sleep(0)
            started[which].set()
            await asyncio.wait_for(waiting, 60)

        asyncio.run(run())

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(wait, which) for which in range(2)]
        assert all(event.wait(60) for event in started)
        commit.set_result(7)
        for run in runs:
            run.result(60)
