"""The one place that opens the object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings


def s3_client(settings: Settings, *, patient: bool = True) -> Any:  # noqa: ANN401  (made at run time)
    """Return a boto3 S3 client for the configured endpoint, or for AWS when there is none.

    Args:
        settings: Where the store is.
        patient: Whether to wait long for answers; those with another way to go had rather not.
    """
    import boto3
    from botocore.config import Config

    secret, session = settings.aws_secret_access_key, settings.aws_session_token
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        aws_session_token=session.get_secret_value() if session else None,
        config=Config(
            retries={"mode": "standard", "max_attempts": 4 if patient else 3},
            connect_timeout=5 if patient else 2,
            read_timeout=60 if patient else 5,
            max_pool_connections=32,
            s3={"addressing_style": "path"} if settings.s3_endpoint else None,
        ),
    )
