"""The settings say which source the messages of a topic belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest_lambda.mqtt_topics import TopicMap

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry

pytestmark = pytest.mark.unit

TOPICS = {
    "telemetry/+/#": "+",
    "zigbee2mqtt/#": "environment",
    "sites/+/phones/+": "mobile",
    "sites/north/+/raw": "+",
}


@pytest.mark.parametrize(
    ("topic", "source"),
    [
        ("telemetry/mobile/phone-7", "mobile"),
        ("telemetry/wearable", "wearable"),
        ("telemetry/toaster/kitchen", "toaster"),
        ("zigbee2mqtt/kitchen/sensor", "environment"),
        ("sites/north/phones/7", "mobile"),
        ("sites/north/wearable/raw", "wearable"),
        ("other/mobile", None),
        ("", None),
    ],
)
def test_the_first_filter_that_matches_counts(
    registry: Registry, topic: str, source: str | None
) -> None:
    assert TopicMap(TOPICS, registry).source_of(topic) == source


@pytest.mark.parametrize(
    ("topics", "reason"),
    [
        ({}, "at least one"),
        ({"telemetry/#": "+"}, "no level"),
        ({"telemetry/#": "toaster"}, "no contract"),
    ],
)
def test_a_rule_that_can_name_no_source_is_refused(
    registry: Registry, topics: dict[str, str], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        TopicMap(topics, registry)


def test_a_group_shares_its_subscriptions(registry: Registry) -> None:
    topics = TopicMap({"zigbee2mqtt/#": "environment"}, registry)
    assert topics.subscriptions("edges") == ["$share/edges/zigbee2mqtt/#"]
    assert topics.subscriptions("") == ["zigbee2mqtt/#"]
