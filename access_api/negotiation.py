"""Which media type an answer gets, and whether the client has it already (RFC 9110)."""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from http import HTTPStatus

from telemetry_platform.problems import Problem


class MediaType(StrEnum):
    """What answers can be written as, in the order of our preference."""

    JSON = "application/json"
    CSV = "text/csv"
    PARQUET = "application/vnd.apache.parquet"
    ARROW = "application/vnd.apache.arrow.stream"


def negotiate(accept: str | None, offered: tuple[MediaType, ...] = tuple(MediaType)) -> MediaType:
    """Return the offered type that the `Accept` header likes most (section 12.5.1).

    Raises:
        Problem: 406, it accepts none.
    """
    ranges = [_range(part) for part in (accept or "*/*").split(",")]
    liked = max(offered, key=lambda media: (_quality(media, ranges), -offered.index(media)))
    if _quality(liked, ranges) > 0:
        return liked
    detail = f"this answer can be had as {', '.join(offered)}"
    raise Problem(HTTPStatus.NOT_ACCEPTABLE, "media-type", detail)


def entity_tag(body: bytes) -> str:
    """Return the strong entity tag of a body (section 8.8.3)."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def has_already(if_none_match: str | None, tag: str) -> bool:
    """Whether `If-None-Match` names the tag (section 13.1.2, weak comparison)."""
    if if_none_match is None:
        return False
    names = [name.strip().removeprefix("W/") for name in if_none_match.split(",")]
    return tag in names or names == ["*"]


def _range(part: str) -> tuple[str, float]:
    """Return a media range and its weight; 0 for a weight that is none."""
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((p.partition("=")[2] for p in parameters if p.startswith("q=")), "1")
    try:
        return media, min(1.0, max(0.0, float(weight)))
    except ValueError:
        return media, 0.0


def _quality(media: MediaType, ranges: list[tuple[str, float]]) -> float:
    """Return the weight of the most specific range that matches; 0 when none does."""
    weights = dict(reversed(ranges))
    family = media.partition("/")[0]
    for pattern in (media.value, f"{family}/*", "*/*"):
        if pattern in weights:
            return weights[pattern]
    return 0.0
