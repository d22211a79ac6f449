"""AWS Lambda entry point of the HTTP edge, for API Gateway v2 and function URLs.

The edge is opened once per Lambda instance, at the first call. A call ends when its events are
committed, so nothing is under way while the instance is frozen.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from mangum import Mangum

from ingest_lambda.app import EdgeApp
from ingest_lambda.edge import open_edge
from ingest_lambda.logs import configure_logs
from telemetry_platform.settings import get_settings


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401
    """Answer one API Gateway v2 event."""
    return _adapter()(event, context)


@cache
def _adapter() -> Mangum:
    settings = get_settings()
    configure_logs(settings.log_level)
    return Mangum(EdgeApp(open_edge(settings)), lifespan="off")
