"""
What pydantic says of a document, as mistakes at their line and column, in words that name no types of Python.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from webhook.documents import preset_files, tree
from webhook.documents.mark_schema import NAME_ERROR, Written
from webhook.documents.mistake import Mistake, field_path
from webhook.kinds.registry import KINDS
from webhook.quota import resources, scopes
from webhook.quota.delegation import PRESETS
from webhook.quota.missing import NAMES, Missing

Location = tuple[str | int, ...]

_WANTED = {
    "model_type": "expected fields, each with a value",
    "dict_type": "expected fields, each with a value",
    "list_type": "expected a list",
    "string_type": "expected text: write it in quotes",
    "bool_type": "expected true or false",
    "too_short": "expected at least one",
}
"""By pydantic's type of error, whose own messages name Python's types."""

_OF_NAMES = frozenset({"extra_forbidden", NAME_ERROR})
"""Pydantic's types of errors in the name of a field, and not in its value."""


def changed_words(node: tree.Node, source: str, path: Location) -> Iterator[Mistake]:
    """Yield a mistake for each word that YAML changes: a user `no` would become `false`, an amount `012` ten."""
    if isinstance(node, tree.Mapping):
        for entry in node.fields.values():
            if entry.key != entry.key_text:
                message = f"YAML reads {entry.key_text} as {entry.key} here: write it in quotes"
                yield Mistake(source, entry.key_position, field_path(path), message)
            yield from changed_words(entry.value, source, (*path, entry.key))
    elif isinstance(node, tree.Sequence):
        for index, item in enumerate(node.items):
            yield from changed_words(item, source, (*path, index))
    elif type(node.value) is int and node.text != str(node.value):
        message = f"YAML reads {node.text} as {node.value} here: write {node.value}"
        yield Mistake(source, node.position, field_path(path), message)


def plain_values(node: tree.Node) -> object:
    """Return the tree as plain values for pydantic, with fractions as they were written."""
    if isinstance(node, tree.Mapping):
        return {entry.key: plain_values(entry.value) for entry in node.fields.values()}
    if isinstance(node, tree.Sequence):
        return [plain_values(item) for item in node.items]
    return Written(node.text) if isinstance(node.value, float) else node.value


def mistakes_of(
    error: ValidationError, root: tree.Node, source: str, model: type[BaseModel], *, around: Location = ()
) -> Iterator[Mistake]:
    """
    Yield what pydantic says is wrong with the tree *root*, each at its place; *around* is its path in *model*.

    Of a field whose name is wrong the value is not judged: it is one of another field.
    """
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    misnamed = {each["loc"] for each in errors if each["type"] in _OF_NAMES}
    for each in errors:
        steps: Location = each["loc"]
        inside = len(steps) if each["type"] in _OF_NAMES else len(steps) + 1
        if any(steps[:length] in misnamed for length in range(1, inside)):
            continue
        is_key = bool(steps) and steps[-1] == "[key]"
        if is_key:
            steps = steps[:-1]
        position = tree.position_of(root, steps, at_key=is_key or each["type"] in _OF_NAMES)
        location = (*around, *steps)
        yield Mistake(source, position, field_path(location), _message(each["type"], each["msg"], location, model))


def _message(kind: str, message: str, location: Location, model: type[BaseModel]) -> str:
    last = str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        return "unknown field" + _right_field(last, _fields_at(model, location[:-1]))
    if kind == "missing":
        return "this field is required"
    if kind in _WANTED:
        return _WANTED[kind]
    text = message.removeprefix("Value error, ")
    if text.startswith("unknown "):
        return text + suggestion(*_unknown(text, last))
    if location == ("version",):
        return "expected version: 1, the only one this release reads"
    return text[:1].lower() + text[1:]


def _unknown(text: str, last: str) -> tuple[str, Sequence[str]]:
    """Return the unknown name and those that are known: a resource is a key, a scope or a word stands in the *text*."""
    if text == "unknown request or limit":
        return last, tuple(NAMES)
    known_names = {
        "scope": scopes.KNOWN,
        "word": tuple(each.value for each in Missing),
        "preset": tuple(PRESETS),
        "session preset": preset_files.names(),
        "kind": tuple(sorted(each.resource for each in KINDS)),
    }
    for kind, known in known_names.items():
        name = text.removeprefix(f"unknown {kind} ")
        if name != text:
            return name, known
    for meant in (last.lower(), last.removeprefix("requests.").removeprefix("limits.")):
        if resources.canonical_name(meant) is not None:
            return meant, (meant,)
    return last, resources.known_names()


def _right_field(name: str, fields: Sequence[str]) -> str:
    if "hard" in fields and resources.canonical_name(name) is not None:
        return f"; a limit belongs under hard, as in hard: {{{name}: ...}}"
    if "displayName" in fields and "/" in name:
        return "; what a device counts belongs under gpu or accelerator"
    return suggestion(name, fields)


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return what may be meant by an unknown *name*, in words that follow it."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _fields_at(root: type[BaseModel], location: Location) -> tuple[str, ...]:
    """Return the names of the fields that may stand at *location*, by walking the models from *root*."""
    model: object = root
    for step in location:
        if isinstance(model, type) and issubclass(model, BaseModel):
            known = _by_name(model).get(str(step))
            model = known.annotation if known else _of_other_names(model)
        elif typing.get_origin(model) in (dict, list):
            model = typing.get_args(model)[-1]
        if typing.get_origin(model) is typing.Annotated:
            model = typing.get_args(model)[0]
        if isinstance(model, types.UnionType) or typing.get_origin(model) is typing.Union:
            model = next(choice for choice in typing.get_args(model) if choice is not type(None))
    return tuple(_by_name(model)) if isinstance(model, type) and issubclass(model, BaseModel) else ()


def _of_other_names(model: type[BaseModel]) -> object:
    """Return what a model takes under other names than those of its fields, None if it takes none."""
    if model.model_config.get("extra") != "allow":
        return None
    return typing.get_args(typing.get_type_hints(model)["__pydantic_extra__"])[-1]


def _by_name(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields by the names that a text has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
