"""A small real HTTP server whose answers come from a script: the far end of the sender's tests."""

import asyncio
import gzip
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvicorn

DROP = "drop"


@dataclass
class Answer:
    """One answer; ``DROP`` as body cuts the connection after the request was read."""

    status: int = 202
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | str | None = None


@dataclass
class Request:
    """What arrived."""

    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class ScriptedEdge:
    """Answers from ``script``, then accepts everything; counts the events of JSON bodies."""

    def __init__(self) -> None:
        self.script: deque[Answer] = deque()
        self.requests: list[Request] = []
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append(Request(scope["path"], scope["query_string"].decode(), headers, body))
        answer = self.script.popleft() if self.script else Answer()
        if answer.body is DROP:
            # Announcing more bytes than are sent makes uvicorn cut the connection.
            await send(
                {
                    "type": "http.response.start",
                    "status": 202,
                    "headers": [(b"content-length", b"999")],
                }
            )
            await send({"type": "http.response.body", "body": b"{"})
            return
        text = answer.body if answer.body is not None else accepted(body)
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(k.encode(), v.encode()) for k, v in answer.headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": text})


def accepted(body: bytes) -> bytes:
    """Return an answer that accepts every event of a body."""
    return orjson.dumps(
        {
            "receipt_id": "rcp_1",
            "received_at": "2026-01-05T10:00:00.000000Z",
            "accepted": count_events(body),
            "duplicate": 0,
            "rejected": 0,
        }
    )


def count_events(body: bytes) -> int:
    """Return the number of events in a JSON or NDJSON body, gzip or plain."""
    text = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    if text.startswith(b"["):
        return len(orjson.loads(text))
    return len(text.strip().splitlines())


@contextmanager
def serving(edge: ScriptedEdge) -> Generator[ScriptedEdge]:
    """Run the edge on a free loopback port until the block ends."""
    config = uvicorn.Config(edge, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    bound = config.bind_socket()
    bound.listen(64)  # so that nobody is refused while the server starts
    edge.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    try:
        yield edge
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        bound.close()
        assert not thread.is_alive()
