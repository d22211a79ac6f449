"""A Dagster run launcher that knows which of its runs are alive.

Dagster's default launcher cannot check a run's health, so a run whose code server was killed stays
"started" until its time limit. This one asks the code server what it is executing. `dagster.yaml`
names it and every Dagster process imports it, so it imports little.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Self

from dagster import DefaultRunLauncher, IntSource, StringSource
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import deserialize_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import DagsterRun
    from dagster._serdes import ConfigurableClassData


# Dagster asks for a retry in the second a run is failed, once, and gives it up when the daemon has
# not loaded the restarted server's definitions yet. It loads them within 10 s and the load itself.
_SETTLING_SECONDS = 20.0


class WatchedRunLauncher(DefaultRunLauncher):
    """Launches runs in the code server and reports those that vanished from it.

    A run is failed when the server that started it no longer executes it (it was restarted), or
    when that server is gone from its address and the present one has another. While a server does
    not answer at its present address the run is left alone: it may only be busy. A server that
    has just come back is given time until the daemon can retry the run in it.
    """

    def __init__(
        self, host: str, port: int, inst_data: ConfigurableClassData | None = None
    ) -> None:
        super().__init__(inst_data)
        self._present = (host, port)
        self._answering: tuple[str, float] = ("", 0.0)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return the configuration in `dagster.yaml`: where the code server is now."""
        return {"host": StringSource, "port": IntSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> Self:
        """Make the launcher from its part of `dagster.yaml`."""
        return cls(config_value["host"], config_value["port"], inst_data)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Tell run monitoring that it may ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return whether the code server still executes `run`."""
        # gRPC's client is heavy and only the daemon asks.
        from dagster._grpc.client import DagsterGrpcClient
        from dagster._grpc.types import GetCurrentRunsResult

        tag = json.loads(run.tags.get(GRPC_INFO_TAG) or "{}")
        host, port = tag.get("host", self._present[0]), tag.get("port", self._present[1])
        client = DagsterGrpcClient(host=host, port=port)
        try:
            answer, server_id = client.get_current_runs(), client.get_server_id()
        except DagsterUserCodeUnreachableError:
            moved = (host, port) != self._present
            status = WorkerStatus.FAILED if moved else WorkerStatus.RUNNING
            return CheckRunHealthResult(status, f"the code server at {host}:{port} is silent")
        if run.run_id in deserialize_value(answer, GetCurrentRunsResult).current_runs:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if self._seconds_answering(server_id) < _SETTLING_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "the code server has just started")
        return CheckRunHealthResult(
            WorkerStatus.FAILED, "the code server that started the run does not execute it any more"
        )

    def _seconds_answering(self, server_id: str) -> float:
        """Return for how long the server with this id has been seen; 0 for one not seen before."""
        now = time.monotonic()
        if self._answering[0] != server_id:
            self._answering = (server_id, now)
        return now - self._answering[1]
