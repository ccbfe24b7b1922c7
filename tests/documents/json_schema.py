"""As much of JSON Schema (draft 7) as the schema of a policy has; any other word of it is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Json = Any

_TYPES: dict[str, Callable[[Json], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_ANNOTATIONS = frozenset({"$schema", "title", "description", "definitions"})


def refused(schema: Json, value: Json, root: Json | None = None, path: str = "") -> Iterator[str]:
    """Yield where *schema* refuses *value*, and by which word."""
    root = schema if root is None else root
    if "$ref" in schema:  # beside it nothing counts
        yield from refused(root["definitions"][schema["$ref"].removeprefix("#/definitions/")], value, root, path)
        return
    for word, said in schema.items():
        if word in _ANNOTATIONS:
            continue
        if word not in _WORDS:
            raise ValueError(f"{word} is not known here")
        yield from _WORDS[word](said, value, schema, root, path)


def _type(said: Json, value: Json, *rest: Json) -> Iterator[str]:
    if not any(_TYPES[each](value) for each in ([said] if isinstance(said, str) else said)):
        yield f"{rest[-1]}: type"


def _enum(said: Json, value: Json, *rest: Json) -> Iterator[str]:
    if not any(type(each) is type(value) and each == value for each in said):
        yield f"{rest[-1]}: enum"


def _const(said: Json, value: Json, *rest: Json) -> Iterator[str]:
    yield from (each.replace("enum", "const") for each in _enum([said], value, *rest))


def _pattern(said: Json, value: Json, *rest: Json) -> Iterator[str]:
    if isinstance(value, str) and not re.search(said, value):
        yield f"{rest[-1]}: pattern"


def _most_items(said: Json, value: Json, *rest: Json) -> Iterator[str]:
    if isinstance(value, list) and len(value) > said:
        yield f"{rest[-1]}: too many"


def _minimum(said: Json, value: Json, *rest: Json) -> Iterator[str]:
    if _TYPES["number"](value) and value < said:
        yield f"{rest[-1]}: minimum"


def _length(said: Json, value: Json, *rest: Json) -> Iterator[str]:
    if isinstance(value, dict | list) and len(value) < said:
        yield f"{rest[-1]}: too few"


def _any_of(said: Json, value: Json, schema: Json, root: Json, path: str) -> Iterator[str]:
    if not any(not list(refused(each, value, root, path)) for each in said):
        yield f"{path}: anyOf"


def _items(said: Json, value: Json, schema: Json, root: Json, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from refused(said, each, root, f"{path}[{index}]")


def _properties(said: Json, value: Json, schema: Json, root: Json, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name in value.keys() & said.keys():
            yield from refused(said[name], value[name], root, f"{path}.{name}")


def _names(said: Json, value: Json, schema: Json, root: Json, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name in value:
            yield from (f"{each} of a name" for each in refused(said, name, root, f"{path}.{name}"))


def _others(said: Json, value: Json, schema: Json, root: Json, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name in value.keys() - schema.get("properties", {}).keys():
            if said is False:
                yield f"{path}.{name}: unknown"
            elif said is not True:
                yield from refused(said, value[name], root, f"{path}.{name}")


def _required(said: Json, value: Json, *rest: Json) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{rest[-1]}.{name}: required" for name in said if name not in value)


_WORDS: dict[str, Callable[..., Iterator[str]]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "minimum": _minimum,
    "minItems": _length,
    "maxItems": _most_items,
    "minProperties": _length,
    "anyOf": _any_of,
    "items": _items,
    "properties": _properties,
    "propertyNames": _names,
    "additionalProperties": _others,
    "required": _required,
}
