"""Which source the messages of an MQTT topic belong to, as the settings say."""

from __future__ import annotations

from typing import NamedTuple

from paho.mqtt.client import topic_matches_sub

from telemetry_contracts.registry import Registry

FROM_TOPIC = "+"
"""Instead of a source: the level of the topic that the filter's first `+` stands for."""


class TopicRule(NamedTuple):
    """One filter and what its messages are.

    Attributes:
        filter: An MQTT topic filter (MQTT 5.0, section 4.7).
        source: A source, or FROM_TOPIC.
    """

    filter: str
    source: str

    def source_of(self, topic: str) -> str:
        """Return the source of a topic that matches the filter."""
        if self.source != FROM_TOPIC:
            return self.source
        return topic.split("/")[self.filter.split("/").index("+")]


class TopicMap:
    """The rules of a bridge, the first that matches counts."""

    def __init__(self, topics: dict[str, str], registry: Registry) -> None:
        """Check the rules.

        Args:
            topics: Filter to source, see TopicRule.
            registry: The known sources.

        Raises:
            ValueError: There is no rule, or one names no source.
        """
        if not topics:
            raise ValueError("TELEMETRY_MQTT_TOPICS must name at least one topic filter")
        for topic_filter, source in topics.items():
            if source == FROM_TOPIC and "+" not in topic_filter.split("/"):
                raise ValueError(f"the topic filter {topic_filter} has no level + to read")
            if source != FROM_TOPIC and source not in registry:
                raise ValueError(f"no contract describes {source}, the source of {topic_filter}")
        self._rules = [TopicRule(*rule) for rule in topics.items()]

    def source_of(self, topic: str) -> str | None:
        """Return what a message of this topic is said to be; None when no filter matches."""
        for rule in self._rules:
            if topic_matches_sub(rule.filter, topic):
                return rule.source_of(topic)
        return None

    def subscriptions(self, group: str) -> list[str]:
        """Return what to subscribe to: the filters, shared by `group` unless it is empty."""
        prefix = f"$share/{group}/" if group else ""
        return [prefix + rule.filter for rule in self._rules]
