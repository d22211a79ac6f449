"""Who may post: turns the credentials of a request into a sender, or into a problem.

A good key or token always passes, whatever else came from its address: many devices share one
behind a router or a proxy. Only requests without good credentials are throttled.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ingest_lambda.jwt_auth import open_verifier
from ingest_lambda.problems import may_not_write, no_key, not_in_scope
from ingest_lambda.rate_limits import EventBudget
from ingest_lambda.senders import Sender, sender_of
from telemetry_platform.access_keys.api_key import ALL_SOURCES, WRITE
from telemetry_platform.access_keys.audit import REFUSED, record
from telemetry_platform.access_keys.failures import FailureThrottle
from telemetry_platform.access_keys.rate_limit import RateLimit
from telemetry_platform.clock import utc_now
from telemetry_platform.problems import Problem, too_many_failures

if TYPE_CHECKING:
    from ingest_lambda.calls import Call
    from ingest_lambda.metrics import Metrics
    from telemetry_platform.access_keys.api_key import ApiKey
    from telemetry_platform.access_keys.key_store import KeyStore
    from telemetry_platform.settings import Settings

_log = logging.getLogger(__name__)
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_LOOPBACK_SENDER = Sender("loopback", (ALL_SOURCES,))
_FORWARDED = (b"forwarded", b"x-forwarded-for")


class Gate:
    """Admits senders. One for all doors of a process, used from its event loop."""

    def __init__(self, settings: Settings, keys: KeyStore, metrics: Metrics) -> None:
        self._keys = keys
        self._metrics = metrics
        self._tokens = open_verifier(settings)
        self._failures = FailureThrottle(
            settings.auth_failure_limit, settings.auth_failure_window_seconds
        )
        self._budget = EventBudget(_default_limit(settings))
        self._audited: set[str] = set()

    async def admit(self, call: Call, source: str, *, open_on_loopback: bool = False) -> Sender:
        """Return who sends a request, before its body is read.

        Args:
            call: The request.
            source: What it sends.
            open_on_loopback: Whether a client on this machine may come without a key.

        Raises:
            Problem: 401 without good credentials, 429 when those came too often from the address;
                403 when the key is not for sending, or `source` is out of scope; 429 when the
                sender's rate is used up.
        """
        sender = await self._sender(call, open_on_loopback)
        if not sender.may_send(source):
            self._metrics.auth_failed()
            raise not_in_scope(source)
        self._budget.admit(sender.id, sender.rate_limit)
        return sender

    def charge(self, sender: Sender, events: int) -> None:
        """Count the events of an admitted post against its sender's rate."""
        self._budget.charge(sender.id, events)

    async def _sender(self, call: Call, open_on_loopback: bool) -> Sender:
        text, is_bearer = _credentials(call)
        if text is None:
            if open_on_loopback and _from_this_machine(call):
                return _LOOPBACK_SENDER
            raise self._refusal(call)
        key = self._keys.verify(text)
        if key is not None:
            if not key.may(WRITE):
                self._metrics.auth_failed()
                raise may_not_write()
            return sender_of(key)
        if is_bearer and self._tokens is not None:
            token_sender = await self._tokens.verify(text)
            if token_sender is not None:
                return token_sender
        self._audit(self._keys.ended(text), call.client)
        raise self._refusal(call)

    def _refusal(self, call: Call) -> Problem:
        self._metrics.auth_failed()
        wait = self._failures.failed(call.client)
        return no_key() if wait is None else too_many_failures(wait)

    def _audit(self, key: ApiKey | None, client: str | None) -> None:
        """Record the first use of an ended key that this process refuses."""
        if key is None or key.id in self._audited:
            return
        self._audited.add(key.id)
        ended = key.revoked_at is not None and key.revoked_at <= utc_now()
        reason = "revoked" if ended else "expired"
        _log.warning("an ended key was used", extra={"key_id": key.id, "reason": reason})
        try:
            record(self._keys.path, REFUSED, key, reason=reason, client=client)
        except OSError as error:
            # Where keys are mounted read-only, the line above is the record.
            _log.info("no audit file", extra={"reason": error.strerror})


def _default_limit(settings: Settings) -> RateLimit | None:
    rate = settings.rate_limit_events_per_second
    return None if rate is None else RateLimit.of(rate, settings.rate_limit_burst_events)


def _credentials(call: Call) -> tuple[str | None, bool]:
    """Return the key or token of a request, and whether it came as a bearer token."""
    key = call.header(b"x-api-key")
    if key is not None:
        return key, False
    scheme, _, token = (call.header(b"authorization") or "").partition(" ")
    return (token.strip(), True) if scheme.lower() == "bearer" else (None, False)


def _from_this_machine(call: Call) -> bool:
    """Whether the client is on this machine and no proxy speaks for another one."""
    if any(call.header(name) is not None for name in _FORWARDED):
        return False
    return call.client in _LOOPBACK
