"""The sender delivers each post once, waits as it is told, and accounts for every event."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from time import monotonic

import httpx
import orjson
import pytest

from device_sim.faults import FaultRates
from device_sim.ledger import Ledger, LedgerError
from device_sim.plan import SOURCES, make_fleets, plan_posts, take_events
from device_sim.posts import Post
from device_sim.sender import Pace, RetryPolicy, Sender, retry_after
from tests.unit.device_sim.scripted_edge import DROP, Answer, ScriptedEdge, serving

pytestmark = pytest.mark.unit
QUICK = RetryPolicy(attempts=3, longest_wait=0.05, patience=60.0, first_wait=0.01, timeout=60.0)


@pytest.fixture(scope="module")
def running_edge() -> Iterator[ScriptedEdge]:
    with serving(ScriptedEdge()) as running:
        yield running


@pytest.fixture
def edge(running_edge: ScriptedEdge) -> ScriptedEdge:
    running_edge.script.clear()
    running_edge.requests.clear()
    return running_edge


def batch(events: int = 3, source: str = "environment") -> Post:
    body = orjson.dumps([{"n": number} for number in range(events)])
    headers = {"content-type": "application/json"}
    return Post(source, f"/v1/events?source={source}", headers, body, events)


def deliver(edge_url: str, posts: list[Post], policy: RetryPolicy = QUICK) -> Ledger:
    ledger = Ledger()
    sender = Sender(edge_url, ledger, api_key="tlk_a_b", pace=Pace(0, 2), policy=policy)
    asyncio.run(sender.send(posts))
    return ledger


def test_accepted_events_are_counted(edge: ScriptedEdge) -> None:
    totals = deliver(edge.url, [batch(3), batch(4)]).totals()["environment"]
    assert (totals.sent, totals.accepted, totals.posts) == (7, 7, 2)


def test_a_key_is_sent_only_where_the_client_sends_one(edge: ScriptedEdge) -> None:
    keyless = Post("wearable", "/stream", {"content-type": "application/json"}, b"{}", 1, False)
    deliver(edge.url, [batch(1)])
    deliver(edge.url, [keyless])
    assert edge.requests[0].headers["x-api-key"] == "tlk_a_b"
    assert edge.requests[0].query == "source=environment"
    assert "x-api-key" not in edge.requests[1].headers


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_up_to_the_longest_wait(edge: ScriptedEdge, status: int) -> None:
    edge.script.append(Answer(status, {"retry-after": "1"}, b"{}"))
    patient = RetryPolicy(attempts=3, longest_wait=0.2, first_wait=0.001)
    began = monotonic()
    totals = deliver(edge.url, [batch()], patient).totals()["environment"]
    assert monotonic() - began >= 0.2
    assert totals.accepted == 3
    assert edge.requests[0].body == edge.requests[1].body


def test_retries_are_capped_and_the_events_counted_as_unacknowledged(edge: ScriptedEdge) -> None:
    edge.script.extend(Answer(503, {"retry-after": "3600"}, b"{}") for _ in range(3))
    totals = deliver(edge.url, [batch()]).totals()["environment"]
    assert (totals.unacknowledged, totals.accepted) == (3, 0)
    assert len(edge.requests) == 3


def test_a_dropped_connection_sends_the_same_bytes_again(edge: ScriptedEdge) -> None:
    again = orjson.dumps({"receipt_id": "r", "accepted": 1, "duplicate": 2, "rejected": 0})
    edge.script.extend([Answer(body=DROP), Answer(202, {}, again)])
    totals = deliver(edge.url, [batch()]).totals()["environment"]
    assert (totals.accepted, totals.duplicate, totals.recovered) == (1, 2, 2)
    assert edge.requests[0].body == edge.requests[1].body


def test_an_edge_that_is_away_for_a_while_loses_nothing() -> None:
    edge = ScriptedEdge()
    with serving(edge):
        url = edge.url
    ledger = Ledger()
    sender = Sender(url, ledger, api_key=None, pace=Pace(0, 2), policy=QUICK)

    async def outage() -> None:
        task = asyncio.create_task(sender.send([batch()]))
        while sender.broken_attempts == 0:
            await asyncio.sleep(0)
        port = int(url.rpartition(":")[2])
        server = await asyncio.start_server(_accept_three, "127.0.0.1", port)
        async with server:
            await task

    asyncio.run(outage())
    assert ledger.totals()["environment"].accepted == 3


async def _accept_three(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    body = orjson.dumps({"receipt_id": "r", "accepted": 3, "duplicate": 0, "rejected": 0})
    writer.write(b"HTTP/1.1 202 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body))
    writer.write(body)
    await writer.drain()
    writer.close()


def test_a_dead_edge_is_given_up_after_the_patience_is_over() -> None:
    edge = ScriptedEdge()
    with serving(edge):
        url = edge.url
    impatient = RetryPolicy(patience=0.1, first_wait=0.01, longest_wait=0.02)
    totals = deliver(url, [batch()], impatient).totals()["environment"]
    assert (totals.sent, totals.unacknowledged) == (3, 3)


@pytest.mark.parametrize(
    ("status", "column"),
    [
        (400, "unreadable"),
        (413, "unreadable"),
        (415, "unreadable"),
        (422, "rejected"),
        (401, "unacknowledged"),
        (404, "unacknowledged"),
    ],
)
def test_each_refusal_has_its_column(edge: ScriptedEdge, status: int, column: str) -> None:
    edge.script.append(Answer(status, {}, b'{"type":"about:blank"}'))
    totals = deliver(edge.url, [batch()]).totals()["environment"]
    assert getattr(totals, column) == 3
    assert len(edge.requests) == 1


def test_an_answer_that_does_not_add_up_is_an_error(edge: ScriptedEdge) -> None:
    edge.script.append(Answer(202, {}, b'{"accepted":2,"duplicate":0,"rejected":0}'))
    with pytest.RaisesGroup(LedgerError):
        deliver(edge.url, [batch(3)])


def test_the_rate_is_kept(edge: ScriptedEdge) -> None:
    sender = Sender(edge.url, Ledger(), api_key=None, pace=Pace(100, 4), policy=QUICK)
    began = monotonic()
    asyncio.run(sender.send([batch(10) for _ in range(6)]))
    # The first batches go at once; a busy machine may take longer, but never less.
    assert monotonic() - began >= 0.5


def test_whole_fleets_add_up(edge: ScriptedEdge) -> None:
    start = datetime(2026, 1, 5, 10, tzinfo=UTC)
    plan = plan_posts(
        make_fleets(SOURCES, 1, start), FaultRates(malformed=0), seed=1, start=start, rate=200
    )
    # The scripted edge cannot count zstd and deflate bodies.
    plain = (post for post in plan if post.headers.get("content-encoding", "gzip") == "gzip")
    readable = (post for post in plain if post.body[:4] != b"\x28\xb5\x2f\xfd")
    ledger = deliver(edge.url, list(take_events(readable, 200)))
    totals = ledger.totals()
    assert set(totals) == set(SOURCES)
    assert all(each.sent == each.accepted for each in totals.values())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("", None), ("soon", None), ("Mon, 05 Jan 2026 10:00:30 GMT", 30.0),
     ("Mon, 05 Jan 2026 09:00:00 -0000", 0.0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    now = datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert retry_after(httpx.Headers({"retry-after": text}), now) == seconds


def test_posts_are_taken_one_by_one_and_not_ahead(edge: ScriptedEdge) -> None:
    taken = count()
    began = datetime.now(UTC)

    def endless() -> Iterator[Post]:
        while datetime.now(UTC) - began < timedelta(seconds=0.3):
            next(taken)
            yield batch(1)

    sender = Sender(edge.url, Ledger(), api_key=None, pace=Pace(50, 1), policy=QUICK)
    asyncio.run(sender.send(endless()))
    assert next(taken) <= 0.3 * 50 + 2
