"""Access tokens: what the configured issuer signed passes, everything else is refused."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from ingest_lambda.auth import Gate
from ingest_lambda.jwt_auth import Expectations, TokenVerifier
from ingest_lambda.metrics import Metrics
from ingest_lambda.senders import Sender
from ingest_lambda.signing_keys import SigningKeys, from_file
from telemetry_platform.access_keys.key_store import KeyStore
from telemetry_platform.settings import Settings
from tests.unit.ingest_lambda.test_auth import admit, call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.unit

ISSUER = "https://issuer.example.org/"
AUDIENCE = "telemetry-edge"
EXPECTED = Expectations(ISSUER, AUDIENCE, "scope", "telemetry:")
RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
RSA_PEM = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def public(private: Any, key_id: str, **members: str) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(private, rsa.RSAPrivateKey) else ECAlgorithm
    return algorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": key_id} | members


JWKS = {"keys": [public(RSA, "r1", use="sig"), public(EC, "e1", alg="ES256")]}


class Issuer:
    """An issuer's key document, which the test changes; counts how often it is asked."""

    def __init__(self, document: Any = JWKS) -> None:
        self.document = document
        self.asked = 0

    def __call__(self) -> dict[str, Any]:
        self.asked += 1
        if isinstance(self.document, Exception):
            raise self.document
        return self.document


def verifier(issuer: Issuer, refresh: float = 300, between: float = 10, **kept: int) -> Any:
    return TokenVerifier(EXPECTED, SigningKeys(issuer, refresh, between), **kept)


def claims(**changed: Any) -> dict[str, Any]:
    """Return good claims; a change to None takes one away."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "fleet-7", "iat": now, "exp": now + 600}
    good |= {"scope": "telemetry:mobile openid telemetry:wearable"}
    return {name: value for name, value in (good | changed).items() if value is not None}


def signed(private: Any = RSA, key_id: str = "r1", algorithm: str = "RS256", **changed: Any) -> str:
    return jwt.encode(claims(**changed), private, algorithm, {"kid": key_id})


def unsigned(header: dict[str, Any], secret: bytes = b"") -> str:
    """Return a token made by hand, signed with HMAC when there is a secret."""
    parts = [json.dumps(part).encode() for part in (header, claims())]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.new(secret, text, hashlib.sha256).digest() if secret else b""
    return (text + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def run(work: Awaitable[Any]) -> Any:
    async def whole() -> Any:
        return await work

    return asyncio.run(whole())


@pytest.mark.parametrize(
    "token",
    [
        signed,
        lambda: signed(EC, "e1", "ES256"),
        lambda: signed(aud=["other", AUDIENCE]),
        lambda: signed(exp=int(time.time()) - 10),  # the clocks of two machines differ
    ],
)
def test_a_token_of_the_issuer_passes_for_the_sources_of_its_scopes(
    token: Callable[[], str],
) -> None:
    sender = run(verifier(Issuer()).verify(token()))
    assert sender == Sender("jwt:fleet-7", ("mobile", "wearable"))


@pytest.mark.parametrize(
    ("scope", "sources"),
    [
        ("telemetry:*", ("*",)),
        (["telemetry:mobile", 5], ("mobile",)),
        ("mobile", ()),
        ("", ()),
        (None, ()),
        ({"telemetry:mobile": 1}, ()),
    ],
)
def test_a_scope_names_a_source_after_our_prefix(scope: Any, sources: tuple[str, ...]) -> None:
    assert run(verifier(Issuer()).verify(signed(scope=scope))).sources == sources


@pytest.mark.parametrize(
    "token",
    {
        "other issuer": lambda: signed(iss="https://elsewhere.example.org/"),
        "issuer missing": lambda: signed(iss=None),
        "other audience": lambda: signed(aud="another-service"),
        "audience missing": lambda: signed(aud=None),
        "expired": lambda: signed(exp=int(time.time()) - 3600),
        "no expiry": lambda: signed(exp=None),
        "not yet": lambda: signed(nbf=int(time.time()) + 3600),
        "no subject": lambda: signed(sub=None),
        "signed by another": lambda: signed(OTHER_RSA),
        "unknown key id": lambda: signed(key_id="r9"),
        "no key id": lambda: jwt.encode(claims(), RSA, "RS256"),
        "other algorithm of the same key": lambda: signed(algorithm="RS512"),
        "PSS of the same key": lambda: signed(algorithm="PS256"),
        "key of the other kind": lambda: signed(EC, "r1", "ES256"),
        "none": lambda: unsigned({"alg": "none", "kid": "r1"}),
        "None": lambda: unsigned({"alg": "None", "kid": "r1"}),
        "HMAC with the public key": lambda: unsigned({"alg": "HS256", "kid": "r1"}, RSA_PEM),
        "RS256 in the header, HMAC inside": lambda: unsigned(
            {"alg": "RS256", "kid": "r1"}, RSA_PEM
        ),
        "its own key in the header": lambda: jwt.encode(
            claims(), OTHER_RSA, "RS256", {"kid": "r1", "jwk": public(OTHER_RSA, "r1")}
        ),
        "critical extension": lambda: jwt.encode(
            claims(), RSA, "RS256", {"kid": "r1", "crit": ["x"], "x": 1}
        ),
        "no JSON": lambda: "a.b.c",
        "two parts": lambda: signed().rpartition(".")[0],
        "not base64": lambda: "é.é.é",
        "deep header": lambda: (
            base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=") + ".e30.e30"
        ),
        "key id that is no text": lambda: unsigned({"alg": "RS256", "kid": ["r1"]}),
        "too long": lambda: signed(filler="x" * 9000),
        "empty": lambda: "",
    }.items(),
    ids=lambda item: item[0],
)
def test_a_token_is_refused(token: tuple[str, Callable[[], str]]) -> None:
    _, make = token
    assert run(verifier(Issuer()).verify(make())) is None


def test_keys_of_the_document_for_other_uses_are_not_used() -> None:
    secret = b"s" * 64
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what must be refused
    symmetric = {"kty": "oct", "kid": "h1", "k": base64.urlsafe_b64encode(secret).decode()}
    others = [public(RSA, "x1", use="enc"), public(RSA, "p1", alg="RS512")]
    keys = [symmetric, public(weak, "w1"), *others, *JWKS["keys"]]
    checker = verifier(Issuer({"keys": keys}))

    async def all_of() -> list[bool]:
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            weakly = signed(weak, "w1")
        hashed = jwt.encode(claims(), secret, "HS256", {"kid": "h1"})
        tokens = [hashed, weakly, signed(key_id="x1"), signed(RSA, "p1", "RS512"), signed()]
        return [await checker.verify(text) is not None for text in tokens]

    assert asyncio.run(all_of()) == [False, False, False, False, True]


def test_a_known_token_asks_nobody() -> None:
    issuer = Issuer()
    checker, token = verifier(issuer, most_remembered=2), signed()

    async def many() -> None:
        for n in range(20):
            assert await checker.verify(token) is not None
            assert await checker.verify(signed(sub=f"fleet-{n}")) is not None

    asyncio.run(many())
    assert issuer.asked == 1


def test_invented_key_ids_do_not_make_the_edge_ask_the_issuer() -> None:
    issuer = Issuer()
    checker = verifier(issuer)

    async def flood() -> None:
        tokens = (signed(key_id=f"k{n}") for n in range(50))
        assert set(await asyncio.gather(*map(checker.verify, tokens))) == {None}

    asyncio.run(flood())
    assert issuer.asked == 1


def test_a_new_key_is_found_and_a_withdrawn_one_stops_its_tokens() -> None:
    issuer = Issuer({"keys": [public(RSA, "r1")]})
    checker, old = verifier(issuer, refresh=0, between=0), signed()
    new = signed(OTHER_RSA, "r2")

    async def rotate() -> list[bool]:
        seen = [await checker.verify(old) is not None]
        issuer.document = {"keys": [public(OTHER_RSA, "r2")]}
        seen.append(await checker.verify(new) is not None)
        seen.append(await checker.verify(old) is not None)
        return seen

    assert asyncio.run(rotate()) == [True, True, False]


@pytest.mark.parametrize(
    "broken", [OSError("away"), ValueError("no JSON"), {"keys": []}, {"error": "no"}, {"keys": 5}]
)
def test_keys_stay_in_force_while_the_issuer_is_away(broken: Any) -> None:
    issuer = Issuer()
    checker = verifier(issuer, refresh=0, between=0)

    async def outage() -> list[bool]:
        seen = [await checker.verify(signed()) is not None]
        issuer.document = broken
        seen.append(await checker.verify(signed(key_id="r9")) is not None)
        seen.append(await checker.verify(signed(sub="another")) is not None)
        return seen

    assert asyncio.run(outage()) == [True, False, True]
    assert issuer.asked > 1


def test_the_gate_takes_tokens_only_where_an_issuer_is_configured(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(JWKS))
    keys = KeyStore(tmp_path / "api_keys.json")
    bearer = call(f"Bearer {signed()}", header="authorization")
    assert admit(Gate(Settings(), keys, Metrics()), bearer) == "401"
    settings = Settings(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_jwks_file=file)
    gate = Gate(settings, keys, Metrics())
    assert admit(gate, bearer) == "jwt:fleet-7"
    assert admit(gate, bearer, "environment") == "403"
    assert admit(gate, call(signed())) == "401"  # x-api-key is for keys


def test_a_key_document_in_a_file_must_be_an_object(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text("[]")
    with pytest.raises(ValueError, match="JSON object"):
        from_file(tmp_path / "jwks.json")()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"jwt_jwks_file": "/k", "jwt_audience": None}, "jwt_issuer needs jwt_audience"),
        ({"jwt_jwks_file": "/k", "jwt_issuer": None}, "jwt_issuer needs jwt_audience"),
        ({}, "jwt_issuer needs jwt_audience and jwt_jwks_url or jwt_jwks_file"),
        ({"jwt_jwks_url": "http://issuer.example.org/keys"}, "begin with https"),
        ({"jwt_jwks_url": "file:///etc/passwd"}, "begin with https"),
        ({"jwt_jwks_url": "https://issuer.example.org/k", "jwt_jwks_file": "/k"}, "exclude"),
    ],
)
def test_half_a_configuration_is_an_error(given: dict[str, str | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.model_validate({"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE} | given)
