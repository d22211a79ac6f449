"""Runs the edge as a server process: `python -m ingest_lambda`."""

from __future__ import annotations

import gc
import logging
import signal
import ssl
import sys
from typing import TYPE_CHECKING

import uvicorn
from deltalake.exceptions import DeltaError

from ingest_lambda.app import EdgeApp
from ingest_lambda.connections import connection_class
from ingest_lambda.contracts import ContractWatch
from ingest_lambda.edge import open_edge
from ingest_lambda.inbox import Inbox
from ingest_lambda.messages import MessageIntake
from ingest_lambda.mqtt_bridge import MqttBridge
from ingest_lambda.probe import UnsafeStore
from ingest_lambda.reading_pool import ReadingPool
from ingest_lambda.version_watch import VersionWatch
from telemetry_platform.contracts import contract_folder
from telemetry_platform.delta_log import TableUnsuitable
from telemetry_platform.logs import configure_logs
from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    from types import FrameType

    from telemetry_platform.settings import Settings

_log = logging.getLogger("ingest_lambda")
_DRAIN_SECONDS = 10
_KEEP_ALIVE_SECONDS = 75


def main() -> int:
    """Serve until SIGINT or SIGTERM; then answer what is under way, commit, and stop.

    Returns:
        Exit status: 0 after a stop, 1 when the edge must not or cannot serve.
    """
    settings = get_settings()
    configure_logs(settings.log_level)
    try:
        _check_tls(settings)
        edge = open_edge(settings)
        bridge = MqttBridge(edge, MessageIntake(edge)) if settings.mqtt_url else None
    except (UnsafeStore, TableUnsuitable, DeltaError, OSError, ValueError) as error:
        _log.error("refusing to serve", extra={"reason": str(error)})
        return 1
    edge.reading.pool = ReadingPool(settings.reading_processes, edge.keyring)
    # Events are trees of short-lived dicts: at the default threshold the collector walks the whole
    # heap for every few posts and finds nothing.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    # A commit thread that waits 5 ms for the interpreter after each call of Polars doubles the time
    # to the acknowledgement.
    sys.setswitchinterval(0.0005)
    config = uvicorn.Config(
        EdgeApp(edge),
        host=settings.edge_host,
        port=settings.edge_port,
        http=connection_class(settings),
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        # The client's address decides who may come without a key: no header may change it.
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        backlog=2048,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    inbox = Inbox(edge) if settings.root.startswith("s3://") else None
    if inbox is not None:
        inbox.start()
    if bridge is not None:
        bridge.start()
    versions = VersionWatch(edge.appenders, edge.metrics)
    versions.start()
    contracts = ContractWatch(edge, contract_folder(settings), settings.contracts_poll_seconds)
    contracts.start()
    server = uvicorn.Server(config)
    # The server handles these itself and then raises them once more: without a handler of ours
    # that would end the process before the committers are closed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _already_stopping)
    server.run()
    if bridge is not None:
        bridge.stop()
    if inbox is not None:
        inbox.stop()
    versions.stop()
    contracts.stop()
    edge.close()
    _log.info("stopped")
    return 0 if server.started else 1


def _check_tls(settings: Settings) -> None:
    """Try the certificate and its key, where the edge has them.

    Raises:
        ValueError: They cannot be used.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return
    try:
        # Nobody is there to type the password of an encrypted key.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: "")
    except OSError as error:
        raise ValueError(f"tls_certificate and tls_key cannot be used: {error}") from error


def _already_stopping(number: int, frame: FrameType | None) -> None:
    """Let the stop that is under way come to its end."""


if __name__ == "__main__":
    sys.exit(main())
