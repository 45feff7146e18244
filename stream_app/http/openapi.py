"""The OpenAPI 3.1 description of the routes. A test holds it and the routes together."""

from importlib.metadata import version
from typing import Any

_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": ["string", "integer"], "description": "Names the event: for late labels, and against repeats."},
        "ts": {"type": ["number", "string"], "description": "Event time: Unix seconds, or ISO 8601."},
        "label": {"description": "What came true; absent while it is not known."},
        "weight": {"type": "number", "minimum": 0, "maximum": 1e9},
        "features": {"type": "object", "description": "Namespaces of features; a value directly here has none."},
        "shared": {"type": "object", "description": "Bandits: features of the context."},
        "actions": {"type": "array", "items": {"type": "object"}, "description": "Bandits: features of each action."},
    },
}
_ERROR = {
    "description": "What is wrong, and with which field.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["code", "message", "field"],
                        "properties": {
                            "code": {"type": "string"},
                            "message": {"type": "string"},
                            "field": {"type": ["string", "null"]},
                        },
                    }
                },
            }
        }
    },
}
_ID: dict[str, Any] = {
    "type": "string",
    "description": "sha256.<hex>, or any unique prefix of 8 or more hex digits.",
}
_HOLE: dict[str, Any] = {
    "type": "object",
    "required": ["partition", "first", "last", "why"],
    "properties": {
        "partition": {"type": "integer", "minimum": 0},
        "first": {"type": "integer", "minimum": 0},
        "last": {"type": "integer", "minimum": 1, "description": "Exclusive."},
        "why": {"type": "string"},
    },
}
_ROLLBACK: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": _ID,
        "replay": {"type": "boolean", "default": False},
        "except": {"type": "array", "items": _HOLE, "default": []},
    },
}
_LABEL: dict[str, Any] = {
    "type": "object",
    "required": ["id", "label"],
    "additionalProperties": False,
    "properties": {"id": {"type": ["string", "integer"]}, "label": {}},
}


def document() -> dict[str, Any]:
    """The whole document."""
    events = {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]}
    changing: dict[str, Any] = {"security": [{"token": []}]}
    explain = _query("explain", "1: add what each feature contributed", {"enum": ["0", "1"]})
    event_id = _query("id", "Remember the features under this id", {"type": "string"})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weir", "version": version("weir"), "description": "Online learning on a stream."},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "paths": {
            "/predict": {"post": _operation("Predict, live model", 200, events, parameters=[explain, event_id])},
            "/events": {"post": _operation("Append events, durably", 202, events) | changing},
            "/labels": {"post": _operation("Label an event that was predicted", 202, _LABEL) | changing},
            "/checkpoints": {
                "get": _operation("List the checkpoints, newest first", 200),
                "post": _operation("Take a checkpoint now", 201) | changing,
            },
            "/checkpoints/{id}": {
                "get": _operation("Show a checkpoint, verified", 200, parameters=[_path("id", _ID)]),
            },
            "/rollback": {"post": _operation("Go back to a checkpoint", 200, _ROLLBACK) | changing},
            "/status": {"get": _operation("The state in one object", 200)},
            "/progress": {"get": _operation("The progressive table and all figures", 200)},
            "/progress/stream": {"get": _operation("The status once a second, as server-sent events", 200)},
            "/dead-letters": {
                "get": _operation(
                    "The latest events that could not be learnt", 200,
                    parameters=[_query("limit", "How many", {"type": "integer", "minimum": 1, "maximum": 10_000})],
                ),
            },
            "/metrics": {"get": _operation("Figures for Prometheus", 200)},
            "/health/live": {"get": _operation("The process answers", 200)},
            "/health/ready": {"get": _operation("The model is restored and sound; 503 otherwise", 200)},
            "/": {"get": _operation("The page a person looks at", 200)},
            "/openapi.json": {"get": _operation("This document", 200)},
        },
    }  # fmt: skip


def _operation(
    summary: str, status: int, body: dict[str, Any] | None = None, parameters: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {str(status): {"description": "Done."}, "4XX": _ERROR, "5XX": _ERROR},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}
