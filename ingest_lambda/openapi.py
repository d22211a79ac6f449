"""The OpenAPI document, made from the contracts: a new device type documents itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ingest_lambda.corrections import METHODS, PATH
from telemetry_contracts.contract import Contract, Field, FieldPath, LogicalType, Shape
from telemetry_contracts.registry import Registry
from telemetry_platform.problems import PROBLEM_SCHEMA

_JSON_TYPES: dict[LogicalType, list[str]] = {
    LogicalType.STRING: ["string"],
    LogicalType.NUMBER: ["number", "string"],
    LogicalType.INTEGER: ["integer", "string"],
    LogicalType.BOOLEAN: ["boolean", "string", "integer"],
    LogicalType.TIMESTAMP: ["string", "number"],
}
_PROBLEMS = {
    "400": "The body or a parameter is unreadable.",
    "401": "No valid API key or access token.",
    "403": "The key may not send this source.",
    "408": "The request did not come whole in time.",
    "409": "The Idempotency-Key came before with another body.",
    "413": "Too many bytes (also after decompression) or events.",
    "415": "A media type or content coding that is not read.",
    "429": "More events than the key's rate allows, or too many requests without a valid key.",
    "431": "The request line and headers are too long.",
    "503": "Not durable now; send it again after Retry-After seconds.",
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["receipt_id", "received_at", "source", "accepted", "duplicate", "rejected"],
    "properties": {
        "receipt_id": {"type": "string"},
        "received_at": {"type": "string", "format": "date-time"},
        "source": {"type": "string"},
        "accepted": {"type": "integer", "minimum": 0},
        "duplicate": {"type": "integer", "minimum": 0},
        "rejected": {"type": "integer", "minimum": 0},
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "status"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "status": {"enum": ["accepted", "duplicate", "rejected"]},
                    "event_id": {"type": "string", "format": "uuid"},
                    "reasons": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "rule": {"type": "string"},
                                "field": {"type": ["string", "null"]},
                                "message": {"type": "string"},
                            },
                        },
                    },
                },
            },
        },
    },
}
_CORRECTION = (
    "A correction is an event of its own: it is answered once it is durable, the event's former "
    "values stay in the lake, and the last one to arrive holds. One of an event that never landed "
    "is kept in quarantine. Without another Idempotency-Key the same correction counts once."
)
_RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {
        "required": True,
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "integer", "minimum": 0},
    }
}
_MAY_BE_RETRIED = frozenset({"429", "503"})
_IDEMPOTENCY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and body get the same answer and receipt again.",
    "schema": {"type": "string", "maxLength": 255},
}


def openapi_document(registry: Registry, version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the edge for the sources in `registry`."""
    schemas = {"Answer": _ANSWER, "Problem": PROBLEM_SCHEMA}
    examples: dict[str, dict[str, Any]] = {}
    for source in registry:
        contract = registry[source]
        shapes = {f"{source}.{shape.name}": shape for shape in contract.shapes}
        for name, shape in shapes.items():
            schemas[name] = _shape_schema(contract, shape)
            examples[name] = {
                "summary": shape.description or name,
                "value": example(contract, shape),
            }
        schemas[source] = {
            "description": contract.description,
            "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in shapes],
        }
    source_parameter = {
        "name": "source",
        "in": "query",
        "required": True,
        "description": "The contract that describes the events.",
        "schema": {"enum": list(registry.sources)},
    }
    paths = {
        "/v1/events": {
            "post": _post("Post events of any source", registry.sources, examples, "202")
        },
        "/ingest": {"post": _post("Post mobile SDK events", ("mobile",), examples, "200")},
        "/stream": {"post": _post("Post smartwatch events", ("wearable",), examples, "200")},
        "/healthz": {"get": _plain("Whether the process runs", "text/plain", ())},
        "/readyz": {"get": _plain("What keeps it from accepting", "application/json", ("503",))},
        "/metrics": {"get": _plain("Prometheus metrics", "text/plain", ())},
    }
    paths["/v1/events"]["post"]["parameters"].insert(0, source_parameter)
    paths[PATH] = {
        method.lower(): _correction(method, registry.sources, examples, source_parameter)
        for method in METHODS
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Telemetry edge", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or an access token where an issuer is configured.",
                },
            },
        },
        "security": [{"apiKey": []}, {"bearer": []}],
    }


def example(contract: Contract, shape: Shape) -> dict[str, Any]:
    """Return one event of `shape` made of the contract's examples."""
    event: dict[str, Any] = {}
    for column in contract.fields:
        for path in column.paths:
            if path.shape == shape.name and column.examples and _consistent(event, path):
                _put(event, path.path, _example_value(column, path))
                if path.when is not None:
                    _put(event, *path.when)
                break
    return event


def _consistent(event: dict[str, Any], path: FieldPath) -> bool:
    """Whether no other field of the example has the place already."""
    node: Any = event
    for key in path.path:
        if not isinstance(node, dict) or key not in node:
            return True
        node = node[key]
    return False


def _example_value(column: Field, path: FieldPath) -> Any:  # noqa: ANN401
    value = column.examples[0]
    if column.logical_type is not LogicalType.TIMESTAMP:
        return value
    moment = datetime.fromisoformat(str(value))
    match path.time_format:
        case "iso8601":
            return value
        case "epoch_seconds":
            return moment.timestamp()
        case "epoch_millis":
            return int(moment.timestamp() * 1000)
        case pattern:
            return moment.strftime(pattern)


def _put(event: dict[str, Any], path: tuple[str, ...], value: Any) -> None:  # noqa: ANN401
    for key in path[:-1]:
        event = event.setdefault(key, {})
    event[path[-1]] = value


def _shape_schema(contract: Contract, shape: Shape) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {}, "description": shape.description}
    for column in contract.fields:
        for path in column.paths:
            if path.shape == shape.name:
                _put_schema(schema, path.path, _field_schema(column, path))
    for path in shape.requires:
        _require(schema, path)
    return schema


def _field_schema(column: Field, path: FieldPath) -> dict[str, Any]:
    unit = path.unit or column.unit
    text = f"{column.description} Unit: {unit}." if unit else column.description
    schema: dict[str, Any] = {"type": _JSON_TYPES[column.logical_type], "description": text}
    if column.enum:
        schema["examples"] = list(column.enum)
    return schema


def _put_schema(schema: dict[str, Any], path: tuple[str, ...], leaf: dict[str, Any]) -> None:
    for key in path[:-1]:
        schema = schema["properties"].setdefault(key, {"type": "object", "properties": {}})
        schema.setdefault("properties", {})
    schema["properties"].setdefault(path[-1], leaf)


def _require(schema: dict[str, Any], path: tuple[str, ...]) -> None:
    node = schema
    for key in path:
        required = node.setdefault("required", [])
        if key not in required:
            required.append(key)
        node = node.get("properties", {}).get(key, {})


def _post(
    summary: str, sources: tuple[str, ...], examples: dict[str, Any], success: str
) -> dict[str, Any]:
    one = {"anyOf": [{"$ref": f"#/components/schemas/{source}"} for source in sources]}
    shown = {name: value for name, value in examples.items() if name.split(".")[0] in sources}
    answer = {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "summary": summary,
        "description": (
            "One JSON object, a JSON array, or NDJSON; gzip, zstd and deflate are read. The answer "
            "comes after the events are durable. One wrong event never takes its batch down."
        ),
        "parameters": [dict(_IDEMPOTENCY)],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [one, {"type": "array", "items": one}]},
                    "examples": shown,
                },
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            success: {"description": "At least one event was not refused.", "content": answer},
            "422": {"description": "Every event was refused.", "content": answer},
            **{
                status: {
                    "description": text,
                    "content": problem,
                    **({"headers": _RETRY_AFTER} if status in _MAY_BE_RETRIED else {}),
                }
                for status, text in _PROBLEMS.items()
            },
        },
    }


def _correction(
    method: str,
    sources: tuple[str, ...],
    examples: dict[str, Any],
    source_parameter: dict[str, Any],
) -> dict[str, Any]:
    """Describe a correction by what a post and it have in common."""
    replaces = method == "PUT"
    found = _post("Replace an event" if replaces else "Delete an event", sources, examples, "202")
    event_id = {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "The event_id of the event's answer.",
        "schema": {"type": "string", "format": "uuid"},
    }
    found["parameters"] = [event_id, source_parameter, *found["parameters"]]
    found["description"] = _CORRECTION
    body, responses = found.pop("requestBody"), found["responses"]
    responses["202"]["description"] = "The correction is durable, or was before."
    del responses["422"]
    if replaces:
        responses["422"] = responses["400"] | {"description": "The event cannot be read."}
        content = body["content"]["application/json"]
        event = content | {"schema": content["schema"]["anyOf"][0]}
        found["requestBody"] = {"required": True, "content": {"application/json": event}}
    return found


def _plain(summary: str, media_type: str, failures: tuple[str, ...]) -> dict[str, Any]:
    responses = {
        status: {"description": summary, "content": {media_type: {}}}
        for status in ("200", *failures)
    }
    return {"summary": summary, "security": [], "responses": responses}
