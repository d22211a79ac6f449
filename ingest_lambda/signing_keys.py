"""The public keys of a token issuer, by key id, from a JWKS document (RFC 7517) at a URL or file.

Fetched when a token first needs them and again as they age, never on the path of a token whose key
is known. While the issuer does not answer, the keys read before stay in force.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any

from jwt import PyJWK, PyJWKClient, PyJWKSet
from jwt.exceptions import PyJWTError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log = logging.getLogger(__name__)
ALGORITHMS = frozenset({"RS256", "ES256"})
_FETCH_SECONDS = 5.0
# A token with an invented key id must not make the edge ask the issuer each time.
_LEAST_SECONDS_BETWEEN_FETCHES = 10.0


class SigningKeys:
    """Keys of one issuer that sign with RS256 or ES256; keys of other algorithms are left out.

    Attributes:
        generation: Changes whenever the set of keys does.
    """

    def __init__(
        self,
        load: Callable[[], dict[str, Any]],
        refresh_seconds: float,
        least_seconds_between: float = _LEAST_SECONDS_BETWEEN_FETCHES,
    ) -> None:
        """Prepare; nothing is fetched yet.

        Args:
            load: Returns the JWKS document; called in a thread.
            refresh_seconds: Age at which the keys are fetched again.
            least_seconds_between: How soon after one fetch another may begin.
        """
        self.generation = 0
        self._load = load
        self._refresh_seconds = refresh_seconds
        self._least_seconds = least_seconds_between
        self._keys: dict[str, PyJWK] = {}
        self._documents: list[Any] = []
        self._stale_at = 0.0
        self._next_fetch = 0.0
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> PyJWK | None:
        """Return the key of that id, asking the issuer when it is unknown."""
        if key_id not in self._keys:
            fetch = self._fetching()
            if fetch is not None:
                await asyncio.shield(fetch)
        return self._keys.get(key_id)

    def refresh_when_stale(self) -> None:
        """Fetch the keys again in the background when they are old."""
        if time.monotonic() >= self._stale_at:
            self._fetching()

    def _fetching(self) -> asyncio.Task[None] | None:
        """Return the fetch under way, or a new one; None when it is too soon for another."""
        if self._fetch is not None and not self._fetch.done():
            return self._fetch
        now = time.monotonic()
        if now < self._next_fetch:
            return None
        self._next_fetch = now + self._least_seconds
        self._fetch = asyncio.get_running_loop().create_task(self._refresh())
        return self._fetch

    async def _refresh(self) -> None:
        try:
            document = await asyncio.to_thread(self._load)
            keys = {
                key.key_id: key
                for key in PyJWKSet.from_dict(document)
                if key.key_id
                and key.algorithm_name in ALGORITHMS
                and key.public_key_use in {"sig", None}
            }
        except (PyJWTError, OSError, ValueError) as error:
            _log.warning("the issuer's keys cannot be read", extra={"error": type(error).__name__})
            return
        self._stale_at = time.monotonic() + self._refresh_seconds
        documents = document["keys"]
        if documents != self._documents:
            self._keys, self._documents = keys, documents
            self.generation += 1


def from_url(url: str) -> Callable[[], dict[str, Any]]:
    """Return what fetches a JWKS document; redirects are not followed."""
    client = PyJWKClient(url, cache_jwk_set=False, timeout=_FETCH_SECONDS)
    return client.fetch_data


def from_file(path: Path) -> Callable[[], dict[str, Any]]:
    """Return what reads a JWKS document from a file."""

    def load() -> dict[str, Any]:
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict):
            raise ValueError("a JWKS document is a JSON object")
        return document

    return load
