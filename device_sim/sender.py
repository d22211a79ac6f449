"""Posts a plan over HTTP at a given rate, retries what was not answered, and fills the ledger."""

import asyncio
import random
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import orjson

from device_sim.chance import seeded
from device_sim.ledger import Entry, Ledger
from device_sim.posts import Post

_READ: Final = frozenset({200, 202})
_UNREADABLE: Final = frozenset({400, 413, 415})
_ALL_REJECTED: Final = 422
_TRY_AGAIN: Final = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again, and for how long. Times in seconds.

    Attributes:
        attempts: Answers of 429 and 5xx that are taken for one post before it is given up.
        longest_wait: Cap of one wait, whatever Retry-After asks for.
        patience: How long a post without any answer (a dead edge) is tried again.
        first_wait: Wait after the first failure without Retry-After; it doubles with each.
        timeout: How long one answer is waited for.
    """

    attempts: int = 20
    longest_wait: float = 30.0
    patience: float = 120.0
    first_wait: float = 0.2
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast to send: events per second (0: as fast as answers come), posts under way."""

    rate: float = 200.0
    connections: int = 8


@dataclass(slots=True)
class _Attempts:
    """What happened so far to one post."""

    sent_at: datetime
    started: float
    made: int = 0
    broken: int = 0


class Sender:
    """Sends posts over a fixed number of keep-alive connections.

    A post that gets no answer is sent again with the same bytes, so that an edge that was killed
    loses nothing and stores nothing twice.
    """

    def __init__(  # noqa: PLR0913 - all after the ledger say how to send
        self,
        url: str,
        ledger: Ledger,
        *,
        api_key: str | None,
        pace: Pace,
        policy: RetryPolicy | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare a sender.

        Args:
            url: The edge, such as ``http://127.0.0.1:8080``.
            ledger: Gets one entry a post.
            api_key: Sent as ``x-api-key`` with the posts that carry a key.
            pace: How fast to send, over how many connections.
            policy: When to try again.
            tls: Which servers to trust; by default those that public authorities vouch for.
        """
        self._url = url.rstrip("/")
        self._ledger = ledger
        self._key = {"x-api-key": api_key} if api_key else {}
        self._rate = pace.rate
        self._connections = pace.connections
        self._policy = policy or RetryPolicy()
        self._verify = True if tls is None else tls
        self._jitter = seeded("jitter")
        self.broken_attempts = 0

    async def send(
        self, posts: Iterable[Post], on_entry: Callable[[Entry], None] | None = None
    ) -> None:
        """Send all posts and return when each has its entry in the ledger.

        Args:
            posts: Taken one by one at the sender's rate; may be endless if the caller cancels.
            on_entry: Called after each entry.

        Raises:
            ExceptionGroup: Of ``LedgerError`` when an answer does not add up.
        """
        queue: asyncio.Queue[Post | None] = asyncio.Queue(maxsize=self._connections)
        limits = httpx.Limits(
            max_connections=self._connections, max_keepalive_connections=self._connections
        )
        async with (
            httpx.AsyncClient(
                base_url=self._url,
                limits=limits,
                timeout=self._policy.timeout,
                trust_env=False,
                verify=self._verify,
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self._connections):
                group.create_task(self._work(client, queue, on_entry))
            await self._feed(posts, queue)

    async def _feed(self, posts: Iterable[Post], queue: asyncio.Queue[Post | None]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for post in posts:
            await queue.put(post)
            if self._rate > 0:
                due += post.events / self._rate
                await asyncio.sleep(max(0.0, due - loop.time()))
        for _ in range(self._connections):
            await queue.put(None)

    async def _work(
        self,
        client: httpx.AsyncClient,
        queue: asyncio.Queue[Post | None],
        on_entry: Callable[[Entry], None] | None,
    ) -> None:
        while (post := await queue.get()) is not None:
            entry = await self._deliver(client, post)
            self._ledger.record(entry)
            if on_entry is not None:
                on_entry(entry)

    async def _deliver(self, client: httpx.AsyncClient, post: Post) -> Entry:
        number = self._ledger.next_post()
        headers = {**post.headers, **(self._key if post.with_key else {})}
        loop = asyncio.get_running_loop()
        attempts = _Attempts(datetime.now(UTC), loop.time())
        while True:
            attempts.made += 1
            response: httpx.Response | None = None
            try:
                response = await client.post(post.path, content=post.body, headers=headers)
            except httpx.TransportError:
                attempts.broken += 1
                self.broken_attempts += 1
            if response is not None and response.status_code not in _TRY_AGAIN:
                return _answered(number, post, attempts, response)
            if self._give_up(attempts, loop.time(), answered=response is not None):
                return _unanswered(number, post, attempts, response)
            await asyncio.sleep(self._wait(attempts, response))

    def _give_up(self, attempts: _Attempts, now: float, *, answered: bool) -> bool:
        if answered:
            return attempts.made - attempts.broken >= self._policy.attempts
        return now - attempts.started >= self._policy.patience

    def _wait(self, attempts: _Attempts, response: httpx.Response | None) -> float:
        asked = retry_after(response.headers, datetime.now(UTC)) if response is not None else None
        wait = self._policy.first_wait * 2 ** min(attempts.made - 1, 10) if asked is None else asked
        return min(wait, self._policy.longest_wait) * _spread(self._jitter)


def _spread(rng: random.Random) -> float:
    """Return a factor a little above 1, so that connections do not come back all at once."""
    return 1 + rng.random() * 0.2


def retry_after(headers: httpx.Headers, now: datetime) -> float | None:
    """Return the seconds that an answer asks to wait, None when it does not (RFC 9110, 10.2.3)."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000": a time in UTC of unknown origin (RFC 5322, 3.3)
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _first(number: int, post: Post, attempts: _Attempts) -> Entry:
    return Entry(
        post=number,
        source=post.source,
        path=post.path,
        sent_at=attempts.sent_at,
        answered_at=datetime.now(UTC),
        events=post.events,
        attempts=attempts.made,
        broken_attempts=attempts.broken,
        faults=post.faults,
    )


def _unanswered(
    number: int, post: Post, attempts: _Attempts, response: httpx.Response | None
) -> Entry:
    status = None if response is None else response.status_code
    return replace(_first(number, post, attempts), status=status, unacknowledged=post.events)


def _answered(number: int, post: Post, attempts: _Attempts, response: httpx.Response) -> Entry:
    status = response.status_code
    entry = replace(_first(number, post, attempts), status=status)
    answer = _decoded(response)
    if status in _READ or (status == _ALL_REJECTED and "rejected" in answer):
        return replace(
            entry,
            receipt_id=answer.get("receipt_id"),
            received_at=answer.get("received_at"),
            accepted=answer.get("accepted", 0),
            duplicate=answer.get("duplicate", 0),
            rejected=answer.get("rejected", 0),
        )
    if status == _ALL_REJECTED:
        return replace(entry, receipt_id=answer.get("receipt_id"), rejected=post.events)
    if status in _UNREADABLE:
        return replace(entry, receipt_id=answer.get("receipt_id"), unreadable=post.events)
    # A key that is refused or a route that is not there: nothing was taken, nothing will be.
    return replace(entry, unacknowledged=post.events)


def _decoded(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
