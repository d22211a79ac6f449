"""Dagster's code server, with runs forked from a process that has imported everything.

Dagster starts each run in a fresh interpreter, which then imports Dagster, Polars and dbt for
longer than a small partition takes to refine. The server is Dagster's own and so is all it does to
runs; only the way in which their process comes to be is another.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

from dagster._cli import main as dagster

from telemetry_assets.reloading import reload_when_contracts_change
from telemetry_assets.spare_run import SpareContext, import_all

PRELOAD = "telemetry_assets.warm"


def serve(arguments: list[str]) -> None:
    """Run `dagster api grpc` with `arguments` until it is told to stop."""
    _fork_instead_of_spawning()
    reload_when_contracts_change()
    sys.argv = ["dagster", "api", "grpc", *arguments]
    dagster()


def _fork_instead_of_spawning() -> None:
    """Answer Dagster's request for the `spawn` start method with a warm fork server.

    The fork server is a process of its own, single-threaded and without connections, so forking
    it is safe where forking the server itself would not be.
    """
    stock = multiprocessing.get_context
    warm = stock("forkserver")
    warm.set_forkserver_preload([PRELOAD])
    forkserver.ensure_running()
    runs = SpareContext(warm, import_all)
    # The first process is made when the preload is done, and the server must answer before.
    threading.Thread(target=runs.prepare, daemon=True).start()

    def get_context(method: str | None = None) -> BaseContext | SpareContext:
        return runs if method == "spawn" else stock(method)

    setattr(multiprocessing, "get_context", get_context)  # noqa: B010  (no type fits a stand-in)


if __name__ == "__main__":
    serve(sys.argv[1:])
