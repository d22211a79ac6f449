"""Reads posts beside the edge: `python -m ingest_lambda.reading_process FD`.

Decoding a large post takes the interpreter for so long that connections and commits would wait.
This process has an interpreter of its own. It takes what `reading_pool` sends through socket FD,
answers in the same order, and ends when the edge closes its side or is gone. It writes nothing.
"""

from __future__ import annotations

import gc
import logging
import pickle
import signal
import socket
import sys
from typing import TYPE_CHECKING

from ingest_lambda.bodies import read_body
from ingest_lambda.post_reader import PostReader, compile_readers
from ingest_lambda.reading_messages import LENGTH, READY, Rules, Task
from telemetry_platform.logs import configure_logs
from telemetry_platform.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest_lambda.post_reader import ReadPost

_log = logging.getLogger(__name__)


def main() -> int:
    """Serve until the other side is closed. Returns the exit status."""
    # The edge decides when this ends: it has posts to answer after a signal to the whole group.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    configure_logs("INFO")
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with socket.socket(fileno=int(sys.argv[1])) as channel, channel.makefile("rb") as stream:
        _send(channel, READY)
        readers: Mapping[str, PostReader] = {}
        while head := stream.read(LENGTH.size):
            message = pickle.loads(stream.read(*LENGTH.unpack(head)))  # noqa: S301 - from the edge
            if isinstance(message, Rules):
                readers = compile_readers(message.contracts, message.keyring, readers)
            else:
                _send(channel, _read(readers, message))
    return 0


def _read(readers: Mapping[str, PostReader], task: Task) -> ReadPost | Problem | None:
    try:
        body = read_body(*task.sent, task.max_bytes)
        return readers[task.source].read(body, task.max_events)
    except Problem as problem:
        return problem
    except Exception as error:  # noqa: BLE001  (the boundary of a post)
        _log.error("unexpected", exc_info=error)
        return None


def _send(channel: socket.socket, message: object) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    channel.sendall(LENGTH.pack(len(data)) + data)


if __name__ == "__main__":
    sys.exit(main())
