"""JSON log lines on standard output. A line names receipts and counts, never what was sent."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

import orjson

# What every LogRecord has; the rest came in through `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_PLACES = 8


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object with its `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line end."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = vars(record)
        line.update((name, fields[name]) for name in fields.keys() - _STANDARD)
        if record.exc_info and record.exc_info[1] is not None:
            line.update(_where(record.exc_info[1]))
        return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()


def _where(error: BaseException) -> dict[str, object]:
    """Return the kind and the places of an error; its text may quote what could not be read."""
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": type(error).__name__, "places": places}


def configure_logs(level: str) -> None:
    """Send all log records of this process to standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The lines tell neither: https://docs.python.org/3/howto/logging.html#optimization
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # The AWS client logs request headers at DEBUG.
    logging.getLogger("botocore").setLevel(logging.WARNING)
