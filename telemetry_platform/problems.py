"""Problem details (RFC 9457): how every server of ours says what is wrong with a request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

CONTENT_TYPE = "application/problem+json"

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Problem details, RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
"""The JSON schema of `Problem.document`, for OpenAPI."""


class Problem(Exception):
    """A request that gets no answer of its own.

    Attributes:
        status: HTTP status.
        kind: Last part of the problem's `type` URI.
        detail: What is wrong and what would help. Never quotes the request.
        retry_after: Seconds after which the same request may succeed, when it may.
    """

    def __init__(
        self, status: HTTPStatus, kind: str, detail: str, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[Problem], tuple[HTTPStatus, str, str, int | None]]:
        """Let another process raise it."""
        return Problem, (self.status, self.kind, self.detail, self.retry_after)

    def document(self) -> dict[str, Any]:
        """Return the problem details object (RFC 9457, section 3)."""
        return {
            "type": f"urn:telemetry:problem:{self.kind}",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
        }

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the answer."""
        headers = {"content-type": CONTENT_TYPE}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = 'Bearer realm="telemetry"'
        return headers


def too_many_failures(retry_after: int) -> Problem:
    """429: the key is not valid, and neither were many others from this address."""
    detail = "too many requests without a valid key came from this address"
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "failures", detail, retry_after)
