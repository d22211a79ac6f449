"""The API follows the contracts in force while it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from access_api.contracts import FollowedContracts
from telemetry_platform.settings import Settings
from tests.unit.telemetry_contracts.soil import put, soil

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit


def test_a_contract_that_comes_is_known_without_a_restart(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    followed = FollowedContracts(settings)
    before = followed.now
    assert "soil" not in before.registry
    followed.look()
    assert followed.now is before, "nothing changed"
    settings.contracts_path.mkdir()
    put(settings.contracts_path, soil())
    followed.look()
    assert "soil" in followed.now.registry
    assert followed.now.units["soil_temperature_celsius"] == "degC"
    assert "soil" not in before.registry, "a request stays with what it began with"
    put(settings.contracts_path, soil(version="1.1.0", new_field="soil_acidity_ph"))
    followed.look()
    assert followed.now.registry["soil"].version == "1.1.0"
