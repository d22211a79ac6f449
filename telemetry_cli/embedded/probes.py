"""Questions that tell whether a server on loopback is ready. Each answers None for yes."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

from telemetry_cli.embedded.ports import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_SECONDS = 5.0
_CONNECT_SECONDS = 0.5
_OK = 200


def tcp_refusal(port: int) -> str | None:
    """Return why nothing listens on `port`, or None when something does."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        return f"port {port}: {error.strerror or error}"
    return None


def http_refusal(port: int, path: str, certificate: Path | None = None) -> str | None:
    """Return why GET `path` is not answered with 200, or None when it is.

    Args:
        port: Where the server listens.
        path: What is asked for.
        certificate: PEM file with the certificate that the server must show; plain HTTP without.
    """
    try:
        connection = _connection(port, certificate)
    except OSError as error:
        return f"{certificate} cannot be used: {error}"
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"GET {path} on port {port}: {error}"
    finally:
        connection.close()
    return None if status == _OK else f"GET {path} on port {port} answered {status}"


def own_server_context(certificate: Path) -> ssl.SSLContext:
    """Return what trusts the one server on loopback that shows `certificate`, and no other.

    Raises:
        OSError: The file cannot be read or holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The certificate is made out to the public name of the edge, and the file itself is trusted.
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context


def _connection(port: int, certificate: Path | None) -> http.client.HTTPConnection:
    if certificate is None:
        return http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_SECONDS)
    context = own_server_context(certificate)
    return http.client.HTTPSConnection(LOOPBACK, port, timeout=_TIMEOUT_SECONDS, context=context)


def graphql(port: int, query: str) -> dict[str, Any]:
    """Ask the Dagster webserver a GraphQL question.

    Returns:
        The `data` object of the answer; empty when there is none.

    Raises:
        OSError: The server cannot be reached.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_SECONDS)
    try:
        body = json.dumps({"query": query})
        connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"no GraphQL answer: {error}") from error
    finally:
        connection.close()
    return answer.get("data") or {}
