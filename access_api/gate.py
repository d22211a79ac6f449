"""Who may read: turns the credentials of a request into a key, or into a problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from access_api.problems import may_not_read, no_key, not_in_scope
from telemetry_platform.access_keys.api_key import ALL_SOURCES, READ
from telemetry_platform.access_keys.failures import FailureThrottle
from telemetry_platform.access_keys.key_store import KeyStore
from telemetry_platform.problems import too_many_failures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from telemetry_platform.access_keys.api_key import ApiKey
    from telemetry_platform.settings import Settings


class Gate:
    """Admits readers; used from the event loop of one process."""

    def __init__(self, settings: Settings) -> None:
        self.keys = KeyStore(settings.secrets_dir / "api_keys.json")
        self._failures = FailureThrottle(
            settings.auth_failure_limit, settings.auth_failure_window_seconds
        )

    def admit(self, request: Request) -> ApiKey:
        """Return the key that a request came with.

        Raises:
            Problem: As `admit_text`.
        """
        return self.admit_text(request, _credentials(request))

    def admit_text(self, request: Request, text: str) -> ApiKey:
        """Return the key whose text came with a request.

        Raises:
            Problem: 401 without a good key, 429 when that came too often from the address; 403 when
                the key is not for reading.
        """
        key = self.keys.verify(text)
        if key is None:
            self.refused(request)
            raise no_key()
        if not key.may(READ):
            raise may_not_read()
        return key

    def refused(self, request: Request) -> None:
        """Count a request without a good key.

        Raises:
            Problem: 429 when too many came from the address.
        """
        wait = self._failures.failed(request.client.host if request.client else None)
        if wait is not None:
            raise too_many_failures(wait)


def visible_sources(key: ApiKey, needed: Iterable[str]) -> tuple[str, ...] | None:
    """Return the sources that a key may see, None for all.

    Args:
        key: Who reads.
        needed: Sources that the request names, or that the dataset is made of.

    Raises:
        Problem: 403, one of those is not in the key's scope.
    """
    denied = tuple(source for source in needed if not key.covers(source))
    if denied:
        raise not_in_scope(denied)
    return None if ALL_SOURCES in key.sources else key.sources


def _credentials(request: Request) -> str:
    key = request.headers.get("x-api-key")
    if key is not None:
        return key
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
