"""A broker, a bridge and a publisher as processes and connections of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
from typing import TYPE_CHECKING, Any, Self

import httpx
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from telemetry_cli.embedded.environment import process_environment
from tests.stack_process import DEADLINE_SECONDS, reserved_port, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry_platform.settings import Settings

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Part:
    """A process that can be killed, stopped and started again."""

    def __init__(self, arguments: list[str], port: int, log: Path, **options: Any) -> None:
        self.port = port
        self.log = log
        self._arguments = arguments
        self._options = options
        self._process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, stdout=log, stderr=subprocess.STDOUT, **self._options
            )
        wait_until(lambda: answers(self.port), f"port {self.port} answers\n{self.log.read_text()}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(DEADLINE_SECONDS)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def mosquitto(folder: Path, *lines: str, port: int | None = None) -> Part:
    """Return a Mosquitto that keeps what it has not delivered; `lines` replace open access."""
    assert MOSQUITTO is not None
    port = port or reserved_port()
    configuration = [
        *(["user root"] if os.geteuid() == 0 else []),
        f"listener {port} 127.0.0.1",
        *(lines or ["allow_anonymous true"]),
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_on_changes true",
        "autosave_interval 1",
        "max_queued_messages 0",
    ]
    file = folder / "mosquitto.conf"
    file.write_text("\n".join(configuration) + "\n")
    return Part([MOSQUITTO, "-c", str(file)], port, folder / "mosquitto.log")


def bridge(settings: Settings, folder: Path, broker: Part, **more: Any) -> Part:
    """Return a bridge process; its port serves metrics."""
    port = reserved_port()
    own = {
        "mqtt_url": f"mqtt://127.0.0.1:{broker.port}",
        "mqtt_client_id": "test-bridge",
        "edge_port": port,
        "spool_path": folder / "spool",
        **more,
    }
    environment = process_environment(settings.model_copy(update=own))
    arguments = [sys.executable, "-m", "ingest_lambda.mqtt_bridge"]
    return Part(arguments, port, folder / "bridge.log", env=environment)


def metric(part: Part, name: str) -> float:
    """Return a metric of a bridge, 0 before it is first counted."""
    url = f"http://127.0.0.1:{part.port}/metrics"
    text = httpx.get(url, timeout=DEADLINE_SECONDS, trust_env=False).text
    values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name)]
    return float(values[0]) if values else 0.0


def connected(part: Part) -> bool:
    return metric(part, "edge_mqtt_connected") == 1


def session_event(session: str, number: int) -> bytes:
    time_of_it = f"2026-01-05T10:00:00.{number:06d}"
    return json.dumps({"session": {"id": session, "timestamp": time_of_it}}).encode()


class Publisher:
    """A device that publishes at QoS 1 and repeats what the broker did not acknowledge."""

    def __init__(self, port: int, **credentials: Any) -> None:
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"device-{uuid.uuid4().hex[:8]}",
            clean_session=False,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(1, 1)
        if credentials.get("username"):
            self._client.username_pw_set(credentials["username"], credentials["password"])
        if credentials.get("ca_file"):
            self._client.tls_set(str(credentials["ca_file"]))
        self._sent = self._acknowledged = 0
        self.refused = False
        self._client.on_publish = self._on_publish
        self._client.on_connect = self._on_connect
        self._client.connect_async("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, topic: str, *bodies: bytes, pause: float = 0.0) -> None:
        """Publish all, and return when the broker has acknowledged the last."""
        for body in bodies:
            self._client.publish(topic, body, qos=1)
            threading.Event().wait(pause)
        self._sent += len(bodies)
        wait_until(lambda: self._acknowledged == self._sent, "the broker acknowledges all")

    def _on_publish(self, *_: object) -> None:
        self._acknowledged += 1

    def _on_connect(self, _: Client, __: object, ___: object, reason: Any, ____: object) -> None:
        self.refused = reason.is_failure
