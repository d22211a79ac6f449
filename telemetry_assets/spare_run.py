"""A process for the next run, started and warmed before there is one.

What cannot be imported before a fork (Polars and deltalake start threads) is imported here, in a
process that then waits. Runs that come while there is no spare are forked as usual.
"""

from __future__ import annotations

import atexit
import gc
import threading
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.context import ForkServerContext

_AHEAD_SECONDS: Final = 3.0
"""How long a run goes on alone. Warming takes two seconds, and while events keep coming the next
run begins as soon as this one ends."""


class SpareContext:
    """Answers the calls by which Dagster's server makes a run's process.

    Args:
        context: Makes the processes.
        warm_up: What a spare process does before it waits.
        ahead_seconds: How long a run goes on before the next spare is started beside it.

    The server asks for a queue, an event and a process, in this order and on one thread. All three
    belong to the spare process when there is one, and to a new one otherwise.
    """

    def __init__(
        self,
        context: ForkServerContext,
        warm_up: Callable[[], None],
        ahead_seconds: float = _AHEAD_SECONDS,
    ) -> None:
        self._context = context
        self._warm_up = warm_up
        self._ahead_seconds = ahead_seconds
        self._lock = threading.Lock()
        self._spare: _Spare | None = None
        self._taken = threading.local()
        self._closed = False
        # Python waits for its child processes when it ends, and a spare waits for a run.
        atexit.register(self.close)

    def prepare(self) -> None:
        """Start a spare process unless one waits."""
        with self._lock:
            if self._spare is None and not self._closed:
                self._spare = _Spare(self._context, self._warm_up)

    def Queue(self) -> Any:  # noqa: N802, ANN401
        """Return the queue on which a run's process reports its start."""
        spare = self._taken.spare = self._take()
        return spare.queue if spare else self._context.Queue()

    def Event(self) -> Any:  # noqa: N802, ANN401
        """Return the event that tells a run's process to end."""
        spare = self._taken.spare
        return spare.event if spare else self._context.Event()

    def Process(self, *, target: Callable[..., None], args: Sequence[Any]) -> Any:  # noqa: N802, ANN401
        """Return a process that will run `target`, whose last two arguments are queue and event."""
        spare, self._taken.spare = self._taken.spare, None
        if spare is None:
            return self._context.Process(target=target, args=args)
        return _Run(self, spare, target, args[:-2])

    def replace_after(self, process: Any) -> None:  # noqa: ANN401
        """Start the next spare when `process` has ended, or has gone on for a while."""
        threading.Thread(target=self._replace, args=(process,), daemon=True).start()

    def _replace(self, process: Any) -> None:  # noqa: ANN401
        wait([process.sentinel], self._ahead_seconds)
        self.prepare()

    def _take(self) -> _Spare | None:
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is None or spare.process.is_alive():
            return spare
        self.replace_after(spare.process)
        return None

    def close(self) -> None:
        """End the spare process, which has no run, and start no more."""
        with self._lock:
            spare, self._spare, self._closed = self._spare, None, True
        if spare is not None:
            spare.process.kill()
            spare.process.join()


class _Spare:
    """A process that waits for what it shall run."""

    def __init__(self, context: ForkServerContext, warm_up: Callable[[], None]) -> None:
        self.queue = context.Queue()
        self.event = context.Event()
        reader, self.inbox = context.Pipe(duplex=False)
        self.process = context.Process(
            target=_wait_for_run, args=(warm_up, reader, self.queue, self.event)
        )
        self.process.start()
        reader.close()


class _Run:
    """The spare's process as Dagster's server knows it: not started until it has its run."""

    def __init__(
        self,
        context: SpareContext,
        spare: _Spare,
        target: Callable[..., None],
        args: Sequence[Any],
    ) -> None:
        self._context = context
        self._spare = spare
        self._work = (target, tuple(args))

    def start(self) -> None:
        """Give the waiting process its run."""
        # A process that has just died is found by whoever asks whether it is alive.
        with suppress(BrokenPipeError):
            self._spare.inbox.send(self._work)
        self._spare.inbox.close()
        self._context.replace_after(self._spare.process)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._spare.process, name)


def _wait_for_run(
    warm_up: Callable[[], None],
    inbox: Connection,
    queue: Any,  # noqa: ANN401
    event: Any,  # noqa: ANN401
) -> None:
    try:
        warm_up()
        target, args = inbox.recv()
    except (EOFError, KeyboardInterrupt):
        return
    target(*args, queue, event)


def import_all() -> None:
    """Import what every run needs and cannot be imported before a fork."""
    import polars as pl
    from adbc_driver_postgresql import dbapi

    from telemetry_assets import definitions
    from telemetry_assets.lakehouse.schemas import failures, silver_model
    from telemetry_contracts.frames import silver_schema
    from telemetry_contracts.registry import load_registry
    from telemetry_platform.postgres import dsn
    from telemetry_platform.settings import get_settings

    del definitions
    # Loads the driver; whether the database answers is not the matter here.
    with suppress(dbapi.Error):
        dbapi.connect(dsn(get_settings())).close()
    # pandera imports its checks when the first frame is validated.
    contract = next(iter(load_registry().values()))
    failures(silver_model(contract), pl.DataFrame(schema=silver_schema(contract)))
    # What is there now stays until the run ends: the collector need not look at it again.
    gc.freeze()
