"""Runs the access API as a server process: `python -m access_api`."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from typing import TYPE_CHECKING

import uvicorn

from access_api.app import access_app
from telemetry_contracts.contract import ContractError
from telemetry_platform.logs import configure_logs
from telemetry_platform.postgres import NotConfigured
from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    from types import FrameType

_log = logging.getLogger("access_api")
_DRAIN_SECONDS = 5


def main() -> int:
    """Serve until SIGINT or SIGTERM.

    Returns:
        Exit status: 0 after a stop, 1 when it cannot serve.
    """
    settings = get_settings()
    configure_logs(settings.log_level)
    try:
        app = access_app(settings)
    except (NotConfigured, ContractError) as error:
        _log.error("refusing to serve", extra={"reason": str(error)})
        return 1
    gc.freeze()
    config = uvicorn.Config(
        app,
        host=settings.access_host,
        port=settings.access_port,
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        # Refusals are counted by the client's address: no header may change it.
        proxy_headers=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    server = uvicorn.Server(config)
    # The server handles these itself and then raises them once more.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _already_stopping)
    server.run()
    _log.info("stopped")
    return 0 if server.started else 1


def _already_stopping(number: int, frame: FrameType | None) -> None:
    """Let the stop that is under way come to its end."""


if __name__ == "__main__":
    sys.exit(main())
