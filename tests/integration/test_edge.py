"""The edge as a process on a real object store: clients as they are, files as they come."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl
import pytest
from pydantic import SecretStr

from telemetry_cli.embedded.environment import process_environment
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.delta import open_table
from telemetry_platform.objects import s3_client
from telemetry_platform.settings import Settings
from tests.stack_process import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemetry_platform.layout import Table

from telemetry_platform.layout import LANDING_EVENTS, LANDING_FILES

pytestmark = pytest.mark.integration

SHARED = Path(__file__).parents[3] / "shared" / "data"
HEADER = "sensor_id,location,lat,lon,timestamp,pressure,temperature,humidity"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    home = tmp_path_factory.mktemp("edge")
    with EmbeddedStack(Settings(home=home), only={"s3", "edge"}) as stack:
        stack.start()
        yield stack


@pytest.fixture
def http(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    key = (stack.settings.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()
    with httpx.Client(
        base_url=stack.settings.ingest_url,
        headers={"x-api-key": key},
        timeout=DEADLINE_SECONDS,
        trust_env=False,
    ) as client:
        yield client


def rows(stack: EmbeddedStack, table: Table) -> pl.DataFrame:
    delta = open_table(stack.settings, table.path)
    assert delta is not None
    return pl.scan_delta(delta).collect()


def wait_for(what: Callable[[], Any], told: str) -> Any:
    """Return the first true value of `what`."""
    found: list[Any] = []

    def holds() -> bool:
        found[:] = [what()]
        return bool(found[0])

    wait_until(holds, told)
    return found[0]


def record_of(stack: EmbeddedStack, file: str) -> dict[str, Any] | None:
    found = rows(stack, LANDING_FILES).filter(pl.col("file") == file).to_dicts()
    return found[-1] if found else None


def drop(stack: EmbeddedStack, name: str, text: str) -> dict[str, Any]:
    """Put a file into the watched folder and wait for its record."""
    inbox = stack.settings.inbox_dir
    assert inbox is not None
    (inbox / name).parent.mkdir(exist_ok=True)
    (inbox / name).write_text(text)
    return wait_for(lambda: record_of(stack, Path(name).name), f"{name} has a record")


def test_the_mobile_client_posts_gzip_without_its_header(http: httpx.Client) -> None:
    event = {
        "device": {"model": "Pixel 8", "manufacturer": "Google", "sdk": 34},
        "battery": {"level": 81},
        "network": {"wifiName": '"home"', "wifiIP": "192.168.1.20", "connectivity": "wifi"},
        "app": {"name": "telemetry_app", "version": "1.0.0", "buildNumber": "1"},
        "sensor": {"accelerometer": {"x": 0.1, "y": 9.7, "z": 0.3}},
        "session": {"id": "2b1c", "timestamp": "2026-01-05T10:00:00.123456"},
    }
    body = gzip.compress(json.dumps(event).encode())
    headers = {"content-type": "application/json"}
    assert http.post("/ingest", content=body, headers=headers).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    "event",
    [
        {
            "Device ID": "NeuraWrist_POQ5AGKQX4TP",
            "timestamp": 1722902400.0,
            "Heart Rate": "61",
            "Step Count": 12,
            "Sleeping State": "asleep",
        },
        {
            "device_id": "PulseON_XBBVXPQ4SQ4O",
            "date": "2024-08-06 00:00:00.000000",
            "hr": 70,
            "steps": 4,
            "state": "awake",
        },
    ],
)
def test_watches_post_without_a_key(stack: EmbeddedStack, event: dict[str, Any]) -> None:
    url = f"{stack.settings.ingest_url}/stream"
    answer = httpx.post(url, json=event, timeout=DEADLINE_SECONDS, trust_env=False)
    assert answer.status_code == HTTPStatus.OK
    assert answer.json()["accepted"] == 1


def test_real_sensor_messages_are_all_accounted_for(
    stack: EmbeddedStack, http: httpx.Client
) -> None:
    path = SHARED / "smart_home_mqtt" / "raw_data_large.json"
    if not path.exists():
        pytest.skip("the real device data is not beside this checkout")
    messages = json.loads(path.read_bytes())
    lines = "\n".join(map(json.dumps, messages)).encode()
    answer = http.post(
        "/v1/events?source=environment",
        content=lines,
        headers={"content-type": "application/x-ndjson"},
    ).json()
    assert len(answer["events"]) == len(messages) == 9_995
    assert answer["accepted"] + answer["duplicate"] + answer["rejected"] == len(messages)
    landed = rows(stack, LANDING_EVENTS).filter(pl.col("receipt_id") == answer["receipt_id"])
    assert landed.height == answer["accepted"]
    assert landed["event_id"].n_unique() == landed.height


def test_a_file_lands_and_its_bad_rows_are_told(stack: EmbeddedStack) -> None:
    good = "1,2,42.1,23.1,2026-11-01T00:00:00,94000,21,40"
    bad = "1,2,42.1,23.1,2026-11-01T00:01:00,94000,2100,40"
    record = drop(stack, "mixed.csv", f"{HEADER}\n{good}\n{bad}\n")
    assert (record["outcome"], record["rows"]) == ("landed", 2)
    assert (record["accepted"], record["rejected"], record["duplicate"]) == (1, 1, 0)
    landed = rows(stack, LANDING_EVENTS).filter(pl.col("receipt_id") == record["receipt_id"])
    (payload,) = landed["payload"]
    assert {"_file": "mixed.csv", "_row": 1}.items() <= json.loads(payload).items()
    quarantine = stack.settings.quarantine_dir
    assert quarantine is not None
    log = pl.read_csv(quarantine / f"mixed.csv.{record['receipt_id']}.log.csv")
    assert log.select("row", "column", "value").rows() == [(2, "temperature", 2100)]
    bad_rows = quarantine / f"mixed.csv.{record['receipt_id']}.rows.csv"
    assert pl.read_csv(bad_rows).height == 1
    s3 = s3_client(stack.settings)
    done = f"inbox-done/{record['receipt_id']}/mixed.csv"
    wait_for(lambda: "mixed.csv" not in keys(s3, stack, "inbox/"), "it left the inbox")
    assert done in keys(s3, stack, "inbox-done/")
    assert bad_rows.name in keys(s3, stack, "quarantine/")


def keys(s3: Any, stack: EmbeddedStack, prefix: str) -> str:
    found = s3.list_objects_v2(Bucket=stack.settings.s3_bucket, Prefix=prefix)
    return "\n".join(entry["Key"] for entry in found.get("Contents", ()))


def test_the_same_file_again_adds_nothing(stack: EmbeddedStack) -> None:
    text = f"{HEADER}\n7,2,42.1,23.1,2026-11-01T00:00:00,94000,21,40\n"
    assert drop(stack, "first.csv", text)["accepted"] == 1
    before = rows(stack, LANDING_EVENTS).height
    again = drop(stack, "second.csv", text)
    assert (again["outcome"], again["accepted"]) == ("repeated", 0)
    assert rows(stack, LANDING_EVENTS).height == before


def test_a_file_that_fits_no_contract_is_set_aside_with_the_reason(stack: EmbeddedStack) -> None:
    record = drop(stack, "strange.csv", "hello,world\n1,2\n")
    assert record["outcome"] == "unreadable"
    assert "fit no contract" in record["message"]
    quarantine = stack.settings.quarantine_dir
    assert quarantine is not None
    kept = quarantine / f"strange.csv.{record['receipt_id']}.csv"
    assert kept.read_text() == "hello,world\n1,2\n"


def test_a_file_with_personal_columns_is_kept_sealed(stack: EmbeddedStack) -> None:
    text = (
        "device_id,event_time,heart_rate_bpm,user_email\nw1,2026-11-01T00:00:00,60,a@example.org\n"
    )
    record = drop(stack, "wearable/watch.csv", text)
    assert (record["source"], record["accepted"]) == ("wearable", 1)
    s3 = s3_client(stack.settings)
    key = f"inbox-done/{record['receipt_id']}/watch.csv.sealed"
    wait_for(lambda: key in keys(s3, stack, "inbox-done/"), "the file is kept")
    body = s3.get_object(Bucket=stack.settings.s3_bucket, Key=key)["Body"].read()
    assert b"example.org" not in body
    landed = rows(stack, LANDING_EVENTS).filter(pl.col("receipt_id") == record["receipt_id"])
    assert "example.org" not in landed["payload"][0]


def test_many_small_files_cost_few_commits(stack: EmbeddedStack) -> None:
    inbox = stack.settings.inbox_dir
    assert inbox is not None
    table = open_table(stack.settings, LANDING_EVENTS.path)
    assert table is not None
    before = table.version()
    for n in range(40):
        line = f"{1000 + n},2,42.1,23.1,2026-11-01T00:00:00,94000,21,40"
        (inbox / f"small-{n}.csv").write_text(f"{HEADER}\n{line}\n")
    small = pl.col("file").str.starts_with("small-")
    wait_for(lambda: rows(stack, LANDING_FILES).filter(small).height == 40, "all have landed")
    table.update_incremental()
    assert table.version() - before <= 6


def test_a_stop_answers_and_keeps_what_is_under_way(
    stack: EmbeddedStack, http: httpx.Client
) -> None:
    begun = Event()

    def post(number: int) -> int:
        event = {"session": {"id": "stop", "timestamp": f"2026-01-05T10:00:00.{number:06d}"}}
        try:
            status = http.post("/ingest", json=event).status_code
        except httpx.TransportError:
            return 0
        begun.set()
        return status

    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(post, range(400))
        assert begun.wait(DEADLINE_SECONDS)
        stack.restart("edge")
        acknowledged = list(answers).count(HTTPStatus.OK)
    wait_for(lambda: http.get("/readyz").json()["spooling"] == [], "all is in the table")
    landed = rows(stack, LANDING_EVENTS).filter(pl.col("device_id") == "session:stop")
    assert landed.height == acknowledged > 0
    assert '"message":"stopped"' in (stack.settings.home / "logs" / "edge.log").read_text()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"s3_endpoint": "http://127.0.0.1:9", "spool_max_bytes": 0},
            "the object store does not answer",
        ),
        ({"aws_secret_access_key": SecretStr("wrong")}, "the object store answers 403"),
    ],
    ids=["away, and no spool", "denies"],
)
def test_the_edge_refuses_to_serve_without_its_store(
    stack: EmbeddedStack, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    lost = stack.settings.model_copy(update={"spool_path": tmp_path, **changes})
    done = subprocess.run(
        [sys.executable, "-m", "ingest_lambda"],
        env=process_environment(lost),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["message"] == "refusing to serve"
    assert reason in line["reason"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README posts with curl")
def test_the_post_of_the_readme_is_accepted(stack: EmbeddedStack) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    found = re.search(r"^\$ (curl (?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert found is not None
    done = subprocess.run(
        ["bash", "-c", found[1].replace(".telemetry/", f"{stack.settings.home}/")],
        env={"PATH": os.environ["PATH"], "TELEMETRY_INGEST_URL": stack.settings.ingest_url},
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    assert json.loads(done.stdout)["events"][0]["status"] == "accepted"
