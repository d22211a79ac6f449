"""The Lambda entry point opens one edge from the settings and answers a golden event with it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
import pytest

from ingest_lambda import handler as entry
from tests.conftest import process_settings
from tests.unit.ingest_lambda.test_lambda_function import http_event

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit


def test_a_gateway_event_lands_within_its_invocation(
    settings: Settings, key: str, rows: Callable[[str], pl.DataFrame]
) -> None:
    with process_settings(
        home=str(settings.home),
        lake_root=settings.root,
        secrets_dir=str(settings.secrets_dir),
    ):
        try:
            answer = entry.handler(http_event("http_api_v2", key), None)
            again = entry.handler(http_event("http_api_v2", key), None)
        finally:
            entry._function().close()
            entry._function.cache_clear()
            entry._secret_files.cache_clear()
    assert answer["statusCode"] == HTTPStatus.ACCEPTED
    assert orjson.loads(again["body"])["duplicate"] == 1
    receipt = orjson.loads(answer["body"])["receipt_id"]
    assert list(rows("landing/events")["receipt_id"]) == [receipt]
    # What waits on the disk of an instance would be lost with it.
    assert not settings.spool_dir.exists()
