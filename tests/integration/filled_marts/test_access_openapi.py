"""The running access API against its own OpenAPI document: statuses, media types, bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from pydantic import SecretStr
from schemathesis.checks import CHECKS, load_all_checks

from access_api.app import access_app
from access_api.openapi import openapi_document
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_platform.settings import Settings
from tests.stack_process import DEADLINE_SECONDS

if TYPE_CHECKING:
    from fastapi import FastAPI

load_all_checks()
_EXCLUDED: list[Any] = CHECKS.get_by_names(
    [
        # A cursor that fits the schema was still not given by the API.
        "positive_data_acceptance",
        # Many tries with wrong keys meet the throttle.
        "ignored_auth",
    ]
)


def _app() -> FastAPI:
    """Return the application for its document; it is never connected."""
    nowhere = Settings(access_postgres_dsn=SecretStr("postgresql://nobody@127.0.0.1:1/none"))
    return access_app(nowhere)


operations = schemathesis.openapi.from_dict(openapi_document(_app()))


@pytest.fixture
def key(stack: Settings) -> str:
    return (stack.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()


@operations.parametrize()
@settings(
    max_examples=4,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_api_does_as_its_document_says(
    case: schemathesis.Case, stack: Settings, key: str
) -> None:
    case.call_and_validate(
        base_url=stack.access_url,
        headers={"x-api-key": key},
        timeout=DEADLINE_SECONDS,
        excluded_checks=_EXCLUDED,
    )
