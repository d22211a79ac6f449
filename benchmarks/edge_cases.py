"""Benchmarks of the edge alone, with the object store behind it and nothing else running."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import polars as pl

from benchmarks.bodies import EVENT_BYTES
from benchmarks.closed_hours import FILES_AN_HOUR, fill_closed_hours
from benchmarks.figures import Figure
from benchmarks.floors import bare_server, orjson_decode_rate
from benchmarks.load import Load, Outcome
from benchmarks.peers.object_per_event import peer_server
from telemetry_assets.lakehouse.compaction import compact_closed_hours
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.clock import utc_now
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

_ROOT = Path(__file__).resolve().parent.parent
_MOBILE = "/v1/events?source=mobile"
_GRACE_SECONDS = 60
# Enough posts under way that commits, which these wait for, do not set the pace.
_CONNECTIONS = 32
_LINE_CONNECTIONS = 16


class LostRowsError(RuntimeError):
    """The table does not hold what the edge acknowledged."""


def send(load: Load) -> Outcome:
    """Run the load generator in a process of its own.

    Raises:
        subprocess.SubprocessError: It failed, or did not end in its time.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=orjson.dumps(asdict(load)),
        stdout=subprocess.PIPE,
        check=True,
        cwd=_ROOT,
        timeout=load.seconds + _GRACE_SECONDS,
    )
    return Outcome(**orjson.loads(done.stdout))


def edge_batches(runs: int, posts: int = 600, events: int = 100) -> list[Figure]:
    """Measure posts of 100 phone events: events per second and time to the acknowledgement."""
    outcomes = _measure(runs, Load("", _MOBILE, posts, events, connections=_CONNECTIONS))
    sizes = f"{posts:,} posts of {events} events of {EVENT_BYTES} bytes, {_CONNECTIONS} connections"
    rates = _rates(outcomes, per_event=True)
    return [
        Figure(
            "edge, posts of 100: events", "events/s", rates, sizes,
            target=40_000, higher_is_better=True,
            floor=orjson_decode_rate(), floor_name="orjson decode alone",
        ),
        *_latencies("edge, posts of 100: acknowledged", outcomes, sizes, target_p99=300.0),
    ]  # fmt: skip


def edge_lines(runs: int, posts: int = 200, events: int = 1_000) -> list[Figure]:
    """Measure posts of 1,000 phone events as compressed NDJSON."""
    load = Load("", _MOBILE, posts, events, connections=_LINE_CONNECTIONS, lines=True)
    outcomes = _measure(runs, load)
    sizes = (
        f"{posts:,} posts of {events:,} events of {EVENT_BYTES} bytes, NDJSON in zstd, "
        f"{_LINE_CONNECTIONS} connections"
    )
    return [
        Figure(
            "edge, posts of 1,000: events", "events/s", _rates(outcomes, per_event=True), sizes,
            target=60_000, higher_is_better=True,
            floor=orjson_decode_rate(), floor_name="orjson decode alone",
        ),
        *_latencies("edge, posts of 1,000: acknowledged", outcomes, sizes),
    ]  # fmt: skip


def edge_invalid(runs: int, posts: int = 300, events: int = 100) -> list[Figure]:
    """Measure what refusing events costs, as a share of the rate with none to refuse."""
    load = Load("", _MOBILE, posts, events, connections=_CONNECTIONS)
    valid = statistics.median(_rates(_measure(runs, load), per_event=True))
    figures = []
    for percent in (5, 50, 95):
        rates = _rates(_measure(runs, replace(load, invalid_percent=percent)), per_event=True)
        figures.append(
            Figure(
                f"edge, {percent} % of events refused: rate",
                "x valid alone",
                tuple(rate / valid for rate in rates),
                f"{posts:,} posts of {events} events; valid alone {valid:,.0f} events/s",
                target=0.7,
                higher_is_better=True,
            )
        )
    return figures


def edge_compacting(runs: int, seconds: int = 20) -> list[Figure]:
    """Measure a steady load while closed hours of the same table are compacted."""
    load = Load("", _MOBILE, 100 * seconds, 100, connections=32, rate=100.0)
    outcomes, compacted = [], 0
    for _ in range(runs):
        with (
            temporary_home() as home,
            EmbeddedStack(Settings(home=home), only={"s3", "edge"}) as stack,
        ):
            stack.start()
            settings = stack.settings
            fill_closed_hours(settings)
            ready = with_key(settings, load)
            # The edge looks at every entry that another writer has put before its own first one.
            send(replace(ready, posts=100, rate=None))
            with ThreadPoolExecutor(1) as pool:
                work = pool.submit(
                    compact_closed_hours, settings, [LANDING_EVENTS], utc_now(), least_files=8
                )
                outcomes.append(send(ready))
                compacted += len(work.result())
            if outcomes[-1].accepted != load.posts * load.events:
                raise LostRowsError(f"{outcomes[-1].accepted:,} events were accepted")
    sizes = (
        f"100 posts of 100 events a second for {seconds} s; "
        f"{compacted // runs} closed hours of {FILES_AN_HOUR} files compacted meanwhile"
    )
    return _latencies("edge, compaction beside it: acknowledged", outcomes, sizes, target_p99=400.0)


def edge_peer(runs: int, posts: int = 1_000) -> list[Figure]:
    """Measure single events against the peer that PUTs an object and INSERTs a row for each."""
    load = Load("", _MOBILE, posts, 1, connections=64)
    peer = statistics.median(_rates(_measure_peer(runs, load), per_event=False))
    ours = _rates(_measure(runs, replace(load, posts=6 * posts)), per_event=False)
    sizes = f"{6 * posts:,} posts of 1 event, 64 connections; the peer had {posts:,}"
    return [
        Figure(
            "edge, single events: requests beside the peer", "requests/s", ours, sizes,
            floor=peer, floor_name="FastAPI, one object and one row an event",
        )
    ]  # fmt: skip


def edge_singles(runs: int, posts: int = 6_000) -> list[Figure]:
    """Measure posts of one event over 64 connections."""
    load = Load("", _MOBILE, posts, 1, connections=64)
    outcomes = _measure(runs, load)
    with bare_server() as url:
        floor = _rates([send(Load(url, _MOBILE, posts, 1, connections=64))], per_event=False)[0]
    sizes = f"{posts:,} posts of 1 event of {EVENT_BYTES} bytes, 64 connections"
    return [
        Figure(
            "edge, single events: requests", "requests/s", _rates(outcomes, per_event=False),
            sizes, target=2_500, higher_is_better=True,
            floor=floor, floor_name="bare HTTP server",
        ),
        *_latencies("edge, single events: acknowledged", outcomes, sizes, target_p99=200.0),
    ]  # fmt: skip


def _measure_peer(runs: int, load: Load) -> list[Outcome]:
    with (
        temporary_home() as home,
        EmbeddedStack(Settings(home=home), only={"s3", "postgres"}) as stack,
    ):
        stack.start()
        with peer_server(stack.environment()) as url:
            ready = replace(load, url=url)
            send(replace(ready, posts=load.posts // 10))
            return [send(ready) for _ in range(runs)]


@contextmanager
def temporary_home() -> Generator[Path]:
    """Yield a new home for an embedded stack."""
    with tempfile.TemporaryDirectory(prefix="telemetry-bench-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _measure(runs: int, load: Load) -> list[Outcome]:
    """Run a load several times against a fresh edge, after one short run that warms it."""
    with temporary_home() as home, EmbeddedStack(Settings(home=home), only={"s3", "edge"}) as stack:
        stack.start()
        settings = stack.settings
        ready = with_key(settings, load)
        warm = send(replace(ready, posts=max(1, load.posts // 10)))
        outcomes = [send(ready) for _ in range(runs)]
        _assert_stored(settings, [warm, *outcomes], load.posts)
    return outcomes


def with_key(settings: Settings, load: Load) -> Load:
    """Return the load with the address and the development key of a stack's edge."""
    key = (settings.secrets_dir / DEVELOPMENT_KEY_FILE).read_text(encoding="utf-8")
    return replace(load, url=settings.ingest_url, api_key=key.strip())


def assert_rows(settings: Settings, acknowledged: int) -> None:
    """Raise LostRowsError unless `landing/events` has exactly so many rows."""
    table = open_table(settings, LANDING_EVENTS.path)
    stored = 0 if table is None else pl.scan_delta(table).select(pl.len()).collect().item()
    if stored != acknowledged:
        message = f"acknowledged {acknowledged:,} events, the table holds {stored:,}"
        raise LostRowsError(message)


def _assert_stored(settings: Settings, outcomes: Sequence[Outcome], posts: int) -> None:
    assert_rows(settings, sum(outcome.accepted for outcome in outcomes))
    for outcome in outcomes[1:]:
        if outcome.posts != posts or set(outcome.statuses) != {"202"}:
            message = f"{outcome.posts} of {posts} posts were answered: {outcome.statuses}"
            raise LostRowsError(message)


def _rates(outcomes: Sequence[Outcome], *, per_event: bool) -> tuple[float, ...]:
    return tuple(
        (outcome.events if per_event else outcome.posts) / outcome.seconds for outcome in outcomes
    )


def _latencies(
    name: str, outcomes: Sequence[Outcome], sizes: str, target_p99: float | None = None
) -> list[Figure]:
    return [
        Figure(f"{name}, p50", "ms", tuple(each.p50_ms for each in outcomes), sizes),
        Figure(
            f"{name}, p99", "ms", tuple(each.p99_ms for each in outcomes), sizes, target=target_p99
        ),
    ]
