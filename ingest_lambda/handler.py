"""AWS Lambda entry point of the edge: HTTP, SQS, Kinesis, IoT rules and S3 objects.

The edge is opened once per Lambda instance, at the first call.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from ingest_lambda.edge import open_edge
from ingest_lambda.lambda_function import EdgeFunction
from ingest_lambda.lambda_secrets import SecretFiles
from telemetry_platform.logs import configure_logs
from telemetry_platform.settings import Settings, get_settings

_log = logging.getLogger(__name__)


def handler(event: dict[str, Any], context: Any) -> Any:  # noqa: ANN401  (Lambda's own types)
    """Answer one event, see `EdgeFunction`."""
    secrets = _secret_files()
    if secrets is not None:
        secrets.refresh()
    return _function()(event, context)


@cache
def _secret_files() -> SecretFiles | None:
    settings = get_settings()
    if settings.secrets_arn is None:
        return None
    import boto3

    client = boto3.client("secretsmanager", region_name=settings.s3_region)
    return SecretFiles(settings.secrets_arn, _secrets_dir(settings), client)


@cache
def _function() -> EdgeFunction:
    settings = get_settings()
    configure_logs(settings.log_level)
    # The disk of an instance goes with it: what waits there would be lost.
    changes: dict[str, Any] = {"spool_max_bytes": 0}
    if settings.secrets_arn is not None:
        changes["secrets_path"] = _secrets_dir(settings)
    function = EdgeFunction(open_edge(settings.model_copy(update=changes)))
    _log.info("instance ready")
    return function


def _secrets_dir(settings: Settings) -> Path:
    """Return where the key files are written: /tmp is all that a Lambda instance may write to."""
    return settings.secrets_path or Path(gettempdir()) / "telemetry-secrets"
