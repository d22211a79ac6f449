"""Repair of refused events, from the refused post to the row: once, and in its first hour."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from typer.testing import CliRunner

from ingest_lambda.admission import Receipt, Verdicts, rejected_rows
from ingest_lambda.edge import Edge
from ingest_lambda.post_reader import READ, Refused
from telemetry_cli.main import program
from telemetry_contracts.bulk import NO_EVENTS
from telemetry_contracts.reader import Refusal, Violation
from telemetry_contracts.registry import SOURCES, load_registry
from telemetry_contracts.sealing import SealBox
from telemetry_platform.clock import utc_now
from telemetry_platform.delta import open_table
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.replay.judging import open_judge
from telemetry_platform.replay.outcomes import Report
from telemetry_platform.replay.rejections import Selection, parse_moment
from telemetry_platform.replay.run import replay
from tests.conftest import process_settings
from tests.unit.ingest_lambda.conftest import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit

EVENTS, REJECTED, REPLAYS = "landing/events", "landing/rejected", "landing/replays"
EARLIER = datetime(2026, 11, 20, 9, 30, 1, 250_000, tzinfo=UTC)
GIVEN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
OTHER_ID = "01890a5d-ac96-774b-bcce-b302099a8058"


@pytest.fixture(scope="module")
def narrow_contracts(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return contracts that do not know how room sensors write time."""
    folder = tmp_path_factory.mktemp("contracts")
    text = (SOURCES / "environment.odcs.yaml").read_text()
    known = "{shape: sensor_json, path: timestamp}"
    assert text.count(known) == 1
    narrowed = text.replace(known, "{shape: sensor_json, path: timestamp, format: epoch_seconds}")
    (folder / "environment.odcs.yaml").write_text(narrowed)
    return load_registry(folder)


@pytest.fixture
def narrow(settings: Settings, key: str, narrow_contracts: Registry) -> Iterator[Edge]:
    """Return an edge that refuses what room sensors send."""
    assert key
    own = settings.model_copy(update={"spool_max_bytes": 0, "commit_spacing_ms": 0})
    edge = Edge(own, narrow_contracts)
    yield edge
    edge.close()


@pytest.fixture
def run(settings: Settings, registry: Registry) -> Callable[..., Report]:
    """Replay what is selected by the contracts in force; a dry run unless told otherwise."""

    def start(*, dry_run: bool = True, **selected: Any) -> Report:
        judge = open_judge(settings, registry)
        return replay(settings, judge, Selection(**selected), dry_run=dry_run)

    return start


def room(minute: int = 0, **more: Any) -> dict[str, Any]:
    moment = f"2026-11-20T08:{minute:02}:00Z"
    return {"device_id": "attic", "timestamp": moment, "temperature": 20.5, **more}


def post(edge: Edge, key: str, *events: Any) -> dict[str, Any]:
    """Post events of room sensors; return the answer."""
    content = b"\n".join(e if isinstance(e, bytes) else orjson.dumps(e) for e in events)
    headers = {"content-type": "application/x-ndjson"}
    answer = Client(edge, key).post("/v1/events?source=environment", content, headers)
    assert answer.status_code in {HTTPStatus.ACCEPTED, HTTPStatus.UNPROCESSABLE_ENTITY}
    return answer.json()


def refuse(edge: Edge, event: dict[str, Any], at: datetime, receipt: str = "rcp_old") -> None:
    """Keep one refused event as the edge does, received at an earlier time."""
    refusal = Refusal((Violation("timestamp", "event_time", "expected epoch seconds"),))
    refused = Refused(0, READ, refusal, orjson.dumps(event))
    verdicts = Verdicts(NO_EVENTS, NO_EVENTS, [refused], set(), [])
    kept = Receipt(receipt, "environment", at, "0.9.0", 1)
    edge.rejected.submit(rejected_rows(verdicts, kept, edge.box)).result(60)


def outcomes(report: Report) -> dict[str, int]:
    """Return the counts of a report by what it says of the events now."""
    found: Counter[str] = Counter()
    for change, tally in report.changes.items():
        found[change.text] += tally.count
    return dict(found)


def test_a_refused_post_is_repaired_once_as_of_its_first_arrival(
    narrow: Edge, key: str, run: Any, rows: Any, settings: Settings
) -> None:
    answer = post(narrow, key, room(0), room(1))
    assert (answer["accepted"], answer["rejected"]) == (0, 2)
    rejected = rows(REJECTED)

    rehearsed = run()
    assert outcomes(rehearsed) == {"readable": 2}
    assert rows(EVENTS).is_empty()
    assert open_table(settings, REPLAYS) is None

    applied = run(dry_run=False)
    assert applied.changes == rehearsed.changes
    landed = rows(EVENTS)
    assert set(landed["receipt_id"]) == {answer["receipt_id"]} == set(rejected["receipt_id"])
    assert set(landed["received_at"]) == set(rejected["received_at"])
    assert set(landed["received_hour"]) == set(rejected["received_hour"])
    assert sorted(landed["event_time"].dt.minute()) == [0, 1]
    attempts = rows(REPLAYS)
    assert set(attempts["outcome"]) == {"landed"}
    assert set(attempts["event_id"]) == set(landed["event_id"])
    assert sorted(attempts["event_index"]) == [0, 1]

    again = run(dry_run=False)
    assert (again.judged, again.settled) == (0, 2)
    assert rows(EVENTS).equals(landed)
    assert rows(REPLAYS).equals(attempts)
    assert rows(REJECTED).equals(rejected), "what was refused stays on record"


def test_an_event_lands_in_the_hour_it_was_received(
    narrow: Edge, run: Any, rows: Any, registry: Registry
) -> None:
    refuse(narrow, room(), EARLIER)
    run(dry_run=False)
    (landed,) = rows(EVENTS).to_dicts()
    assert (landed["received_at"], landed["received_hour"]) == (EARLIER, "2026-11-20T09")
    assert landed["receipt_id"] == "rcp_old"
    assert landed["contract_version"] == registry["environment"].version
    assert json.loads(landed["payload"])["temperature_celsius"] == 20.5


def test_what_is_still_wrong_stays_refused_and_says_by_which_rule(
    narrow: Edge, key: str, run: Any, rows: Any
) -> None:
    post(
        narrow,
        key,
        room(),
        {"device_id": "attic", "timestamp": "yesterday", "temperature": 1},
        {"timestamp": "2026-11-20T08:00:00Z", "temperature": 1},
        b'{"device_id": "attic", "timestamp"',
    )
    before = rows(REJECTED).sort("event_index")["rule"].to_list()
    assert before[3] == "json"
    report = run(dry_run=False)
    assert sum(outcomes(report).values()) == 4
    attempts = rows(REPLAYS).sort("event_index")
    assert attempts["outcome"].to_list() == ["landed", "refused", "refused", "refused"]
    assert attempts["rule"].to_list()[3] == "json"
    assert attempts["event_id"].is_null().to_list() == [False, True, True, True]
    changed = {(c.rule, c.new_rule) for c in report.changes if c.outcome == "refused"}
    assert ("json", "json") in changed
    second = run(dry_run=False)
    assert (second.judged, second.settled) == (3, 1)
    assert rows(EVENTS).height == 1
    assert rows(REPLAYS).height == 4 + 3, "each attempt is on record"


def test_a_rule_that_took_the_place_of_another_is_told(narrow: Edge, run: Any) -> None:
    refuse(narrow, {"device_id": "attic", "temperature": 1}, EARLIER)
    assert outcomes(run()) == {"refused by shape": 1}


def test_copies_of_one_refused_event_land_once_the_first_of_them(
    narrow: Edge, run: Any, rows: Any
) -> None:
    for minutes in (120, 0, 5):
        refuse(narrow, room(), EARLIER + timedelta(minutes=minutes), f"rcp_{minutes}")
    rehearsed = run()
    assert outcomes(rehearsed) == {"readable": 1, "readable, a duplicate": 2}
    assert run(dry_run=False).changes == rehearsed.changes
    assert rows(EVENTS)["receipt_id"].to_list() == ["rcp_0"]


def test_an_event_that_the_device_sent_again_is_a_duplicate(
    narrow: Edge, key: str, run: Any, rows: Any
) -> None:
    for event_id, hours in ((GIVEN_ID, -5), (OTHER_ID, 5)):
        event = room(event_id=event_id)
        post(narrow, key, event | {"timestamp": 1_795_000_000})
        refuse(narrow, event, utc_now() + timedelta(hours=hours), f"rcp_{hours}")
    assert rows(EVENTS).height == 2
    assert outcomes(run()) == {"readable, a duplicate": 2}
    assert outcomes(run(dry_run=False)) == {"readable, a duplicate": 2}
    assert rows(EVENTS).height == 2
    assert rows(REPLAYS)["outcome"].to_list() == ["duplicate"] * 2


def test_a_copy_beyond_the_dedup_window_is_an_event_of_its_own(
    narrow: Edge, run: Any, rows: Any, registry: Registry
) -> None:
    window = registry["environment"].dedup_window
    refuse(narrow, room(), EARLIER, "rcp_1")
    refuse(narrow, room(), EARLIER + window + timedelta(hours=1), "rcp_2")
    assert outcomes(run()) == {"readable": 2}
    assert outcomes(run(dry_run=False)) == {"readable": 2}
    assert rows(EVENTS).height == 2


def test_a_replay_that_ended_before_it_noted_anything_can_be_repeated(
    narrow: Edge, key: str, run: Any, rows: Any, settings: Settings
) -> None:
    post(narrow, key, room(0), room(1))
    run(dry_run=False)
    landed = rows(EVENTS)
    shutil.rmtree(f"{settings.root}/{REPLAYS}")
    assert outcomes(run(dry_run=False)) == {"readable, a duplicate": 2}
    assert rows(EVENTS).equals(landed)


def test_replays_at_the_same_time_land_each_event_once(narrow: Edge, run: Any, rows: Any) -> None:
    for hour in range(5):
        refuse(narrow, room(hour), EARLIER + timedelta(hours=hour), f"rcp_{hour}")
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: run(dry_run=False), range(3)))
    assert sorted(rows(EVENTS)["receipt_id"]) == [f"rcp_{hour}" for hour in range(5)]
    assert sum(report.count("landed") for report in reports) == 5


def test_a_commit_that_another_overtook_sees_it_and_can_be_given_up(
    narrow: Edge, key: str, run: Any, rows: Any, settings: Settings
) -> None:
    refuse(narrow, room(), EARLIER)
    run(dry_run=False)
    late = DeltaLog(settings, LANDING_EVENTS)
    prepared = late.prepare(rows(EVENTS))
    post(narrow, key, room() | {"timestamp": 1_795_000_000})
    seen: list[bytes] = []

    def give_up(entry: bytes) -> None:
        seen.append(entry)
        raise KeyError

    with pytest.raises(KeyError):
        late.commit(prepared, give_up)
    late.close()
    assert len(seen) == 1
    both = rows(EVENTS).sort("received_at")
    assert both.height == 2
    assert both["received_hour"][-1].encode() in seen[0]


def test_without_its_key_a_body_stays_as_it_is_and_is_counted(
    narrow: Edge, key: str, run: Any, rows: Any, settings: Settings
) -> None:
    post(narrow, key, room(0), room(1))
    key_file = settings.secrets_dir / "seal_keys.json"
    kept = key_file.read_bytes()
    SealBox({7: b"k" * 32}).save(key_file)
    for dry_run in (True, False):
        report = run(dry_run=dry_run)
        assert outcomes(report) == {"cannot be opened": 2}
        (warning,) = report.warnings()
        assert warning.startswith("2 events cannot be opened: no seal key of version 1.")
    assert rows(REPLAYS)["rule"].to_list() == ["sealed"] * 2
    key_file.write_bytes(kept)
    assert outcomes(run(dry_run=False)) == {"readable": 2}
    assert rows(EVENTS).height == 2


def test_only_what_is_selected_is_judged(narrow: Edge, run: Any) -> None:
    for hour in range(3):
        refuse(narrow, room(hour), EARLIER + timedelta(hours=hour), f"rcp_{hour}")
    later = EARLIER + timedelta(hours=1)
    one_hour = {"since": parse_moment("2026-11-20T10"), "until": parse_moment("2026-11-20T11")}
    for selected, expected in (
        ({"sources": ("environment",)}, {0, 1, 2}),
        ({"sources": ("mobile",)}, set()),
        ({"receipts": ("rcp_1", "rcp_2")}, {1, 2}),
        ({"rules": ("timestamp",)}, {0, 1, 2}),
        ({"rules": ("json",)}, set()),
        ({"since": later}, {1, 2}),
        ({"until": later}, {0}),
        (one_hour, {1}),
    ):
        report = run(**selected)
        named = {each for tally in report.changes.values() for each in tally.examples}
        assert named == {f"rcp_{hour}:0" for hour in expected}, selected


def test_a_source_without_a_contract_keeps_its_refused_events(
    narrow: Edge, settings: Settings, registry: Registry
) -> None:
    refuse(narrow, room(), EARLIER)
    others = {name: registry[name] for name in registry if name != "environment"}
    report = replay(settings, open_judge(settings, others), Selection(), dry_run=False)
    assert outcomes(report) == {"refused by contract": 1}


def test_a_big_post_is_repaired_whole(narrow: Edge, key: str, run: Any, rows: Any) -> None:
    post(narrow, key, *(room(n % 60, device_id=f"d{n // 60}") for n in range(700)))
    report = run(dry_run=False)
    assert outcomes(report) == {"readable": 700}
    assert rows(EVENTS)["event_id"].n_unique() == 700 == rows(REPLAYS).height
    (tally,) = report.changes.values()
    assert len(tally.examples) == 3


def test_a_lake_without_refused_events_has_nothing_to_replay(run: Any) -> None:
    assert run().judged == 0


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T14", datetime(2026, 11, 22, 14, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T14:30:00Z", datetime(2026, 11, 22, 14, 30, tzinfo=UTC)),
        ("2026-11-22T14:30:00+02:00", datetime(2026, 11, 22, 12, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_as_utc(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment


class TestCommand:
    """`telemetry replay`, on the lake that the environment names."""

    @pytest.fixture
    def telemetry(self, settings: Settings) -> Iterator[Callable[..., Any]]:
        """Return what runs the command."""
        names = {
            "home": str(settings.home),
            "lake_root": settings.root,
            "secrets_dir": str(settings.secrets_dir),
        }
        with process_settings(**names):
            yield lambda *words: CliRunner().invoke(program(), ["replay", *words])

    def test_it_shows_the_differences_first_and_lands_when_told(
        self, narrow: Edge, telemetry: Any, rows: Any
    ) -> None:
        refuse(narrow, room(device_id="secret-attic"), EARLIER)
        shown = telemetry()
        assert shown.exit_code == 0, shown.output
        for expected in ("environment", "timestamp", "readable", "rcp_old:0", "--apply"):
            assert expected in shown.output
        assert "secret-attic" not in shown.output
        assert rows(EVENTS).is_empty()
        done = telemetry("--apply", "--since", "2026-11-20T09", "--until", "2026-11-20T10")
        assert "1 of 1 refused events landed" in done.output
        assert rows(EVENTS).height == 1

    def test_json_has_every_count(self, narrow: Edge, telemetry: Any) -> None:
        refuse(narrow, room(), EARLIER)
        found = json.loads(telemetry("--json").stdout)
        assert (found["dry_run"], found["landed"], found["refused"]) == (True, 1, 0)
        assert found["changes"] == [
            {
                "source": "environment",
                "rule": "timestamp",
                "outcome": "landed",
                "new_rule": None,
                "count": 1,
                "examples": ["rcp_old:0"],
            }
        ]

    def test_a_wrong_filter_is_told(self, telemetry: Any) -> None:
        assert "no source fridge" in telemetry("--source", "fridge").exception.message
        assert "--since 'noon' is not a time" in telemetry("--since", "noon").exception.message

    def test_without_the_keys_it_says_where_they_are_sought(
        self, telemetry: Any, settings: Settings
    ) -> None:
        (settings.secrets_dir / "seal_keys.json").unlink()
        error = telemetry().exception
        assert "seal_keys.json" in error.message
        assert "TELEMETRY_SECRETS_DIR" in error.remedy
