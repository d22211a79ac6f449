"""The usual first design of an ingest endpoint: one JSON object and one database row for an event.

``python -m benchmarks.peers.object_per_event PORT`` serves it with the S3 and Postgres of the
environment. It validates nothing, tokenizes nothing and knows no duplicates.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import uvicorn
from fastapi import FastAPI
from psycopg_pool import ConnectionPool

from telemetry_platform.objects import s3_client
from telemetry_platform.postgres import dsn
from telemetry_platform.settings import Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

_TABLE = "CREATE TABLE IF NOT EXISTS peer_events (id uuid PRIMARY KEY, body jsonb)"
_INSERT = "INSERT INTO peer_events VALUES (%s, %s)"
_START_SECONDS = 30.0


def peer_app(settings: Settings) -> FastAPI:
    """Return the endpoint; FastAPI runs it in its thread pool, as it does any plain function."""
    s3 = s3_client(settings)
    pool = ConnectionPool(dsn(settings), min_size=8, max_size=32, open=True)
    with pool.connection() as connection:
        connection.execute(_TABLE)
    app = FastAPI()

    @app.post("/v1/events", status_code=202)
    def receive(event: dict[str, Any]) -> dict[str, int]:
        key = uuid.uuid4()
        body = orjson.dumps(event)
        s3.put_object(Bucket=settings.s3_bucket, Key=f"peer/{key}.json", Body=body)
        with pool.connection() as connection:
            connection.execute(_INSERT, (key, body.decode()))
        return {"accepted": 1}

    return app


@contextmanager
def peer_server(environment: Mapping[str, str]) -> Generator[str]:
    """Serve the peer in a process of its own until the block ends; yields its address.

    Raises:
        TimeoutError: It does not answer.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.peers.object_per_event", str(port)]
    process = subprocess.Popen(command, env=dict(environment))
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(url):
            if time.monotonic() > deadline:
                raise TimeoutError("the peer does not answer")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/openapi.json", trust_env=False).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    uvicorn.run(
        peer_app(get_settings()), port=int(sys.argv[1]), access_log=False, log_level="warning"
    )
