"""What the bare machine does: decoding alone, and an HTTP server that only answers."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import uvicorn

from benchmarks.bodies import mobile_posts

if TYPE_CHECKING:
    from collections.abc import Generator

_ANSWER = b'{"receipt_id":"rcp_0","accepted":1,"duplicate":0,"rejected":0}'


def orjson_decode_rate(posts: int = 200, events: int = 100) -> float:
    """Return how many phone events a second orjson decodes on one core, and does nothing else."""
    bodies = list(mobile_posts(posts, events, uuid.uuid4(), "2026-01-05T10:00:00.000000"))
    began = time.perf_counter()
    for body in bodies:
        orjson.loads(body)
    return posts * events / (time.perf_counter() - began)


async def bare_app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
    """Read a request and answer it: ASGI without an application."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", str(len(_ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": _ANSWER})


@contextmanager
def bare_server() -> Generator[str]:
    """Serve ``bare_app`` on a free loopback port, with the edge's server, until the block ends."""
    # asyncio turns Nagle's algorithm off only for sockets that name their protocol.
    bound = socket.socket(proto=socket.IPPROTO_TCP)
    bound.bind(("127.0.0.1", 0))
    bound.listen(256)  # so that nobody is refused while the server starts
    config = uvicorn.Config(
        bare_app, http="httptools", loop="uvloop", lifespan="off", access_log=False,
        log_level="critical",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()
