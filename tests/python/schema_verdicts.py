"""Validates YAML documents against the schemas that `sluice schema` prints, with a validator and a YAML reader that are not Sluice's.

Reads a plan (JSON file): {"file": schema, "plugin": schema, "documents": [text, ...]}. Prints one JSON list: for each document null, or what
is wrong with it. A document is one plugin's file if no top-level field is one of sluice.yaml's.
"""

import json
import re
import sys

import jsonschema
import yaml


class Loader(yaml.SafeLoader):
    """YAML 1.2 as editors and Sluice read it: `on`, `off`, `yes` and `no` are texts, and so are dates."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag.rsplit(":", 1)[1] not in ("bool", "timestamp")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), ["t", "f"])


def verdict(plan, text):
    document = yaml.load(text, Loader)
    fields = set(document) if isinstance(document, dict) else set()
    is_plugin = bool(fields) and not fields & set(plan["file"]["properties"])
    schema = plan["plugin" if is_plugin else "file"]
    error = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(schema).iter_errors(document))
    return error and f"{error.json_path}: {error.message}"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    for name in ("file", "plugin"):
        jsonschema.Draft7Validator.check_schema(plan[name])
    print(json.dumps([verdict(plan, text) for text in plan["documents"]]))


main()
