"""What the fleets send without faults can be read by the contracts; what cannot be is refused."""

from datetime import UTC, datetime

import pytest

from device_sim.chance import seeded
from device_sim.faults import FaultRates, spoil
from device_sim.plan import SOURCES, make_fleets
from device_sim.privacy import PLAIN_VALUES
from telemetry_contracts.reader import Reading, Refusal, compile_reader
from telemetry_contracts.registry import load_registry
from telemetry_contracts.tokens import KeyRing

pytestmark = pytest.mark.unit
START = datetime(2026, 1, 5, 10, tzinfo=UTC)


@pytest.mark.parametrize("source", SOURCES)
def test_true_events_are_readable_and_their_personal_values_become_tokens(source: str) -> None:
    reader = compile_reader(load_registry()[source], KeyRing.generate())
    (fleet,) = make_fleets([source], 1, START)
    readings = [reader.read(fleet.event(START).body) for _ in range(500)]
    assert not [each for each in readings if isinstance(each, Refusal)]
    text = b"\n".join(each.payload for each in readings if isinstance(each, Reading)).decode()
    assert not [value for value in PLAIN_VALUES if value in text]


@pytest.mark.parametrize("source", SOURCES)
def test_faults_are_partly_refused_at_the_reader_and_partly_left_to_silver(source: str) -> None:
    reader = compile_reader(load_registry()[source], KeyRing.generate())
    (fleet,) = make_fleets([source], 1, START)
    rates = FaultRates().scaled(20)
    rng = seeded(1)
    spoiled = [spoil(fleet.event(START), rates, rng) for _ in range(1_000)]
    fates = {
        (fault, isinstance(reader.read(event.body), Reading))
        for event in spoiled
        for fault in event.faults
    }
    assert {("wrong_type", False), ("out_of_range", True), ("missing", True)} <= fates
