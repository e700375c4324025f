"""OpenAI's own schemas, read as ../../openapi/README.md says."""

import json
import pathlib

import jsonschema_rs

FILE = pathlib.Path(__file__).resolve().parents[2] / "openapi/openai.json"
REQUESTS = {"openai-chat": "CreateChatCompletionRequest", "openai-responses": "CreateResponse"}
REPLIES = {"openai-chat": "CreateChatCompletionResponse", "openai-responses": "Response"}
EVENTS = {"openai-chat": "CreateChatCompletionStreamResponse"}


class Schemas:
    def __init__(self):
        document = json.loads(FILE.read_text())["components"]["schemas"]
        self.inputs = {name: read(schema, ("strict", "id")) for name, schema in document.items()}
        self.outputs = {name: read(schema, ("strict",)) for name, schema in document.items()}
        self.validators = {}
        # Events by their type: of a union of all, a complaint says nothing.
        found = (alternative["$ref"].rsplit("/", 1)[1] for alternative in document["ResponseStreamEvent"]["anyOf"])
        self.events = {kind: name for name in found for kind in document[name]["properties"]["type"]["enum"]}

    def validator(self, which, name):
        key = (which, name)
        if key not in self.validators:
            whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": getattr(self, which)}}
            self.validators[key] = jsonschema_rs.Draft202012Validator(whole)
        return self.validators[key]

    def request(self, dialect, body):
        return complaint(self.validator("inputs", REQUESTS[dialect]), body)

    def reply(self, dialect, body):
        return complaint(self.validator("outputs", REPLIES[dialect]), body)

    def event(self, dialect, body):
        name = self.events[body["type"]] if dialect == "openai-responses" else EVENTS[dialect]
        return complaint(self.validator("outputs", name), body)


def complaint(validator, body):
    """What is wrong, deepest first: of the alternatives that do not fit, the nearest one says it best."""
    if validator.is_valid(body):
        return None
    return "; ".join(f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}" for error in validator.iter_errors(body))[:900]


def read(schema, optional):
    if isinstance(schema, list):
        return [read(item, optional) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {}
    for key, value in schema.items():
        if key == "oneOf":
            out.setdefault("anyOf", []).extend(read(value, optional))
        elif key == "anyOf":
            out.setdefault("anyOf", []).extend(read(value, optional))
        elif key == "required" and isinstance(value, list):
            out[key] = [name for name in value if name not in optional]
        elif key == "properties":
            out[key] = {name: read(item, optional) for name, item in value.items()}
        elif key not in ("discriminator", "nullable", "$recursiveAnchor", "$recursiveRef"):
            out[key] = read(value, optional)
    if "$recursiveRef" in schema:
        # Filters in filters: any object.
        out["type"] = "object"
    return {"anyOf": [out, {"type": "null"}]} if schema.get("nullable") is True else out
