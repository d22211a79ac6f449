"""`telemetry contracts check`: a folder is held against what this home follows already."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from telemetry_cli.main import program
from telemetry_platform.contracts import contracts_in_force
from tests.conftest import process_settings
from tests.unit.telemetry_contracts.soil import put, soil

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit


def problems(directory: Path) -> list[str]:
    """Return what the command finds in a folder."""
    answer = CliRunner().invoke(
        program(), ["contracts", "check", "--directory", str(directory), "--json"]
    )
    found = json.loads(answer.output)["problems"]
    assert answer.exit_code == (1 if found else 0)
    return found


def test_a_folder_is_compared_with_what_is_in_force(tmp_path: Path) -> None:
    home, proposed = tmp_path / "home", tmp_path / "proposed"
    for folder in (home / "contracts", proposed):
        folder.mkdir(parents=True)
    with process_settings(home=str(home)) as settings:
        put(home / "contracts", soil(version="1.1.0", new_field="ph"))
        assert contracts_in_force(settings)["soil"].version == "1.1.0"
        put(proposed, soil(version="1.2.0", new_field="ph", logical_type="string"))
        assert any("ph" in problem for problem in problems(proposed))
        put(proposed, soil(version="1.2.0", new_field="ph"))
        assert problems(proposed) == []
