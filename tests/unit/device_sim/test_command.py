"""The command posts, replays and writes files, and its exit code tells whether all was answered."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from device_sim.command import app
from tests.unit.device_sim.scripted_edge import Answer, ScriptedEdge, serving

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def running_edge() -> Iterator[ScriptedEdge]:
    with serving(ScriptedEdge()) as running:
        yield running


@pytest.fixture
def edge(running_edge: ScriptedEdge) -> ScriptedEdge:
    running_edge.script.clear()
    running_edge.requests.clear()
    return running_edge


def test_a_file_is_replayed_and_the_totals_printed(edge: ScriptedEdge, tmp_path: Path) -> None:
    events = tmp_path / "events.json"
    events.write_bytes(orjson.dumps([{"n": n} for n in range(25)]))
    key = tmp_path / "key"
    key.write_text("tlk_a_b\n")
    ledger = tmp_path / "ledger.jsonl"
    result = CliRunner().invoke(
        app,
        ["replay", str(events), "--url", edge.url, "--key-file", str(key), "--batch", "10",
         "--ledger", str(ledger), "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert orjson.loads(result.stdout)["environment"]["accepted"] == 25
    assert len(ledger.read_bytes().splitlines()) == 3
    assert edge.requests[0].headers["x-api-key"] == "tlk_a_b"


def test_a_refused_key_is_no_success(edge: ScriptedEdge) -> None:
    edge.script.extend(Answer(401, {}, b"{}") for _ in range(100))
    arguments = ["http", "--url", edge.url, "--rate", "500", "--seconds", "0.1"]
    assert CliRunner().invoke(app, arguments).exit_code == 1


def test_an_unknown_source_is_named() -> None:
    result = CliRunner().invoke(app, ["http", "--source", "toaster"])
    assert result.exit_code == 2
    assert "toaster" in result.output


def test_files_are_written(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["csv", "--out", str(tmp_path), "--rows", "5"]).exit_code == 0
    assert runner.invoke(app, ["registries", "--out", str(tmp_path)]).exit_code == 0
    assert len(list(tmp_path.glob("*.csv"))) == 4
