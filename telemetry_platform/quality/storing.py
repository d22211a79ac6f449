"""Where the pages lie in the bucket: the latest under a fixed name, and one for each day."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from datetime import date

    from telemetry_platform.settings import Settings

FOLDER = "reports/quality"
LATEST = f"{FOLDER}/latest.html"


def store(settings: Settings, page: str, day: date) -> tuple[str, str]:
    """Write the page as the latest and as that of `day`, replacing what was there.

    Returns:
        The addresses of both.
    """
    keys = (LATEST, f"{FOLDER}/{day.isoformat()}.html")
    for key in keys:
        _put(settings, key, page.encode())
    return f"{settings.root}/{keys[0]}", f"{settings.root}/{keys[1]}"


def _put(settings: Settings, key: str, content: bytes) -> None:
    if not settings.root.startswith("s3://"):
        file = Path(settings.root) / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return
    s3_client(settings).put_object(
        Bucket=settings.s3_bucket,
        Key=key,
        Body=content,
        ContentType="text/html; charset=utf-8",
        CacheControl="no-cache",
    )
