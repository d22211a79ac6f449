"""A code server that loads its definitions again when contracts change, without a restart.

Dagster's own server refuses to reload, and a restart would end the runs that it forked. Runs load
the definitions anew anyway; what is swapped here is what the webserver and the daemon are told.
They notice by the server's id, as they notice a restart.
"""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

from dagster._grpc import server as grpc_server
from dagster._grpc.__generated__ import dagster_api_pb2

from telemetry_platform.contracts import contract_folder
from telemetry_platform.settings import get_settings

if TYPE_CHECKING:
    import grpc

    from telemetry_contracts.adoption import InForce


class ReloadingServer(grpc_server.DagsterApiServer):
    """Dagster's servicer, which can load its definitions again while it serves."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  (handed on)
        settings = get_settings()
        self._folder = contract_folder(settings)
        # Looked at before the definitions are loaded: what comes meanwhile is loaded again.
        self._contracts = self._folder.look()
        self._location_name = options.get("location_name")
        super().__init__(*arguments, **options)
        self._pace = settings.contracts_poll_seconds
        threading.Thread(target=self._follow, name="contract-watch", daemon=True).start()

    def ReloadCode(  # noqa: N802  (gRPC's name)
        self,
        _request: dagster_api_pb2.ReloadCodeRequest,
        _context: grpc.ServicerContext,
    ) -> dagster_api_pb2.ReloadCodeReply:
        """Load the definitions again, as the reload button of the pages asks."""
        self.reload()
        return dagster_api_pb2.ReloadCodeReply()

    def reload(self) -> None:
        """Swap the definitions for newly loaded ones; those that do not load change nothing."""
        with self._reload_lock:
            try:
                loaded = grpc_server.LoadedRepositories(
                    self._loadable_target_origin,
                    entry_point=self._entry_point,
                    container_image=self._container_image,
                    container_context=self._container_context,
                    code_location_name=self._location_name,
                )
            except Exception:
                self._logger.exception("The definitions do not load; the former ones stay.")
                return
            self._loaded_repositories = loaded
            self._serializable_load_error = None
            self._server_id = str(uuid.uuid4())

    def _follow(self) -> None:
        while not self._server_termination_event.wait(self._pace):
            try:
                self._look()
            except Exception:
                self._logger.exception("The contracts could not be looked up.")

    def _look(self) -> None:
        found, before = self._folder.look(), self._contracts
        if found is before:
            return
        self._contracts = found
        self._tell_refused(found, before)
        if found.registry is not before.registry:
            self.reload()
            names = ", ".join(f"{source} {each.version}" for source, each in found.registry.items())
            self._logger.warning("Definitions reloaded for the contracts %s.", names)

    def _tell_refused(self, found: InForce, before: InForce) -> None:
        for name, reason in found.refused.items():
            if before.refused.get(name) != reason:
                self._logger.error("Contract %s is refused: %s", name, reason)


def reload_when_contracts_change() -> None:
    """Let Dagster's command start this server instead of its own."""
    setattr(grpc_server, "DagsterApiServer", ReloadingServer)  # noqa: B010  (no type fits a stand-in)
