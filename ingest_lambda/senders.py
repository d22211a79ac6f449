"""Who sends a post, as far as the edge needs to know once a key or a token was found good."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry_platform.access_keys.api_key import ALL_SOURCES

if TYPE_CHECKING:
    from telemetry_platform.access_keys.api_key import ApiKey
    from telemetry_platform.access_keys.rate_limit import RateLimit


class Sender(NamedTuple):
    """A sender in good standing.

    Attributes:
        id: Stable over the life of the key or of the token's subject; no secret.
        sources: What it may send; `*` for everything.
        rate_limit: A limit of its own; None for the one of the settings.
    """

    id: str
    sources: tuple[str, ...]
    rate_limit: RateLimit | None = None

    def may_send(self, source: str) -> bool:
        """Whether events of `source` are in scope."""
        return ALL_SOURCES in self.sources or source in self.sources


def sender_of(key: ApiKey) -> Sender:
    """Return who posts with this key."""
    return Sender(key.id, key.sources, key.rate_limit)
