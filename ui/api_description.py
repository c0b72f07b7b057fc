"""Gradio's OpenAPI document, corrected: pictures as they are sent, and the statuses of refusals.

Gradio's own gives a picture as a text of a type that JSON Schema does not know, requires nothing,
and names no refusal of a call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

REFUSED = "Refused, with a sentence that says what to do"
# Where the request is no JSON, has no such address, is too large, of another type, or unfit.
OF_CALLS = (400, 413, 415, 422, 503)
OF_ANSWERS = (404,)
OF_UPLOADS = (400, 413, 422)
_SENTENCE = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "detail": {"type": "array", "items": {}}},
    "required": ["error"],
}


def corrected(document: str, endpoints: Mapping[str, Any]) -> str:
    """The document as JSON; `endpoints` are those of Gradio's /info, by name."""
    described: dict[str, Any] = json.loads(document)
    described["openapi"] = "3.1.0"  # whose schemas have `const`
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if path.endswith("/upload"):
                _refuse(operation, OF_UPLOADS)
            elif method == "get":
                _refuse(operation, OF_ANSWERS)
            else:
                name = path.rpartition("/")[2]
                _take(operation, endpoints[f"/{name}"]["parameters"])
                operation["summary"] = endpoints[f"/{name}"]["description"]
                _refuse(operation, OF_CALLS)
    return json.dumps(described, ensure_ascii=False)


def _refuse(operation: dict[str, Any], statuses: tuple[int, ...]) -> None:
    content = {"application/json": {"schema": _SENTENCE}}
    for status in statuses:
        operation["responses"][str(status)] = {"description": REFUSED, "content": content}


def _take(operation: dict[str, Any], parameters: list[dict[str, Any]]) -> None:
    """What a call's body holds, as /info says it, with an example that is answered."""
    fields, required, example = {}, [], {}
    for each in parameters:
        name = each["parameter_name"]
        fields[name] = {**each["type"], "title": each["label"]}
        fields[name].pop("additional_description", None)
        if each["parameter_has_default"]:
            fields[name]["default"] = each["parameter_default"]
        else:
            required.append(name)
            example[name] = each["example_input"]
    schema = {"type": "object", "properties": fields, "additionalProperties": False}
    body = operation["requestBody"]["content"]["application/json"]
    body["schema"] = schema | ({"required": required} if required else {})
    body["example"] = example
    body.pop("examples", None)
