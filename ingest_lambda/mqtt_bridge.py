"""The MQTT bridge: what a broker delivers is acknowledged once it is durable, and not before.

Runs in a thread of the edge process, or alone as `python -m ingest_lambda.mqtt_bridge`. The
protocol is `mqtt_connection`'s matter, what a message holds is `messages`'.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import sys
from threading import Event, Thread
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError
from prometheus_client import Gauge, start_http_server

from ingest_lambda.contracts import ContractWatch
from ingest_lambda.edge import open_edge
from ingest_lambda.messages import Message, MessageIntake
from ingest_lambda.mqtt_connection import ConnectionLost, Delivery, MqttConnection, check_url
from ingest_lambda.mqtt_topics import TopicMap
from ingest_lambda.probe import UnsafeStore
from ingest_lambda.problems import Problem
from ingest_lambda.version_watch import VersionWatch
from telemetry_platform.contracts import contract_folder
from telemetry_platform.delta_log import TableUnsuitable
from telemetry_platform.logs import configure_logs
from telemetry_platform.settings import get_settings
from telemetry_platform.signals import ending_on_signals

if TYPE_CHECKING:
    from ingest_lambda.edge import Edge

DOOR = "mqtt"
_log = logging.getLogger(__name__)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_DRAIN_SECONDS = 10.0
_READY_SECONDS = 15.0


class MqttBridge:
    """The bridge of one edge. `start` it once the edge is open, `stop` it before closing."""

    def __init__(self, edge: Edge, intake: MessageIntake) -> None:
        """Read the settings.

        Raises:
            ValueError: They name no broker, no topic or no source.
        """
        settings = edge.settings
        check_url(settings.mqtt_url or "")
        self._settings = settings
        self._intake = intake
        self._topics = TopicMap(settings.mqtt_topics, edge.registry)
        self._client_id = settings.mqtt_client_id or f"telemetry-edge-{socket.gethostname()}"
        self._connected = Gauge(
            "edge_mqtt_connected",
            "Whether the bridge is subscribed at its broker.",
            registry=edge.metrics.registry,
        )
        self._in_flight: set[asyncio.Task[None]] = set()
        Gauge(
            "edge_mqtt_in_flight",
            "Messages taken from the broker and not yet acknowledged.",
            registry=edge.metrics.registry,
        ).set_function(lambda: len(self._in_flight))
        self._stop = Event()
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=lambda: asyncio.run(self._run()), name="mqtt", daemon=True)

    def start(self) -> None:
        """Begin to connect, and keep connected."""
        self._thread.start()

    def stop(self) -> None:
        """Acknowledge what is under way and disconnect; what comes later waits at the broker."""
        self._stop.set()
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread.is_alive():
            self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        if self._stop.is_set():
            self._stopping.set()
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                await self._connect_once(self._loop, self._stopping)
                pause = _FIRST_PAUSE_SECONDS
            except (ConnectionLost, OSError, TimeoutError) as error:
                _log.warning("no broker", extra={"reason": str(error) or type(error).__name__})
                await _either(self._stopping, pause * random.uniform(0.5, 1.5))  # noqa: S311  (jitter)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _connect_once(self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
        """Serve one connection until it is lost or the bridge stops.

        Raises:
            ConnectionLost, OSError, TimeoutError: There was none.
        """

        def on_delivery(delivery: Delivery) -> None:
            loop.call_soon_threadsafe(self._begin, connection, delivery)

        connection = MqttConnection(
            self._settings,
            self._client_id,
            self._topics.subscriptions(self._settings.mqtt_shared_group),
            on_delivery,
        )
        try:
            await asyncio.to_thread(connection.open)
            subscribed = asyncio.wrap_future(connection.subscribed)
            resumed = await asyncio.wait_for(subscribed, _READY_SECONDS)
            self._connected.set(1)
            _log.info("subscribed", extra={"session_resumed": resumed})
            await _first_of(asyncio.wrap_future(connection.lost), stopping)
            if stopping.is_set():
                await self._drain()
            else:
                _log.warning("the broker is gone")
        finally:
            self._connected.set(0)
            # Whatever is still under way comes again: its acknowledgement would reach nobody.
            for task in self._in_flight:
                task.cancel()
            await asyncio.to_thread(connection.close)

    def _begin(self, connection: MqttConnection, delivery: Delivery) -> None:
        if self._stopping is not None and self._stopping.is_set():
            return
        task = asyncio.create_task(self._deliver(delivery))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        task.add_done_callback(lambda _: connection.delivered())

    async def _deliver(self, delivery: Delivery) -> None:
        """Make one message durable, however long that takes, then acknowledge it."""
        source = self._topics.source_of(delivery.topic)
        message = Message(source, delivery.body, delivery.content_type)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._intake.take(DOOR, message)
            except Problem as problem:
                # The broker sends it again only after a reconnection, so it is kept here, and the
                # receive maximum holds back the others.
                least = problem.retry_after or 0
                await asyncio.sleep(max(least, pause) * random.uniform(0.5, 1.5))  # noqa: S311
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                delivery.acknowledge()
                return

    async def _drain(self) -> None:
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=_DRAIN_SECONDS)


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, for so long at most."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


async def _first_of(done: asyncio.Future[None], event: asyncio.Event) -> None:
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait({done, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def main() -> int:
    """Run the bridge alone until SIGINT or SIGTERM, with its metrics at the edge's address.

    Returns:
        Exit status: 0 after a stop, 1 when the bridge must not or cannot work.
    """
    settings = get_settings()
    configure_logs(settings.log_level)
    try:
        edge = open_edge(settings)
        bridge = MqttBridge(edge, MessageIntake(edge))
    except (UnsafeStore, TableUnsuitable, DeltaError, OSError, ValueError) as error:
        _log.error("refusing to serve", extra={"reason": str(error)})
        return 1
    server, thread = start_http_server(
        settings.edge_port, settings.edge_host, edge.metrics.registry
    )
    versions = VersionWatch(edge.appenders, edge.metrics)
    versions.start()
    contracts = ContractWatch(edge, contract_folder(settings), settings.contracts_poll_seconds)
    contracts.start()
    with ending_on_signals() as ended:
        bridge.start()
        ended.wait()
        bridge.stop()
    server.shutdown()
    thread.join()
    versions.stop()
    contracts.stop()
    edge.close()
    _log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
