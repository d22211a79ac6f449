"""Keys, rates and tokens of real edge processes, managed with the `telemetry` command."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from telemetry_cli.embedded.environment import process_environment
from telemetry_cli.embedded.probes import http_refusal
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.access_keys.audit import audit_file
from telemetry_platform.settings import Settings
from tests.stack_process import (
    DEADLINE_SECONDS,
    reserved_port,
    stack_home,
    telemetry,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

ISSUER = "https://issuer.example.org/"
AUDIENCE = "telemetry-edge"
REVOKED_WITHIN_SECONDS = 5.0
SIGNER = rsa.generate_private_key(65537, 2048)
SUCCESSOR = rsa.generate_private_key(65537, 2048)


class KeyServer:
    """An issuer's JWKS endpoint on loopback."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"keys": [public(SIGNER, "first")]}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(issuer.document).encode()
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_: object) -> None:  # noqa: A002
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"


def public(private: rsa.RSAPrivateKey, key_id: str) -> dict[str, Any]:
    return RSAAlgorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": key_id}


def token(private: rsa.RSAPrivateKey = SIGNER, key_id: str = "first", **changed: Any) -> str:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "fleet-7",
        "exp": int(time.time()) + 600,
        "scope": "telemetry:mobile",
    }
    return jwt.encode(claims | changed, private, "RS256", {"kid": key_id})


@pytest.fixture(scope="module")
def issuer() -> Iterator[KeyServer]:
    found = KeyServer()
    thread = threading.Thread(target=found.server.serve_forever)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def stack() -> Iterator[EmbeddedStack]:
    limits = {"auth_failure_limit": 5, "auth_failure_window_seconds": 30}
    with (
        stack_home() as home,
        EmbeddedStack(Settings.model_validate({"home": home} | limits), only={"s3", "edge"}) as up,
    ):
        up.start()
        yield up


@pytest.fixture(scope="module")
def second(stack: EmbeddedStack, issuer: KeyServer) -> Iterator[Settings]:
    """Start another edge process on the same keys and tables, which also trusts an issuer."""
    home = stack.settings.home
    port = reserved_port()
    settings = stack.settings.model_copy(
        update={
            "edge_port": port,
            "ingest_url": f"http://127.0.0.1:{port}",
            "home": home / "second",
            "inbox_dir": home / "second-inbox",
            "quarantine_dir": home / "second-quarantine",
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "jwt_jwks_url": issuer.url,
            "jwt_jwks_refresh_seconds": 1.0,
        }
    )
    for folder in ("second", "second-inbox", "second-quarantine"):
        (home / folder).mkdir()
    with edge_process(settings, home / "logs" / "second.log"):
        wait_until(lambda: http_refusal(port, "/readyz") is None, "the second edge is ready")
        yield settings


@contextmanager
def edge_process(settings: Settings, log: Path) -> Generator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ingest_lambda"],
            env=process_environment(settings),
            cwd=settings.home,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(timeout=DEADLINE_SECONDS) == 0, log.read_text()


def keys(settings: Settings, *arguments: str) -> Any:
    """Run `telemetry keys … --json` as an operator would; return its document."""
    done = telemetry(settings.home, "keys", *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def post(settings: Settings, key: str, events: int = 1, **headers: str) -> httpx.Response:
    now = datetime.now(UTC)
    times = [(now + timedelta(microseconds=n)).isoformat() for n in range(events)]
    batch = [{"session": {"id": "keys", "timestamp": moment}} for moment in times]
    return httpx.post(
        f"{settings.ingest_url}/v1/events?source=mobile",
        json=batch,
        headers=headers or {"x-api-key": key},
        timeout=DEADLINE_SECONDS,
        trust_env=False,
    )


def bearer(settings: Settings, text: str) -> httpx.Response:
    return post(settings, "", authorization=f"Bearer {text}")


def refused(settings: Settings, key: str) -> bool:
    status = post(settings, key).status_code
    not_admitted = {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}
    assert status in {HTTPStatus.ACCEPTED, *not_admitted}
    return status in not_admitted


def test_a_revoked_key_is_refused_by_every_process_within_five_seconds(
    stack: EmbeddedStack, second: Settings
) -> None:
    first = stack.settings
    made = keys(first, "create", "phones", "--source", "mobile")
    for edge in (first, second):
        wait_until(lambda edge=edge: not refused(edge, made["key"]), "a new key is good")
    keys(first, "revoke", made["id"])
    revoked = time.monotonic()
    taken_after: list[float] = []

    def is_refused(edge: Settings) -> bool:
        after = time.monotonic() - revoked
        if refused(edge, made["key"]):
            return True
        taken_after.append(after)
        return False

    for edge in (first, second):
        wait_until(lambda edge=edge: is_refused(edge), "a revoked key is refused")
    # What counts is when a post is sent: its answer may take long on a busy machine.
    assert max(taken_after, default=0.0) < REVOKED_WITHIN_SECONDS
    trail = audit_file(first.secrets_dir / "api_keys.json")
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    events = [line["event"] for line in lines if line["key_id"] == made["id"]]
    assert events == ["created", "revoked", "refused", "refused"]
    log = (first.home / "logs" / "edge.log").read_text()
    assert made["key"].split("_", 2)[2] not in trail.read_text() + log


def test_a_key_ends_at_its_time_and_the_list_says_so(stack: EmbeddedStack) -> None:
    made, end = short_lived_key(stack.settings)
    wait_until(lambda: refused(stack.settings, made["key"]), "the key ends")
    assert datetime.now(UTC) >= end
    (entry,) = [k for k in keys(stack.settings, "list")["keys"] if k["id"] == made["id"]]
    assert datetime.fromisoformat(entry["expires_at"]) == end


def short_lived_key(settings: Settings) -> tuple[dict[str, Any], datetime]:
    """Create a key that is seen to be good before it ends; a slow machine gets a longer one."""
    for seconds in (6, 20, 60, 120):
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        told = ("--expires", end.isoformat(), "--json")
        done = telemetry(settings.home, "keys", "create", f"short-{seconds}", *told)
        while done.returncode == 0 and datetime.now(UTC) < end:
            made = json.loads(done.stdout)
            if not refused(settings, made["key"]):
                return made, end
    pytest.fail("no key was good before it ended")


def test_both_keys_are_good_while_a_rotation_overlaps(stack: EmbeddedStack) -> None:
    old = keys(stack.settings, "create", "watches")
    new = keys(stack.settings, "rotate", old["id"], "--overlap-hours", "1")
    for key in (old["key"], new["key"]):
        wait_until(lambda key=key: not refused(stack.settings, key), "both keys are good")
    gone = keys(stack.settings, "rotate", new["id"], "--overlap-hours", "0")
    wait_until(lambda: refused(stack.settings, new["key"]), "the overlap is over")
    assert not refused(stack.settings, gone["key"])
    assert not refused(stack.settings, old["key"])


def test_a_key_that_sends_too_much_is_told_when_to_come_back(stack: EmbeddedStack) -> None:
    made = keys(stack.settings, "create", "busy", "--rate", "5", "--burst", "30")
    wait_until(lambda: not refused(stack.settings, made["key"]), "a new key is good")
    assert post(stack.settings, made["key"], 60).status_code == HTTPStatus.ACCEPTED
    answer = post(stack.settings, made["key"], 60)
    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert answer.json()["type"] == "urn:telemetry:problem:rate"
    wait = int(answer.headers["retry-after"])
    assert 1 <= wait <= 8
    due = time.monotonic() + wait
    wait_until(lambda: time.monotonic() >= due, "the told time is over")
    assert not refused(stack.settings, made["key"])
    development = (stack.settings.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()
    assert post(stack.settings, development, 500).status_code == HTTPStatus.ACCEPTED


def test_wrong_keys_are_throttled_and_good_ones_pass(stack: EmbeddedStack) -> None:
    made = keys(stack.settings, "create", "neighbours")
    wait_until(lambda: not refused(stack.settings, made["key"]), "a new key is good")
    answers = [post(stack.settings, "tlk_nobody_knows") for _ in range(8)]
    last = answers[-1]
    assert last.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert last.json()["type"] == "urn:telemetry:problem:failures"
    assert 1 <= int(last.headers["retry-after"]) <= 30
    assert post(stack.settings, made["key"]).status_code == HTTPStatus.ACCEPTED


def test_access_tokens_of_the_issuer_are_good_and_its_new_keys_are_found(
    stack: EmbeddedStack, second: Settings, issuer: KeyServer
) -> None:
    assert bearer(second, token()).status_code == HTTPStatus.ACCEPTED
    assert bearer(second, token(scope="telemetry:wearable")).status_code == HTTPStatus.FORBIDDEN
    for text in (token(aud="another"), token(SUCCESSOR), token(exp=1)):
        assert bearer(second, text).status_code in {401, 429}
    assert bearer(stack.settings, token()).status_code != HTTPStatus.ACCEPTED  # off there
    known = token()
    assert bearer(second, known).status_code == HTTPStatus.ACCEPTED
    issuer.document = {"keys": [public(SUCCESSOR, "second")]}
    renewed = token(SUCCESSOR, "second")
    wait_until(
        lambda: bearer(second, renewed).status_code == HTTPStatus.ACCEPTED, "new keys are found"
    )
    assert bearer(second, known).status_code != HTTPStatus.ACCEPTED
