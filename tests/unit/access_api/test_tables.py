"""The catalog's tables: who may see which, and what each is made from."""

from __future__ import annotations

import pytest

from access_api.lineage import Models, lineage_of
from access_api.tables import CatalogTable
from telemetry_platform.access_keys.api_key import READ, ApiKey
from telemetry_platform.clock import utc_now

pytestmark = pytest.mark.unit


def table(layer: str, name: str, *sources: str, mixed: bool = False) -> CatalogTable:
    return CatalogTable(layer, name, "", (), sources, mixed, None, "", "")


@pytest.mark.parametrize(
    ("shown", "to_mobile", "to_all"),
    [
        (table("marts", "fct_events", "mobile", "wearable", mixed=True), True, True),
        (table("marts", "fct_mobile_sessions"), True, True),
        (table("marts", "agg_battery_drain"), True, True),
        (table("marts", "fct_sleep_episodes"), False, True),
        (table("marts", "a_model_that_came_later"), False, True),
        (table("silver", "mobile", "mobile"), True, True),
        (table("silver", "wearable", "wearable"), False, True),
        (table("gold", "ledger", "mobile", "wearable", mixed=True), True, True),
    ],
)
def test_a_table_without_sources_of_its_own_is_for_keys_of_all(
    shown: CatalogTable, to_mobile: bool, to_all: bool
) -> None:
    mobile, every = (
        ApiKey("k", "f", sources, "", utc_now(), roles=(READ,)) for sources in (("mobile",), ("*",))
    )
    assert (shown.seen_by(mobile), shown.seen_by(every)) == (to_mobile, to_all)


def test_lineage_leads_from_landing_through_the_lake_to_marts_and_readers() -> None:
    parents = {
        "marts/fct_sessions": frozenset({"warehouse/mobile"}),
        "marts/agg_drain": frozenset({"marts/fct_sessions"}),
        "marts/rpt": frozenset({"warehouse/ledger", "warehouse/rejected"}),
        "exposure/analysis": frozenset({"marts/agg_drain"}),
    }
    lineage = lineage_of(["mobile", "wearable"], Models(parents))
    assert lineage.before("marts/agg_drain") == {
        *("marts/fct_sessions", "silver/mobile", "bronze/mobile"),
        *("reference/devices", "landing/events"),
    }
    assert lineage.near("marts/fct_sessions") == {"silver/mobile", "marts/agg_drain"}
    assert {"gold/ledger", "landing/rejected", "silver/wearable"} <= lineage.before("marts/rpt")
    assert "exposure/analysis" in lineage.after("landing/events")
    assert "exposure/analysis" not in lineage.after("bronze/wearable")
