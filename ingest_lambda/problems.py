"""What can be wrong with a request as a whole, as RFC 9457 problem details.

Such a request gets no receipt. An event that is wrong inside a good request is not a problem: it is
an outcome (`answers`).
"""

from __future__ import annotations

from http import HTTPStatus

from telemetry_platform.problems import Problem


def unreadable(detail: str) -> Problem:
    """400: the body is not JSON, or not what its headers say."""
    return Problem(HTTPStatus.BAD_REQUEST, "unreadable-body", detail)


def too_large(detail: str) -> Problem:
    """413: more bytes or events than one post may bring."""
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", detail)


def too_slow() -> Problem:
    """408: the request did not come whole in time."""
    detail = "the request did not come to its end in time; nothing of it is promised"
    return Problem(HTTPStatus.REQUEST_TIMEOUT, "too-slow", detail)


def head_too_large(limit: int) -> Problem:
    """431: more bytes of headers, trailers or chunk framing than the edge reads."""
    detail = f"the request line and headers may have {limit} bytes"
    return Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", detail)


def unsupported(detail: str) -> Problem:
    """415: a media type or content coding that the edge does not read."""
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported", detail)


def unknown_source(sources: tuple[str, ...]) -> Problem:
    """400: no contract describes the source."""
    known = ", ".join(sources)
    return Problem(HTTPStatus.BAD_REQUEST, "unknown-source", f"source must be one of {known}")


def no_key() -> Problem:
    """401: no key or token, or one that is not valid."""
    detail = "send a valid API key as x-api-key, or a key or access token as Authorization: Bearer"
    return Problem(HTTPStatus.UNAUTHORIZED, "key", detail)


def not_in_scope(source: str) -> Problem:
    """403: a valid key that is not for this source."""
    return Problem(HTTPStatus.FORBIDDEN, "scope", f"this key may not send {source} events")


def too_many_events(retry_after: int) -> Problem:
    """429: the sender brought more events than its rate allows."""
    detail = "this key has sent more events than its rate allows"
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "rate", detail, retry_after)


def key_reused() -> Problem:
    """409: an Idempotency-Key that came before with another body.

    The IETF draft suggests 422, which on this edge means that every event was judged and refused.
    """
    detail = "this Idempotency-Key was used with another body"
    return Problem(HTTPStatus.CONFLICT, "idempotency-key", detail)


def may_not_write() -> Problem:
    """403: a valid key that is for reading."""
    return Problem(HTTPStatus.FORBIDDEN, "role", "this key may not send events")


def not_durable(detail: str, retry_after: int = 1) -> Problem:
    """503: the events could not be made durable now; nothing was acknowledged."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-durable", detail, retry_after)


def internal() -> Problem:
    """500: an error of this program; nothing of the post is promised."""
    detail = "unexpected; nothing of this post is promised"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)
