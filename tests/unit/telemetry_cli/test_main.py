"""The command: help that explains, errors that say what to do, JSON for programs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_group
from typer.testing import CliRunner

from telemetry_cli.main import MODULES, main, program
from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

pytestmark = pytest.mark.unit


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Generator[Callable[..., tuple[int, str, str]]]:
    """Run the program as a shell would; returns exit code, stdout and stderr."""
    monkeypatch.setenv("TELEMETRY_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["telemetry", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capfd.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    yield call
    get_settings.cache_clear()


@pytest.mark.parametrize(
    "words",
    [
        *("up", "status", "env", "demo", "bench", "replay", "quality", "contracts check"),
        *("keys create", "keys list", "keys rotate", "keys revoke"),
    ],
)
def test_every_command_has_help_and_json(words: str) -> None:
    arguments = [*words.split(), "--help"]
    shown = CliRunner().invoke(program(arguments), arguments)
    assert shown.exit_code == 0
    assert "--json" in shown.output


def test_help_lists_every_command() -> None:
    assert set(get_group(program()).commands) == set(MODULES)
    for name in MODULES:
        assert list(get_group(program([name])).commands) == [name]


_IMPORTED = """
import sys
from telemetry_cli.main import program
program(["keys"])
print(*sorted(name for name in sys.modules if name.startswith("telemetry_cli.")))
"""


def test_a_command_does_not_wait_for_what_others_import() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED], check=True, capture_output=True, text=True
    )
    names = {f"telemetry_cli.{module}" for module in MODULES.values()}
    assert names & set(done.stdout.split()) == {"telemetry_cli.keys"}


def test_an_unknown_command_is_refused(run: Any) -> None:
    code, _, err = run("trase")
    assert code == 2
    assert "trase" in err


@pytest.mark.parametrize("command", ["env", "status", "quality"])
def test_without_a_stack_the_remedy_is_named(run: Any, command: str) -> None:
    code, _, err = run(command)
    assert code == 1
    assert "telemetry up" in err


def test_an_error_is_json_when_json_was_asked_for(run: Any) -> None:
    code, out, _ = run("env", "--json")
    assert code == 1
    assert set(json.loads(out)) == {"error", "remedy"}


def test_an_unknown_server_is_refused_with_the_known_ones(run: Any) -> None:
    code, _, err = run("up", "--only", "redis")
    assert code == 1
    assert "postgres" in err


def test_a_key_lives_from_creation_to_revocation(run: Any) -> None:
    _, out, _ = run("keys", "create", "vans", "--source", "mobile", "--json")
    made = json.loads(out)
    _, out, _ = run("keys", "rotate", made["id"], "--json")
    successor = json.loads(out)
    assert successor["key"] != made["key"]
    code, _, _ = run("keys", "revoke", made["id"])
    assert code == 0
    _, out, _ = run("keys", "list", "--json")
    listed = {key["id"]: key for key in json.loads(out)["keys"]}
    assert listed[made["id"]]["revoked_at"]
    assert not listed[successor["id"]]["revoked_at"]
    assert made["key"] not in out
    assert "hash" not in out


def test_a_key_for_an_unknown_source_is_refused(run: Any) -> None:
    code, _, err = run("keys", "create", "vans", "--source", "fridge")
    assert code == 1
    assert "environment" in err


def test_revoking_an_unknown_key_says_where_to_look(run: Any) -> None:
    run("keys", "create", "vans")
    code, _, err = run("keys", "revoke", "nosuch")
    assert code == 1
    assert "telemetry keys list" in err
