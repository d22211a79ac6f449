"""The document: every dataset with its media types, an example that fits, and no 422."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from access_api.app import access_app
from access_api.datasets import DATASETS
from access_api.negotiation import MediaType
from access_api.openapi import openapi_document
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit


def test_every_dataset_is_described_with_an_example_that_fits(tmp_path: Path) -> None:
    dsn = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    document = openapi_document(access_app(Settings(home=tmp_path, access_postgres_dsn=dsn)))
    for dataset in DATASETS:
        operation = document["paths"][dataset.path]["get"]
        assert set(operation["responses"]["200"]["content"]) == set(MediaType)
        assert "422" not in operation["responses"]
        page = operation["responses"]["200"]["content"][MediaType.JSON]
        Draft202012Validator(page["schema"]).validate(page["example"])
        described = {parameter["name"] for parameter in operation["parameters"]}
        assert set(dataset.filters) <= described
        assert operation["security"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
