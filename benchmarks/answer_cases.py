"""Benchmarks of what analysts wait for: questions, paging and exports over a long history."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx

from benchmarks.asking import Answered, ask
from benchmarks.figures import Figure
from benchmarks.history import SENSORS, WATCHES, Span, add, build_marts, next_hour, prepare, spans
from benchmarks.memory import proportional_bytes
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.access_keys.key_file import create_key
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_CLIENTS = 32
_REQUESTS = 2_000
_PAGE_ROWS = 20
_PAGES = 10_000
_PAGES_COMPARED = 200
_EXPORTED = 1_000_000
_HOUR_READINGS = 6_000
_FIRST_SHARE = 0.1
_PARQUET = {"accept": "application/vnd.apache.parquet"}
_MEBIBYTE = 1024 * 1024
_SECONDS = 600.0
_KEY_SECONDS = 5.0


def answers(runs: int, minute_rows: int = 50_000_000, readings: int = 20_000_000) -> list[Figure]:
    """Measure point questions, paging, an export, and the marts of a new hour, by history."""
    first, rest = spans(minute_rows, readings, _FIRST_SHARE)
    with _servers() as (stack, url):
        settings = stack.settings
        prepare(settings)
        add(settings, first)
        build_marts(settings)
        early = _new_hour(settings, first, runs)
        add(settings, rest)
        build_marts(settings)
        late = _new_hour(settings, next_hour(first, _HOUR_READINGS), runs)
        rows = first.minute_rows + rest.minute_rows
        sizes = f"{rows:,} metric minutes and {readings:,} events in Postgres"
        key = _reader_key(settings)
        client = httpx.Client(
            base_url=url, headers={"x-api-key": key}, timeout=_SECONDS, trust_env=False
        )
        with client:
            api = stack.processes["access"].pid
            return [
                Figure(
                    "marts of a new hour, a tenth of the history", "s", early,
                    f"{_HOUR_READINGS:,} readings; {first.minute_rows:,} metric minutes",
                    target=10.0,
                ),
                Figure("marts of a new hour, all history", "s", late, sizes, target=10.0),
                *_questions(url, key, first, runs, sizes),
                *_paging(client, sizes),
                *_exports(client, api, runs, sizes),
            ]  # fmt: skip


@contextmanager
def _servers() -> Generator[tuple[EmbeddedStack, str]]:
    with tempfile.TemporaryDirectory(prefix="telemetry-bench-") as home:
        Path(home).chmod(0o755)
        servers = {"postgres", "access"}
        with EmbeddedStack(Settings(home=Path(home)), only=servers) as stack:
            stack.start()
            assert stack.settings.access_url
            yield stack, stack.settings.access_url


def _reader_key(settings: Settings) -> str:
    text = create_key(settings.secrets_dir / "api_keys.json", "bench", ["*"], roles=["read"])[1]
    # The API looks at the file of keys each second.
    time.sleep(_KEY_SECONDS)
    return text


def _new_hour(settings: Settings, history: Span, runs: int) -> tuple[float, ...]:
    """Load the hour after `history` and return what the marts took to follow, several times."""
    hour = next_hour(history, _HOUR_READINGS)
    add(settings, hour)
    return tuple(build_marts(settings, hour.begin) for _ in range(runs))


def _questions(url: str, key: str, recent: Span, runs: int, sizes: str) -> list[Figure]:
    drawn = random.Random(7)  # noqa: S311 - which sensor is asked for
    asked: dict[str, Callable[[int], str]] = {
        "an hour's minutes of a sensor": lambda _: _minutes_path(drawn, recent),
        "last 100 readings of a sensor": lambda _: (
            f"/v1/readings?device=sensor-{drawn.randrange(SENSORS)}&limit=100"
        ),
        "days of a sensor": lambda _: f"/v1/metrics/days?device=sensor-{drawn.randrange(SENSORS)}",
        "daily steps of a user": lambda _: (
            f"/v1/users/user-{drawn.randrange(WATCHES)}/steps/daily?days=7"
        ),
    }
    figures = []
    for name, path in asked.items():
        ask(url, key, path, _CLIENTS, _CLIENTS)
        alone = [ask(url, key, path, _REQUESTS // 10, 1) for _ in range(runs)]
        together = [ask(url, key, path, _REQUESTS, _CLIENTS) for _ in range(runs)]
        rate = statistics.median(each.rate for each in together)
        crowd = f"{_CLIENTS} clients without pause ({rate:,.0f} answers/s); {sizes}"
        figures += [
            Figure(f"{name}, p95, one client", "ms", _p95(alone), sizes),
            Figure(f"{name}, p95, {_CLIENTS} clients", "ms", _p95(together), crowd, target=20.0),
        ]
    return figures


def _p95(answered: list[Answered]) -> tuple[float, ...]:
    return tuple(each.at(0.95) for each in answered)


def _minutes_path(drawn: random.Random, recent: Span) -> str:
    begin = recent.begin + timedelta(hours=drawn.randrange(recent.hours))
    device = f"sensor-{drawn.randrange(SENSORS)}"
    limits = f"from={_written(begin)}&to={_written(begin + timedelta(hours=1))}"
    return f"/v1/metrics/minutes?device={device}&{limits}"


def _written(moment: datetime) -> str:
    return quote(moment.isoformat())


def _paging(client: httpx.Client, sizes: str) -> list[Figure]:
    """Follow the pages of all readings; compare the last ones with the first ones."""
    taken = []
    cursor = None
    for _ in range(_PAGES):
        began = time.perf_counter()
        page = _get(client, "/v1/readings", {"limit": _PAGE_ROWS, "cursor": cursor}).json()
        taken.append(1_000 * (time.perf_counter() - began))
        cursor = page["next_cursor"]
    begin = statistics.median(taken[:_PAGES_COMPARED])
    end = tuple(taken[-_PAGES_COMPARED:])
    what = f"pages of {_PAGE_ROWS} readings, one after another; {sizes}"
    return [
        Figure(
            f"page {_PAGES:,}", "ms", (statistics.median(end),), what,
            floor=begin, floor_name="the first pages",
        )
    ]  # fmt: skip


def _exports(client: httpx.Client, api: int, runs: int, sizes: str) -> list[Figure]:
    """Export readings as Parquet; watch what the API's memory does."""
    seconds, memory = [], []
    for _ in range(runs):
        before, most = proportional_bytes([api]), 0
        began = time.perf_counter()
        with client.stream(
            "GET", "/v1/readings", params={"limit": _EXPORTED}, headers=_PARQUET
        ) as answer:
            answer.raise_for_status()
            for place, _ in enumerate(answer.iter_raw()):
                if place % 20 == 0:
                    most = max(most, proportional_bytes([api]))
        seconds.append(time.perf_counter() - began)
        memory.append((most - before) / _MEBIBYTE)
    what = f"{_EXPORTED:,} readings as Parquet; {sizes}"
    return [
        Figure("export", "s", tuple(seconds), what, target=3.0),
        Figure("export, memory of the API above what it had", "MiB", tuple(memory), what),
    ]


def _get(client: httpx.Client, path: str, parameters: dict[str, object]) -> httpx.Response:
    given = {name: str(value) for name, value in parameters.items() if value is not None}
    return client.get(path, params=given).raise_for_status()
