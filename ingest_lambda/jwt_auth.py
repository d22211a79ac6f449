"""Access tokens of an OAuth 2.0 issuer (JWT, RFC 9068) as an alternative to API keys.

Only what the issuer signed with RS256 or ES256 counts; what the token's own header says about keys
and algorithms never does (RFC 8725). Off unless an issuer is configured.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import jwt

from ingest_lambda.senders import Sender
from ingest_lambda.signing_keys import SigningKeys, from_file, from_url

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

_LEEWAY_SECONDS = 30
_LONGEST_TOKEN = 8192
_MOST_REMEMBERED = 10_000


class Expectations(NamedTuple):
    """What a token must say.

    Attributes:
        issuer: Its `iss`.
        audience: One of its `aud`.
        scope_claim: The claim with its scopes: text with spaces between them, or a list.
        scope_prefix: What a scope begins with that names a source: `telemetry:mobile`.
    """

    issuer: str
    audience: str
    scope_claim: str
    scope_prefix: str

    def sources(self, claims: dict[str, Any]) -> tuple[str, ...]:
        """Return the sources that a token's scopes name; `*` stands for all."""
        claim = claims.get(self.scope_claim, "")
        scopes = claim.split() if isinstance(claim, str) else claim
        if not isinstance(scopes, list):
            return ()
        texts = (scope for scope in scopes if isinstance(scope, str))
        return tuple(
            text.removeprefix(self.scope_prefix)
            for text in texts
            if text.startswith(self.scope_prefix)
        )


class _Verified(NamedTuple):
    sender: Sender
    ends_at: float
    generation: int


class TokenVerifier:
    """Checks tokens. One that was found good is known by its hash until it expires."""

    def __init__(
        self, expected: Expectations, keys: SigningKeys, most_remembered: int = _MOST_REMEMBERED
    ) -> None:
        self._expected = expected
        self._keys = keys
        self._most = most_remembered
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def verify(self, text: str) -> Sender | None:
        """Return who sends the token, None when it is not good."""
        if len(text) > _LONGEST_TOKEN:
            return None
        self._keys.refresh_when_stale()
        digest = hashlib.sha256(text.encode()).digest()
        known = self._verified.get(digest)
        if known is not None:
            # When the issuer takes a key back, the tokens it signed are checked again.
            if known.generation == self._keys.generation and time.time() < known.ends_at:
                return known.sender
            del self._verified[digest]
        verified = await self._check(text)
        if verified is None:
            return None
        self._verified[digest] = verified
        if len(self._verified) > self._most:
            self._verified.popitem(last=False)
        return verified.sender

    async def _check(self, text: str) -> _Verified | None:
        try:
            key_id = jwt.get_unverified_header(text).get("kid")
            key = await self._keys.find(key_id) if isinstance(key_id, str) else None
            if key is None:
                return None
            claims = jwt.decode(
                text,
                key,
                algorithms=[key.algorithm_name],
                audience=self._expected.audience,
                issuer=self._expected.issuer,
                leeway=_LEEWAY_SECONDS,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.PyJWTError:
            return None
        sender = Sender(f"jwt:{claims['sub']}", self._expected.sources(claims))
        return _Verified(sender, claims["exp"] + _LEEWAY_SECONDS, self._keys.generation)


def open_verifier(settings: Settings) -> TokenVerifier | None:
    """Return the verifier that the settings ask for, None when they name no issuer."""
    if settings.jwt_issuer is None or settings.jwt_audience is None:
        return None
    if settings.jwt_jwks_file is not None:
        load = from_file(settings.jwt_jwks_file)
    elif settings.jwt_jwks_url is not None:
        load = from_url(settings.jwt_jwks_url)
    else:
        return None
    expected = Expectations(
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_scope_claim,
        settings.jwt_scope_prefix,
    )
    return TokenVerifier(expected, SigningKeys(load, settings.jwt_jwks_refresh_seconds))
