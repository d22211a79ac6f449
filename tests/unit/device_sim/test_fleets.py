"""Fleets send the shapes that real clients send, with values that can be true."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim import environment, mobile, wearable
from device_sim.environment import EnvironmentFleet
from device_sim.mobile import MobileFleet
from device_sim.privacy import EMAILS, IP_ADDRESSES, MARKERS, PLAIN_VALUES, WIFI_NAMES
from device_sim.wearable import WearableFleet

pytestmark = pytest.mark.unit
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
SEEDS = st.integers(0, 1_000)
NAIVE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


@settings(max_examples=40, deadline=None)
@given(SEEDS, MOMENTS)
def test_phones_send_the_flutter_shape(seed: int, moment: datetime) -> None:
    fleet = MobileFleet(seed, moment)
    for event in (fleet.event(moment + timedelta(seconds=n)) for n in range(10)):
        body = event.body
        named = event.shape is mobile.NAMED
        assert set(body) - {"event_id", "user"} == {
            "device", "battery", "network", "app", "sensor", "session",
        }  # fmt: skip
        assert ("event_id" in body) == ("user" in body) == ("id" in body["device"]) == named
        assert {"model", "manufacturer", "sdk"} <= set(body["device"])
        assert 0 <= body["battery"]["level"] <= 100
        assert set(body["network"]) == {"wifiName", "wifiIP", "connectivity"}
        assert set(body["sensor"]["accelerometer"]) == {"x", "y", "z"}
        assert NAIVE.fullmatch(body["session"]["timestamp"])
        if body["network"]["connectivity"] == "wifi":
            assert body["network"]["wifiName"].strip('"') in WIFI_NAMES
            assert body["network"]["wifiName"].startswith('"')
            assert body["network"]["wifiIP"] in IP_ADDRESSES
        if named:
            assert body["user"]["email"] in EMAILS


@settings(max_examples=40, deadline=None)
@given(SEEDS, MOMENTS)
def test_sensors_send_three_shapes(seed: int, moment: datetime) -> None:
    fleet = EnvironmentFleet(seed, moment)
    for event in (fleet.event(moment + timedelta(seconds=n)) for n in range(10)):
        body = event.body
        if event.shape is environment.STATION:
            assert set(body) == {
                "device_id", "timestamp", "temperature", "humidity", "pressure", "location",
            }  # fmt: skip
            assert body["timestamp"].endswith("Z")
            assert -40 <= body["temperature"] <= 60
            assert 0 <= body["humidity"] <= 100
        elif event.shape is environment.ROOM:
            assert set(body) == {"sensor_id", "timestamp", "value", "metadata"}
            assert set(body["metadata"]) == {"location", "unit", "type", "description"}
            assert NAIVE.fullmatch(body["timestamp"])
        else:
            assert set(body) == {"data", "device_id", "ts", "device"}
            assert set(body["data"]) == {
                "co", "humidity", "light", "lpg", "motion", "smoke", "temp",
            }  # fmt: skip
            assert body["ts"] == moment.timestamp() + round(body["ts"] - moment.timestamp())


def test_room_sensors_take_turns_with_their_types() -> None:
    moment = datetime(2026, 1, 5, 10, tzinfo=UTC)
    fleet = EnvironmentFleet(1, moment)
    events = (fleet.event(moment) for _ in range(300))
    metadata = [event.body["metadata"] for event in events if event.shape is environment.ROOM]
    assert {(each["type"], each["unit"]) for each in metadata} == {
        ("temperature", "C"), ("temperature", "F"), ("humidity", "%"), ("pressure", "hPa"),
    }  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(SEEDS, MOMENTS)
def test_watches_send_two_shapes(seed: int, moment: datetime) -> None:
    fleet = WearableFleet(seed, moment)
    for event in (fleet.event(moment) for _ in range(10)):
        body = event.body
        if event.shape is wearable.NEURAWRIST:
            assert set(body) == {
                "Device ID", "timestamp", "Heart Rate", "Step Count", "Sleeping State",
            }  # fmt: skip
            assert re.fullmatch(r"NeuraWrist_[A-Z0-9]{12}", body["Device ID"])
            heart, steps, state = body["Heart Rate"], body["Step Count"], body["Sleeping State"]
        else:
            assert set(body) == {"device_id", "date", "hr", "steps", "state"}
            assert re.fullmatch(r"PulseON_[A-Z0-9]{12}", body["device_id"])
            datetime.strptime(body["date"], "%Y-%m-%d %H:%M:%S.%f")
            heart, steps, state = body["hr"], body["steps"], body["state"]
        assert 30 <= int(heart) <= 200
        assert int(steps) >= 0
        assert state == "awake" or int(steps) == 0


def test_hearts_beat_slower_asleep() -> None:
    night = datetime(2026, 1, 5, 2, tzinfo=UTC)
    fleet = WearableFleet(1, night)
    rates: dict[str, list[int]] = {"asleep": [], "awake": []}
    for _ in range(2_000):
        body = fleet.event(night).body
        state = body.get("state") or body["Sleeping State"]
        rates[state].append(int(body.get("hr") or body["Heart Rate"]))
    asleep, awake = (sum(each) / len(each) for each in rates.values())
    assert asleep + 10 < awake


def test_plain_values_cannot_occur_by_accident() -> None:
    assert all(re.match(r"(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+$", ip) for ip in IP_ADDRESSES)
    assert all(mail.endswith((".example.org", ".invalid")) for mail in EMAILS)
    assert len(PLAIN_VALUES) == len(WIFI_NAMES) + len(IP_ADDRESSES) + len(EMAILS)
    assert min(map(len, PLAIN_VALUES)) >= 11


def test_every_plain_value_holds_a_marker() -> None:
    assert all(any(marker in value for marker in MARKERS) for value in PLAIN_VALUES)
