"""
Policies as admins write them, turned into one `Policy`, with every mistake at its line and column.

The shape of a document lies in `policy_schema`; fetching the texts is an adapter's. See docs/policy.md for the meaning.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from webhook.documents import policy_merge, tree, yaml_text
from webhook.documents.mistake import Mistake, Position, field_path
from webhook.documents.policy_schema import PolicyPart, Written
from webhook.quota import resources
from webhook.quota.policy import Policy

Location = tuple[str | int, ...]

_NOTHING_SAID = "no policy in it; one that limits nobody says version: 1"

_WANTED = {
    "model_type": "expected fields, each with a value",
    "dict_type": "expected fields, each with a value",
    "list_type": "expected a list",
    "string_type": "expected text: write it in quotes",
    "too_short": "expected at least one",
}
"""What pydantic says of types is about Python's."""


@dataclass(frozen=True, slots=True)
class PolicyText:
    """One text to read. `source` is what people know it by: a file, or a ConfigMap and its key."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class PolicyReading:
    """
    What came of reading. `policy` is None as soon as there is one mistake: half a policy is never in force.

    `notes` are things that are right but do not count anything yet.
    """

    policy: Policy | None
    mistakes: tuple[Mistake, ...] = ()
    notes: tuple[Mistake, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacedPart:
    """A valid document, with the place of each of its fields."""

    part: PolicyPart
    source: str
    root: tree.Node = field(repr=False)

    def position(self, *location: str | int) -> Position:
        """Give where the field stands; the nearest one around it if it is not written out."""
        return _find(self.root, location)


def read_policy(texts: Iterable[PolicyText]) -> PolicyReading:
    """
    Read all *texts* as one policy; their order does not matter, what is defined twice is a mistake.

    No text at all is a policy that limits nobody. Texts that say nothing are a mistake: a policy that was emptied by
    accident must not lift every limit.
    """
    mistakes: list[Mistake] = []
    parts: list[PlacedPart] = []
    in_order = sorted(texts, key=lambda text: text.source)
    for each in in_order:
        roots, unreadable = yaml_text.read_documents(each.text, source=each.source)
        mistakes += unreadable
        for root in roots:
            if _is_empty(root):
                continue
            mistakes += _changed_words(root, each.source, ())
            try:
                part = PolicyPart.model_validate(_plain(root))
            except ValidationError as error:
                mistakes += _mistakes(error, root, each.source)
            else:
                parts.append(PlacedPart(part, each.source, root))
    if in_order and not parts and not mistakes:
        mistakes.append(Mistake(in_order[0].source, Position(1, 1), "", _NOTHING_SAID))
    merged = policy_merge.merge(parts)
    mistakes += merged.mistakes
    return PolicyReading(None if mistakes else merged.policy, _in_order(mistakes), _in_order(merged.notes))


def _in_order(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """As they stand in the texts: an editor jumps from one to the next."""
    return tuple(sorted(mistakes, key=lambda mistake: (mistake.source, mistake.position)))


def _changed_words(node: tree.Node, source: str, path: Location) -> Iterator[Mistake]:
    """Find what YAML turns into something else: a user `no` would silently become `false`, an amount `012` ten."""
    if isinstance(node, tree.Mapping):
        for entry in node.entries:
            if entry.key != entry.key_text:
                message = f"YAML reads {entry.key_text} as {entry.key} here: write it in quotes"
                yield Mistake(source, entry.key_position, field_path(path), message)
            yield from _changed_words(entry.value, source, (*path, entry.key))
    elif isinstance(node, tree.Sequence):
        for index, item in enumerate(node.items):
            yield from _changed_words(item, source, (*path, index))
    elif type(node.value) is int and node.text != str(node.value):
        message = f"YAML reads {node.text} as {node.value} here: write {node.value}"
        yield Mistake(source, node.position, field_path(path), message)


def _is_empty(root: tree.Node) -> bool:
    return isinstance(root, tree.Scalar) and root.value is None


def _plain(node: tree.Node) -> object:
    """The tree as pydantic wants it, with fractions as they were written."""
    if isinstance(node, tree.Mapping):
        return {entry.key: _plain(entry.value) for entry in node.entries}
    if isinstance(node, tree.Sequence):
        return [_plain(item) for item in node.items]
    return Written(node.text) if isinstance(node.value, float) else node.value


def _mistakes(error: ValidationError, root: tree.Node, source: str) -> Iterator[Mistake]:
    for each in error.errors(include_url=False):
        location: Location = each["loc"]
        is_key = bool(location) and location[-1] == "[key]"
        if is_key:
            location = location[:-1]
        position = _find(root, location, at_key=is_key or each["type"] == "extra_forbidden")
        yield Mistake(source, position, field_path(location), _message(each["type"], each["msg"], location))


def _message(kind: str, message: str, location: Location) -> str:
    last = str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        return "unknown field" + _suggestion(last, _fields_at(location[:-1]))
    if kind == "missing":
        return "this field is required"
    if kind in _WANTED:
        return _WANTED[kind]
    text = message.removeprefix("Value error, ")
    if text == "unknown resource":
        return text + _suggestion(last, resources.known_names())
    if location == ("version",):
        return "expected version: 1, the only one this release reads"
    return text[:1].lower() + text[1:]


def _suggestion(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _fields_at(location: Location) -> tuple[str, ...]:
    """Give the names of the fields that may stand at *location*, by walking the models."""
    model: object = PolicyPart
    for step in location:
        if isinstance(model, type) and issubclass(model, BaseModel):
            known = model.model_fields.get(str(step))
            model = known.annotation if known else None
        elif typing.get_origin(model) in (dict, list):
            model = typing.get_args(model)[-1]
        if isinstance(model, types.UnionType) or typing.get_origin(model) is typing.Union:
            model = next(choice for choice in typing.get_args(model) if choice is not type(None))
    return tuple(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else ()


def _find(root: tree.Node, location: Sequence[str | int], *, at_key: bool = False) -> Position:
    node, position = root, root.position
    for depth, step in enumerate(location):
        last = depth == len(location) - 1
        if isinstance(node, tree.Mapping):
            entry = next((each for each in node.entries if each.key == step), None)
            if entry is None:
                return position
            node = entry.value
            position = entry.key_position if last and at_key else node.position
        elif isinstance(node, tree.Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            position = node.position
        else:
            return position
    return position
