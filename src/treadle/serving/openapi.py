"""The description of the server's interface, written from the bundle's schema: OpenAPI 3.1, and a page to read."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from html import escape
from typing import Any

from treadle import __version__
from treadle.bundle import Predictor
from treadle.experiment.spec import Column

Schema = dict[str, Any]

_TYPES: dict[str, Schema] = {
    "int": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "str": {"type": "string"},
    "text": {"type": "string"},
    "image": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/*"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
}
_OUTPUTS: dict[str, Schema] = {"String": {"type": "string"}, "Boolean": {"type": "boolean"}}  # others are numbers
_PROBLEM: Schema = {
    "type": "object",
    "required": ["row", "column", "value", "rule"],
    "properties": {
        "row": {"type": "integer", "description": "Position of the row, from 0"},
        "column": {"type": ["string", "null"]},
        "value": {"type": ["string", "null"]},
        "rule": {"type": "string"},
    },
}
_PROBLEMS: Schema = {"type": "array", "items": {"$ref": "#/components/schemas/Problem"}}
_FAULTS = {
    "400": "The body is no JSON, or not of this form",
    "401": "The token is missing or wrong",
    "408": "The body did not arrive in time",
    "413": "More rows, or a larger body, than the limits allow",
    "422": "Some rows have no prediction: `errors` says why, the others have theirs",
    "500": "The server has failed; its log says how",
    "503": "Too many rows are waiting; ask again later",
    "504": "There was no answer in time",
}


def describe(
    bundle: Predictor,
    *,
    model: str,
    digest: str,
    outputs: Mapping[str, Any],
    protocols: Collection[str],
    secured: bool,
    feeds: Mapping[str, Mapping[str, Column]],
    raw: Mapping[str, Column],
) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        bundle: that answers.
        model: its name.
        digest: of the bundle.
        outputs: names and types of what is predicted.
        protocols: that are spoken.
        secured: whether a token is needed.
        feeds: columns of the tables whose events are taken.
        raw: columns of the rows that are completed from events; empty: none is.
    """
    paths = {}
    schemas = _make_schemas(bundle, outputs)
    if raw:
        schemas["RawRow"] = _describe_raw(raw)
    if "rows" in protocols:
        kinds = [{"$ref": f"#/components/schemas/{kind}"} for kind in ("Row", "RawRow") if kind in schemas]
        body = {"anyOf": [*kinds, {"type": "array", "items": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}]}
        paths["/predict"] = _post("Predict a row, or a list of rows", body, "Predictions")
    if "oip" in protocols:
        paths[f"/v2/models/{model}/infer"] = _post("Open Inference Protocol V2", {"type": "object"}, None)
        paths[f"/v2/models/{model}"] = _get("Metadata of the model")
    if "mlflow" in protocols:
        paths["/invocations"] = _post("MLflow's protocol", {"type": "object"}, None)
    paths |= {"/health/live": _get("Whether the server runs"), "/health/ready": _get("Whether it answers requests")}
    paths["/metrics"] = _get("Metrics of Prometheus", content="text/plain")
    for feed, columns in feeds.items():
        schemas[f"Event_{feed}"] = _describe_raw(columns)
        event = {"$ref": f"#/components/schemas/Event_{feed}"}
        paths[f"/events/{feed}"] = _describe_events(feed, event)
    if feeds:
        paths["/events"] = _get("How many events were taken, and the newest of each table")
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": model, "version": digest[:12], "description": f"Served by Treadle {__version__}"},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if secured:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _make_schemas(bundle: Predictor, outputs: Mapping[str, Any]) -> Schema:
    text = {"type": "string"}
    prediction = {
        "type": "object",
        "required": list(outputs),
        "properties": {name: _OUTPUTS.get(str(dtype), {"type": "number"}) for name, dtype in outputs.items()},
    }
    answer = {
        "type": "object",
        "required": ["id", "model", "bundle", "predictions"],
        "properties": {
            **dict.fromkeys(("id", "model", "bundle"), text),
            "bundles": {"type": "array", "items": text, "description": "Which bundle answered each row of a split"},
            "predictions": {"type": "array", "items": {"anyOf": [prediction, {"type": "null"}]}},
            "errors": _PROBLEMS,
            "warnings": _PROBLEMS,
        },
    }
    fault = {"type": "object", "required": ["error"], "properties": {"error": text}}
    return {"Row": _describe_rows(bundle.columns), "Predictions": answer, "Problem": _PROBLEM, "Fault": fault}


def _describe_rows(columns: Mapping[str, Column]) -> Schema:
    properties = {name: _describe_column(column) for name, column in columns.items()}
    return {"type": "object", "required": list(columns), "properties": properties}


def _describe_raw(columns: Mapping[str, Column]) -> Schema:
    """Rows of a table as they come: a column that may be missing may be absent."""
    return _describe_rows(columns) | {"required": [name for name, column in columns.items() if not column.nullable]}


def _describe_events(feed: str, event: Schema) -> Schema:
    body = {"anyOf": [event, {"type": "array", "items": event}]}
    operation = _post(
        f"Take an event of {feed}, or a list of them: all, or none where one breaks the contract", body, None
    )
    count = {"type": "integer", "minimum": 0}
    taken = {
        "type": "object",
        "required": ["taken"],
        "properties": {**dict.fromkeys(("taken", "late", "never_known"), count), "errors": _PROBLEMS},
    }
    answers = operation["post"]["responses"]
    for code, text in (("200", "They are taken"), ("422", "None is taken: `errors` says why")):
        answers[code] = {"description": text, "content": {"application/json": {"schema": taken}}}
    answers["503"]["description"] = "The log of events is out of reach, or too many requests wait; ask again later"
    return operation


def _describe_column(column: Column) -> Schema:
    schema = dict(_TYPES[column.dtype])
    if column.dtype in {"int", "float"}:
        schema |= {key: value for key, value in (("minimum", column.min), ("maximum", column.max)) if value is not None}
    if column.allowed is not None:
        schema["enum"] = list(column.allowed)
    return {"anyOf": [schema, {"type": "null"}]} if column.nullable else schema


def _post(summary: str, body: Schema, answer: str | None) -> Schema:
    given = {"$ref": f"#/components/schemas/{answer}"} if answer else {"type": "object"}
    fault = {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}}
    faults = {code: {"description": text, "content": fault} for code, text in _FAULTS.items()}
    faults["422"] = {"description": _FAULTS["422"], "content": {"application/json": {"schema": given}}}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {
                "200": {"description": "Predictions", "content": {"application/json": {"schema": given}}},
                **faults,
            },
        }
    }


def _get(summary: str, *, content: str = "application/json") -> Schema:
    return {"get": {"summary": summary, "responses": {"200": {"description": summary, "content": {content: {}}}}}}


def make_example(bundle: Predictor) -> dict[str, Any]:
    """A row that the contract allows, where its bounds say enough."""
    return {name: _make_value(column) for name, column in bundle.columns.items()}


def _make_value(column: Column) -> Any:
    if column.allowed:
        return column.allowed[0]
    if column.dtype in {"int", "float"}:
        return column.min if column.min is not None else column.max or 0
    plain = {
        "bool": True,
        "str": "…",
        "text": "…",
        "image": "iVBORw0KGgo…",
        "date": "2024-01-31",
        "datetime": "2024-01-31T13:45:00",
        "time": "13:45:00",
    }
    return plain[column.dtype]


def write_page(document: Mapping[str, Any], *, example: Mapping[str, Any]) -> str:
    """A page that needs nothing from elsewhere: each path, the columns of a row, and a request to copy."""
    info, schemas = document["info"], document["components"]["schemas"]
    paths = "".join(
        f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{escape(operation['summary'])}</td></tr>"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    columns = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td><code>{escape(json.dumps(schema))}</code></td></tr>"
        for name, schema in schemas["Row"]["properties"].items()
    )
    path = next(iter(document["paths"]))
    command = f"curl -H 'content-type: application/json' $SERVER{path} -d '{json.dumps(example, ensure_ascii=False)}'"
    return _PAGE.format(
        title=escape(info["title"]),
        version=escape(info["version"]),
        paths=paths,
        columns=columns,
        command=escape(command),
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }}
table {{ border-collapse: collapse }}
td {{ border-top: 1px solid #ccc; padding: .3rem 1rem .3rem 0; vertical-align: top }}
pre {{ background: #f4f4f4; padding: 1rem; white-space: pre-wrap }} @media (prefers-color-scheme: dark) {{
body {{ background: #111; color: #eee }} pre {{ background: #222 }} td {{ border-color: #444 }} a {{ color: #8cf }} }}
</style></head><body>
<h1>{title}</h1><p>Bundle {version}. For programs: <a href="/openapi.json">OpenAPI</a>.</p>
<h2>Paths</h2><table>{paths}</table>
<h2>A request</h2><pre>{command}</pre>
<h2>Columns of a row</h2><table>{columns}</table>
</body></html>
"""
