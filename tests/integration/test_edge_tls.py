"""TLS of the embedded edge: it serves HTTPS, and whoever asks for its health follows."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from device_sim.ledger import Ledger
from device_sim.posts import Post
from device_sim.sender import Pace, Sender
from telemetry_cli.embedded.environment import machine_environment, settings_environment
from telemetry_cli.embedded.probes import http_refusal, own_server_context
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_cli.embedded.stack import EmbeddedStack
from telemetry_platform.settings import Settings
from tests.stack_process import DEADLINE_SECONDS, stack_home, telemetry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for a public name and this machine; returns it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge.example.org")])
    now = datetime.now(UTC)
    names = [x509.DNSName("edge.example.org"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "edge.crt", folder / "edge.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def send_simulated(settings: Settings, key: str) -> int:
    """Send a post as `telemetry demo` does; return the accepted events."""
    assert settings.tls_certificate
    tls = own_server_context(settings.tls_certificate)
    event = b'{"session": {"id": "tls", "timestamp": "2026-01-05T11:00:00"}}'
    post = Post("mobile", "/ingest", {"content-type": "application/json"}, event, 1)
    with Ledger(settings.home / "ledger.jsonl") as ledger:
        sender = Sender(settings.ingest_url, ledger, api_key=key, pace=Pace(0), tls=tls)
        asyncio.run(sender.send([post]))
        return ledger.totals()["mobile"].accepted


def test_the_embedded_edge_serves_https_with_its_certificate(tmp_path: Path) -> None:
    certificate, key_file = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = make_certificate(tmp_path / "other")
    with stack_home() as home:
        settings = Settings(home=home, tls_certificate=certificate, tls_key=key_file)
        with EmbeddedStack(settings, only={"s3", "edge"}) as stack:
            stack.start()
            url, port = stack.settings.ingest_url, stack.settings.edge_port
            assert url == f"https://127.0.0.1:{port}"
            trust = ssl.create_default_context(cafile=str(certificate))
            key = (stack.settings.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()
            with httpx.Client(base_url=url, verify=trust, trust_env=False, timeout=60) as client:
                event = {"session": {"id": "tls", "timestamp": "2026-01-05T10:00:00"}}
                answer = client.post("/ingest", json=event, headers={"x-api-key": key})
                assert answer.status_code == HTTPStatus.OK
            assert send_simulated(stack.settings, key) == 1
            stack.restart("edge")
            assert http_refusal(port, "/readyz", certificate) is None
            assert "CERTIFICATE_VERIFY_FAILED" in (http_refusal(port, "/readyz", other) or "")
            assert http_refusal(port, "/readyz") is not None
            seen = json.loads(telemetry(home, "status", "--json").stdout)["services"]
            (edge,) = [each for each in seen if each["name"] == "edge"]
            assert (edge["healthy"], edge["address"]) == (True, url)
            variables = json.loads(telemetry(home, "env", "--json").stdout)
            assert variables["TELEMETRY_INGEST_URL"] == url


def test_an_edge_with_a_key_of_another_certificate_refuses_to_serve(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    _, other_key = make_certificate(tmp_path / "other")
    settings = Settings(home=tmp_path, tls_certificate=certificate, tls_key=other_key)
    done = subprocess.run(
        [sys.executable, "-m", "ingest_lambda"],
        env=machine_environment() | settings_environment(settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "tls_certificate and tls_key cannot be used" in done.stdout
