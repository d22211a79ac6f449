"""The demo passes only when every event has exactly one fate."""

from dataclasses import replace

import pytest

from device_sim.ledger import Totals
from telemetry_cli.demo_files import LandedFile
from telemetry_cli.demo_report import (
    DemoReport,
    SourceAccount,
    accepted_by_source,
    make_accounts,
)
from telemetry_cli.fates import Fates, missing_events
from telemetry_cli.privacy_scan import Place

pytestmark = pytest.mark.unit
TOTALS = {
    "mobile": Totals(sent=10, accepted=7, duplicate=1, rejected=1, unreadable=1),
    "environment": Totals(sent=5, accepted=5),
}
FILES = [LandedFile("rcp_f", "a.csv", "environment", "landed", "", 100, 97, 1, 2)]
FATES = {"mobile": Fates(4, 1, 1, superseded=1), "environment": Fates(101, 1, 0)}


def account(**changes: int) -> SourceAccount:
    (found,) = [
        each for each in make_accounts(TOTALS, FILES, FATES) if each.source == "environment"
    ]
    return replace(found, **changes)


def test_posts_and_file_rows_are_one_account() -> None:
    assert account() == SourceAccount("environment", 105, 102, 1, 2, 0, 0, 101, 1, 0, 0)
    assert all(each.adds_up for each in make_accounts(TOTALS, FILES, FATES))
    assert accepted_by_source(TOTALS, FILES) == {"mobile": 7, "environment": 102}


@pytest.mark.parametrize(
    "change",
    [
        {"in_mart": 100},
        {"in_mart": 102},
        {"superseded": 1},
        {"unacknowledged": 1, "sent": 106},
        {"rejected": 1},
    ],
    ids=[
        "a row is missing",
        "a row too many",
        "a former version too many",
        "no answer",
        "a refused row is missing",
    ],
)
def test_one_row_off_is_a_failure(change: dict[str, int]) -> None:
    assert not account(**change).adds_up
    assert not DemoReport([account(**change)]).passed


def test_a_plain_value_is_a_failure() -> None:
    assert DemoReport([account()], places=[Place("bucket")]).passed
    assert not DemoReport([account()], places=[Place("bucket", hits={"log": 1})]).passed


def test_no_account_is_a_failure() -> None:
    assert not DemoReport([]).passed


def test_missing_and_surplus_events_are_told_by_source() -> None:
    accepted = {"mobile": 7, "environment": 100}
    assert missing_events(accepted, FATES) == {"environment": -2}
    assert missing_events(accepted, {}) == accepted
