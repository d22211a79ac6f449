"""The API's own description: answers, problems and examples, made from the datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from access_api.negotiation import MediaType
from telemetry_platform.problems import PROBLEM_SCHEMA

if TYPE_CHECKING:
    from fastapi import FastAPI

    from access_api.datasets import Dataset

_PROBLEMS = {
    "400": "A parameter is unknown or cannot be understood, or the cursor is for another request.",
    "401": "No valid API key.",
    "403": "The key may not read, or not this source.",
    "404": "No such thing.",
    "406": "No media type that can be had is accepted.",
    "429": "Too many requests without a valid key came from this address.",
    "503": "Not now: the database is away or slow, the marts are not built, or too much is asked.",
}
_TAG = {"description": "Names this answer; send it as If-None-Match.", "schema": {"type": "string"}}
_LINK = {"description": 'The rows behind these, `rel="next"`.', "schema": {"type": "string"}}


def responses(dataset: Dataset) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a dataset's route."""
    example = {column.name: column.example for column in dataset.columns}
    answer = {"data": [example], "next_cursor": "lVt0gQ8Yx3jT1mB2cR5zWVsiMjAyNi0xMS0yMiJd"}
    row = {
        "type": "object",
        "properties": {
            column.name: column.schema(nullable=column.name not in dataset.key)
            for column in dataset.columns
        },
        "required": list(dataset.key),
        "additionalProperties": False,
    }
    page = {
        "type": "object",
        "required": ["data", "next_cursor"],
        "properties": {
            "data": {"type": "array", "items": row},
            "next_cursor": {"type": ["string", "null"]},
        },
    }
    content: dict[str, Any] = {
        MediaType.JSON: {"schema": page, "example": answer},
        MediaType.CSV: {"schema": {"type": "string"}, "example": ",".join(example) + "\n"},
        MediaType.PARQUET: {"schema": {"type": "string", "format": "binary"}},
        MediaType.ARROW: {"schema": {"type": "string", "format": "binary"}},
    }
    return _responses(content, headers={"ETag": _TAG, "Link": _LINK})


def document_responses(description: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route that answers with one JSON document."""
    return _responses({MediaType.JSON: {"schema": description}}, headers={"ETag": _TAG})


def _responses(content: dict[str, Any], headers: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        200: {"description": "The rows.", "content": content, "headers": headers},
        304: {"description": "The client has this answer already.", "headers": {"ETag": _TAG}},
        **{
            int(status): {"description": text, "content": problem}
            for status, text in _PROBLEMS.items()
        },
    }


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the application."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for path in document["paths"].values():
        for operation in path.values():
            # What cannot be understood is 400 here, like on the edge.
            unreadable = operation["responses"].get("422", {}).get("content", {})
            if "application/json" in unreadable:
                del operation["responses"]["422"]
    return document
