"""One connection to an MQTT broker, from its opening to its loss, on paho's network thread.

A connection is never reopened: a packet identifier belongs to the connection that brought it, and
an acknowledgement that comes late must reach nobody rather than another message.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_KEEP_ALIVE_SECONDS = 30
_CONNECT_SECONDS = 10.0
_CLOSING_LOOK_SECONDS = 0.2
_AT_LEAST_ONCE = 1


class ConnectionLost(Exception):
    """The broker is away, refused the connection, or ended it."""


class Delivery(NamedTuple):
    """A message on its way through the bridge.

    Attributes:
        topic: Where it was published; empty when that is not UTF-8.
        body: Its payload.
        content_type: The property of that name (MQTT 5), else empty.
        acknowledge: Tells the broker that it need not come again. Thread-safe, harmless when the
            connection is gone.
    """

    topic: str
    body: bytes
    content_type: str
    acknowledge: Callable[[], None]


class MqttConnection:
    """Connects, subscribes, and hands over what comes, never more at a time than it may."""

    def __init__(
        self,
        settings: Settings,
        client_id: str,
        subscriptions: list[str],
        on_delivery: Callable[[Delivery], None],
    ) -> None:
        """Prepare a connection.

        Args:
            settings: Address, credentials and limits.
            client_id: Names the session.
            subscriptions: Topic filters.
            on_delivery: Called on the network thread; `delivered` must follow for each call.
        """
        self.subscribed: Future[bool] = Future()
        """Whether the broker still had the session; fails with ConnectionLost."""
        self.lost: Future[None] = Future()
        """Done when the connection is over."""
        self._settings = settings
        self._subscriptions = subscriptions
        self._on_delivery = on_delivery
        self._slots = threading.BoundedSemaphore(settings.mqtt_receive_maximum)
        self._closing = False
        self._resumed = False
        self._client = self._new_client(client_id)

    def open(self) -> None:
        """Connect. Blocks until the transport is up; `subscribed` tells the rest.

        Raises:
            OSError: The broker does not answer, or its certificate is not accepted.
        """
        address = urlsplit(self._settings.mqtt_url or "")
        start: dict[str, Any] = {}
        if self._is_v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = self._settings.mqtt_session_expiry_seconds
            properties.ReceiveMaximum = self._settings.mqtt_receive_maximum
            start = {"clean_start": False, "properties": properties}
        self._client.connect(
            address.hostname or "",
            address.port or _PORTS[address.scheme],
            keepalive=_KEEP_ALIVE_SECONDS,
            **start,
        )
        self._client.loop_start()

    def delivered(self) -> None:
        """Make room for another delivery."""
        self._slots.release()

    def close(self) -> None:
        """Send what is to be sent and disconnect; the session stays at the broker."""
        self._closing = True
        self._client.disconnect()
        self._client.loop_stop()
        self._end("closed")

    @property
    def _is_v5(self) -> bool:
        return self._settings.mqtt_version == "5"

    def _new_client(self, client_id: str) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            # MQTT 5 says at each connection whether the session is kept, 3.1.1 here.
            clean_session=None if self._is_v5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_SECONDS
        if settings.mqtt_username:
            password = settings.mqtt_password
            client.username_pw_set(
                settings.mqtt_username, password.get_secret_value() if password else None
            )
        if urlsplit(settings.mqtt_url or "").scheme == "mqtts":
            client.tls_set_context(_tls_context(settings))
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: Client, _: object, flags: ConnectFlags, reason: ReasonCode, __: object
    ) -> None:
        if reason.is_failure:
            self._end(str(reason))
            return
        self._resumed = flags.session_present
        client.subscribe([(name, _AT_LEAST_ONCE) for name in self._subscriptions])

    def _on_subscribe(
        self, _: Client, __: object, ___: int, reasons: list[ReasonCode], ____: object
    ) -> None:
        refused = next((reason for reason in reasons if reason.is_failure), None)
        if refused is not None:
            self._end(f"the subscription was refused: {refused}")
        elif not self.subscribed.done():
            self.subscribed.set_result(self._resumed)

    def _on_disconnect(
        self, _: Client, __: object, ___: object, reason: ReasonCode, ____: object
    ) -> None:
        self._end(str(reason))

    def _on_message(self, client: Client, _: object, message: MQTTMessage) -> None:
        # Not reading is the only way to slow down a broker that knows no Receive Maximum.
        while not self._slots.acquire(timeout=_CLOSING_LOOK_SECONDS):
            if self._closing:
                return
        mid, qos = message.mid, message.qos
        self._on_delivery(
            Delivery(
                _topic(message),
                bytes(message.payload),
                getattr(message.properties, "ContentType", ""),
                lambda: _acknowledge(client, mid, qos),
            )
        )

    def _end(self, reason: str) -> None:
        if not self.subscribed.done():
            self.subscribed.set_exception(ConnectionLost(reason))
        if not self.lost.done():
            self.lost.set_result(None)


def check_url(url: str) -> None:
    """Check the address of a broker.

    Raises:
        ValueError: It is none.
    """
    address = urlsplit(url)
    if address.scheme not in _PORTS or not address.hostname:
        raise ValueError("TELEMETRY_MQTT_URL must be mqtt://host:port or mqtts://host:port")
    if address.username or address.password:
        raise ValueError("credentials belong in TELEMETRY_MQTT_USERNAME and _PASSWORD")


def _tls_context(settings: Settings) -> ssl.SSLContext:
    """Return a context that verifies the broker and shows our certificate, if we have one."""
    context = ssl.create_default_context(cafile=settings.mqtt_ca_file)
    if settings.mqtt_cert_file:
        context.load_cert_chain(settings.mqtt_cert_file, settings.mqtt_key_file)
    return context


def _acknowledge(client: Client, mid: int, qos: int) -> None:
    client.ack(mid, qos)


def _topic(message: MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""
