"""
The JSON Schema of a policy, made of the models that read it: editors complete fields by it, and mark what is wrong.

It refuses nothing that is valid. What depends on more than one field it does not know; `policy_text` does.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from webhook.documents import json_forms
from webhook.documents.policy_schema import PolicyPart

_DRAFT = "http://json-schema.org/draft-07/schema#"
"""The one that all editors know."""

_DEFINITIONS = "#/definitions/"
_LISTS = {"HardList": json_forms.HARD_LIST, "SessionList": json_forms.SESSION_LIST}
_LEFT_OUT = frozenset({"title", "default"})
"""Names of Python's classes, and what follows from leaving a field out: editors would write that into the document."""

_NAMED = frozenset({"properties", "definitions"})
"""What has names of the document for keys, and not words of JSON Schema."""


class _Generator(GenerateJsonSchema):
    def dict_schema(self, schema: Any) -> JsonSchemaValue:  # its type is of a package of pydantic's own
        """Return the form of a mapping, of whose keys pydantic would let any other one pass."""
        names = self.generate_inner(schema["keys_schema"])
        form: JsonSchemaValue = {"type": "object", "propertyNames": names}
        form["additionalProperties"] = self.generate_inner(schema["values_schema"])
        if "min_length" in schema:
            form["minProperties"] = schema["min_length"]
        return form


def policy_json_schema() -> dict[str, Any]:
    """Return the schema of one document of a policy."""
    template = f"{_DEFINITIONS}{{model}}"
    made = PolicyPart.model_json_schema(ref_template=template, schema_generator=_Generator)
    definitions = made.pop("$defs")
    schema: dict[str, Any] = _tidied(made)
    named = {_short(name): _tidied(each) for name, each in definitions.items()}
    schema["definitions"] = dict(sorted({**named, **_LISTS}.items()))
    return {"$schema": _DRAFT, "title": "userquota policy", **schema}


def _tidied(node: Any, *, is_named: bool = False) -> Any:
    """Return a schema without the names of Python's classes, and with one definition for what comes again and again."""
    if isinstance(node, list):
        return [_tidied(each) for each in node]
    if not isinstance(node, dict):
        return node
    if is_named:
        return {name: _shown(_tidied(each)) for name, each in node.items()}
    tidied = {name: _tidied(each, is_named=name in _NAMED) for name, each in node.items() if name not in _LEFT_OUT}
    for name, form in _LISTS.items():
        if tidied | {"description": form["description"]} == form:
            return {"$ref": _DEFINITIONS + name, "description": tidied["description"]}
    if "$ref" in tidied:
        tidied["$ref"] = _DEFINITIONS + _short(tidied["$ref"].removeprefix(_DEFINITIONS))
    if "description" in tidied:
        tidied["description"] = " ".join(tidied["description"].split())
    return tidied


def _shown(field: JsonSchemaValue) -> JsonSchemaValue:
    """
    Return the form of a field so that editors show its description, and not that of its type.

    They take the first of those that are innermost: of an alternative before that of the field. A validator of draft 7
    reads nothing beside a reference; editors do.
    """
    if "anyOf" not in field or "description" not in field:
        return field
    alternatives = [
        each | {"description": field["description"]}
        if "$ref" in each
        else {word: said for word, said in each.items() if word != "description"}
        for each in field["anyOf"]
    ]
    return {**field, "anyOf": alternatives}


def _short(name: str) -> str:
    """Return the name of a definition: that of its class, with its module where two have the same."""
    *modules, own = name.split("__")
    return "".join((*(each.capitalize() for each in modules[-1:]), own.removeprefix("_")))
