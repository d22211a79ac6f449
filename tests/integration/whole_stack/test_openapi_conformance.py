"""The running edge against its own OpenAPI document: statuses, media types, headers, bodies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks

from ingest_lambda.openapi import openapi_document
from telemetry_cli.embedded.secrets import DEVELOPMENT_KEY_FILE
from telemetry_contracts.registry import load_registry
from tests.stack_process import DEADLINE_SECONDS

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

load_all_checks()
_EXCLUDED: list[Any] = CHECKS.get_by_names(
    [
        # The edge answers event by event: a good post may hold nothing but refused events.
        "positive_data_acceptance",
        # Many tries with wrong keys meet the throttle, and watches on this machine need none.
        "ignored_auth",
    ]
)


@schemathesis.serializer("application/x-ndjson")
def lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


# The document that the edge serves, at hand while tests are collected.
operations = schemathesis.openapi.from_dict(openapi_document(load_registry(), "0"))


@pytest.fixture
def key(stack: Settings) -> str:
    return (stack.secrets_dir / DEVELOPMENT_KEY_FILE).read_text().strip()


@operations.parametrize()
@settings(
    max_examples=8,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_edge_does_as_its_document_says(
    case: schemathesis.Case, stack: Settings, key: str
) -> None:
    case.call_and_validate(
        base_url=stack.ingest_url,
        headers={"x-api-key": key},
        timeout=DEADLINE_SECONDS,
        excluded_checks=_EXCLUDED,
    )
