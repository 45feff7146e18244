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
_DEPLOY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "action": {"enum": ["deploy", "back", "add", "remove", "hold"], "default": "deploy"},
        "model": {"type": "string", "description": "An id or prefix, `live`, or `newest` to deploy."},
        "weight": {"type": "number", "description": "Share of a candidate; without it, `add` adds a shadow."},
        "why": {"type": "string"},
        "who": {"type": "string"},
        "figures": {"type": "object"},
    },
}


def document() -> dict[str, Any]:
    """The whole document."""
    events = {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]}
    changing: dict[str, Any] = {"security": [{"token": []}]}
    explain = _query("explain", "1: add what each field and feature contributed, and reasons", {"enum": ["0", "1"]})
    tag = _path("tag", {"type": "string"})
    keep = _query("keep", "0: only try; nothing is kept or counted", {"enum": ["0", "1"]})
    unit = _query("unit", "Stays with its model where there are candidates; default: id", {"type": "string"})
    event_id = _query("id", "Keep the prediction under this id", {"type": "string"})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weir", "version": version("weir"), "description": "Online learning on a stream."},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "paths": {
            "/predict": {"post": _operation("Predict, live model", 200, events, parameters=[explain, keep, event_id])},
            "/events": {"post": _operation("Append events, durably", 202, events) | changing},
            "/events/latest": {"get": _operation("The event that was learnt last", 200) | changing},
            "/labels": {"post": _operation("Label an event that was predicted", 202, _LABEL) | changing},
            "/model/{id}/predict": {
                "post": _operation("Predict, a stored model", 200, events, [_path("id", _ID), explain, keep, event_id])
            },
            "/tag/{tag}/predict": {
                "post": _operation("Predict, what a tag points at", 200, events, [tag, explain, keep, event_id, unit])
            },
            "/predictions": {
                "get": _operation("The newest predictions", 200, parameters=[_limit(1_000)]) | changing,
            },
            "/predictions/{id}": {
                "get": _operation("What was predicted under an id", 200, parameters=[_path("id", {"type": "string"})])
                | changing,
            },
            "/tags": {"get": _operation("List the tags", 200)},
            "/tags/{tag}": {
                "get": _operation("What a tag points at", 200, parameters=[tag]),
                "post": _operation("Deploy, go back, add or remove", 200, _DEPLOY, [tag]) | changing,
            },
            "/shadows": {
                "get": _operation(
                    "What the shadows saw and said", 200,
                    parameters=[_query("over", "Over the last so many labelled events", {"type": "integer"})],
                )
            },
            "/value": {"get": _operation("What the decisions earned; 404 where no money is set", 200)},
            "/tags/{tag}/history": {"get": _operation("What was deployed when, newest first", 200, parameters=[tag])},
            "/checkpoints": {
                "get": _operation("List the checkpoints, newest first", 200),
                "post": _operation("Take a checkpoint now", 201) | changing,
            },
            "/checkpoints/{id}": {
                "get": _operation("Show a checkpoint, verified", 200, parameters=[_path("id", _ID)]),
            },
            "/checkpoints/{id}/diff/{other}": {
                "get": _operation(
                    "What is different in the second one", 200, parameters=[_path("id", _ID), _path("other", _ID)]
                ),
            },
            "/checkpoints/{id}/importance": {
                "get": _operation(
                    "What a model goes by, by field and feature", 200,
                    parameters=[
                        _path("id", _ID),
                        _query("since", "Another checkpoint: add what has changed since", _ID),
                        _query("top", "So many of each; default 20", {"type": "integer", "minimum": 1}),
                    ],
                ),
            },
            "/rollback": {"post": _operation("Go back to a checkpoint", 200, _ROLLBACK) | changing},
            "/status": {"get": _operation("The state in one object", 200)},
            "/progress": {"get": _operation("The progressive table and all figures", 200)},
            "/progress/curves": {"get": _operation("Distributions, ROC, precision and recall, calibration", 200)},
            "/progress/stream": {"get": _operation("The status once a second, as server-sent events", 200)},
            "/watch": {"get": _operation("What the page shows: rows over time, and the last frame", 200)},
            "/watch/stream": {"get": _operation("A frame a second, as server-sent events", 200)},
            "/dead-letters": {
                "get": _operation(
                    "The latest events that could not be learnt", 200,
                    parameters=[_limit(10_000)],
                ),
            },
            "/alerts": {"get": _operation("What the rules say, and what has changed lately", 200)},
            "/metrics": {"get": _operation("Figures for Prometheus", 200)},
            "/health/live": {"get": _operation("The process answers", 200)},
            "/health/ready": {"get": _operation("The model is restored and sound; 503 otherwise", 200)},
            "/assets/{name}": {
                "get": _operation("A file of the page", 200, parameters=[_path("name", {"type": "string"})])
            },
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


def _limit(most: int) -> dict[str, Any]:
    return _query("limit", "How many", {"type": "integer", "minimum": 1, "maximum": most})


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}
