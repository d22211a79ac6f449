"""What can be wrong with a request to read, as RFC 9457 problem details."""

from __future__ import annotations

from http import HTTPStatus

from telemetry_platform.problems import Problem


def no_key() -> Problem:
    """401: no key, or one that is not valid."""
    detail = "send a valid API key as x-api-key or as Authorization: Bearer"
    return Problem(HTTPStatus.UNAUTHORIZED, "key", detail)


def may_not_read() -> Problem:
    """403: a valid key that is for sending."""
    return Problem(HTTPStatus.FORBIDDEN, "role", "this key may not read; it needs the role read")


def not_in_scope(sources: tuple[str, ...]) -> Problem:
    """403: a valid key that is for other sources."""
    detail = f"this key may not read {', '.join(sources)} data"
    return Problem(HTTPStatus.FORBIDDEN, "scope", detail)


def foreign_form() -> Problem:
    """403: a form of another site was sent here."""
    return Problem(HTTPStatus.FORBIDDEN, "origin", "this form came from another site")


def no_table() -> Problem:
    """404: the catalog has no such dataset."""
    return Problem(HTTPStatus.NOT_FOUND, "dataset", "there is no such dataset in the catalog")


def no_docs() -> Problem:
    """404: nobody generated dbt's documentation."""
    detail = "dbt's documentation was not generated; make docs does that"
    return Problem(HTTPStatus.NOT_FOUND, "dbt-docs", detail)


def bad_parameter(detail: str) -> Problem:
    """400: a parameter is unknown or cannot be understood."""
    return Problem(HTTPStatus.BAD_REQUEST, "parameter", detail)


def edge_away() -> Problem:
    """503: the edge, which takes corrections, did not answer."""
    detail = "the edge, which takes corrections, does not answer now"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "edge-away", detail, 5)


def too_large(limit: int) -> Problem:
    """413: a correction of more bytes than the edge takes."""
    detail = f"a correction may have {limit} bytes"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", detail)


def unknown_user() -> Problem:
    """404: nobody of that id is registered."""
    return Problem(HTTPStatus.NOT_FOUND, "user", "no such user is registered")


def nothing_traced(detail: str) -> Problem:
    """404: nothing is stored under an id, or nothing that the key may see."""
    return Problem(HTTPStatus.NOT_FOUND, "trace", detail)


def lake_away() -> Problem:
    """503: the lake does not answer."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "lake", "the lake is away", 5)


def busy() -> Problem:
    """503: too many large answers are under way."""
    detail = "too many large answers are under way; try again, or read pages of JSON"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail, 5)


def database_away() -> Problem:
    """503: the database does not answer."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "database", "the database is away", 5)


def not_built() -> Problem:
    """503: the marts are not there yet."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-built", "the marts are not built yet", 10)


def too_slow() -> Problem:
    """503: the database gave the query up."""
    detail = "the query took too long; narrow its time range or name a device"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too-slow", detail, 10)


def not_audited() -> Problem:
    """503: what this key reads must be recorded, and cannot be."""
    detail = "the read cannot be recorded in the audit log, so it is refused"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "audit", detail, 10)


def internal() -> Problem:
    """500: an error of this program."""
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "unexpected")
