"""
Policies as admins write them, turned into one `Policy`, with every mistake at its line and column.

The shape of a document is in `policy_schema`; where the texts come from is in `policy_source`. For the meaning see
docs/policy.md.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from webhook.documents import preset_files, tree, yaml_text
from webhook.documents.limit_notes import DeviceLimit, Ending
from webhook.documents.mark_schema import Written
from webhook.documents.mistake import Mistake, Position, field_path
from webhook.documents.policy_entries import DocumentEntries
from webhook.documents.policy_merge import Merger
from webhook.documents.policy_schema import SECTIONS, PolicyPart
from webhook.documents.tree_builder import SectionField
from webhook.kinds.registry import KINDS
from webhook.quota import resources, scopes
from webhook.quota.delegation import PRESETS
from webhook.quota.missing import NAMES, Missing
from webhook.quota.policy import Policy

Location = tuple[str | int, ...]
T = TypeVar("T")

_NOTHING_SAID = "no policy in it; one that limits nobody says version: 1"

_MOST_COMPARED = 20
"""Fields of a document that may be misspelt ones of a policy. One that is no policy may have thousands."""

_WANTED = {
    "model_type": "expected fields, each with a value",
    "dict_type": "expected fields, each with a value",
    "list_type": "expected a list",
    "string_type": "expected text: write it in quotes",
    "too_short": "expected at least one",
}
"""By pydantic's type of error, whose own messages name Python's types."""


_FIRST = Position(1, 1)


@dataclass(frozen=True, slots=True)
class PolicyText:
    """
    One text to read. `source` is its name in messages: a file, or a ConfigMap and its key.

    `begin` is where something is told that has no other place.
    """

    source: str
    text: str
    begin: Position = _FIRST


@dataclass(frozen=True, slots=True)
class PolicyReading:
    """
    The result of reading. `policy` is None if there is a mistake: half a policy is never in force.

    `notes` name what is valid and surely not meant, as far as the texts alone tell. What only a clock or a cluster can
    tell is in `endings`, and in `devices`, the limits on devices that are not well known: see `policy_notes`.
    """

    policy: Policy | None
    mistakes: tuple[Mistake, ...] = ()
    notes: tuple[Mistake, ...] = ()
    endings: tuple[Ending, ...] = ()
    devices: tuple[DeviceLimit, ...] = ()


def read_policy(texts: Iterable[PolicyText]) -> PolicyReading:
    """
    Read all *texts* as one policy; their order does not matter, what is defined twice is a mistake.

    No text at all is a policy that limits nobody. A text that says nothing is a mistake: a policy that was emptied by
    accident must not lift limits.
    """
    steps = read_in_steps(texts)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            reading: PolicyReading = end.value
            return reading


def read_in_steps(texts: Iterable[PolicyText]) -> Generator[None, None, PolicyReading]:
    """
    Yield after a millisecond of work or less, and return what `read_policy` does.

    A policy of 1 MiB takes about a second: a process that also answers requests lets them run between two steps.
    """
    mistakes: list[Mistake] = []
    templates: dict[str, Position] = {}
    merger = Merger()
    for text in sorted(texts, key=lambda text: text.source):
        is_empty = True
        reader = _DocumentReader(text.source)
        for step in yaml_text.read_in_steps(
            text.text, source=text.source, limit=yaml_text.DEFAULT_LIMIT, sections=SECTIONS
        ):
            if isinstance(step, tree.Document):
                yield from reader.finish(step)
                is_empty = is_empty and reader.is_empty
                yield from merger.add(reader.entries)
                reader = _DocumentReader(text.source)
            else:
                yield from reader.take(step)
            yield
        if is_empty:
            mistakes.append(Mistake(text.source, text.begin, "", _NOTHING_SAID))
        templates |= _template(text)
    mistakes += merger.mistakes
    mistakes = _with_templates(mistakes, templates)
    policy = None if mistakes else merger.policy()
    notes = in_order(merger.all_notes())
    return PolicyReading(policy, in_order(mistakes), notes, tuple(merger.endings), tuple(merger.devices))


class _DocumentReader:
    """Checks one document while it is parsed: entries of sections one by one, then the rest."""

    def __init__(self, source: str) -> None:
        self.entries = DocumentEntries(source)
        self.is_empty = False

    def take(self, fields: Iterable[SectionField]) -> Iterator[None]:
        """Check entries of sections."""
        for section, field in fields:
            root = tree.Mapping({field.key: field}, field.key_position)
            part = yield from self._valid(root, (section,), SECTIONS[section].validate_python)
            if part is not None:
                self.entries.add_named(section, field.key, part[field.key], field.value)

    def finish(self, document: tree.Document) -> Iterator[None]:
        """Check the rest; of a document that is broken, only what the parser says of it is kept."""
        if document.root is None:
            self.entries = DocumentEntries(self.entries.source)
        elif isinstance(document.root, tree.Scalar) and document.root.value is None:
            self.is_empty = not document.mistakes
        elif why := _why_no_policy(document.root):
            self.entries.mistakes.append(Mistake(self.entries.source, document.root.position, "", why))
        else:
            part = yield from self._valid(document.root, (), PolicyPart.model_validate)
            if part is not None:
                self.entries.add_fields(part, document.root)
        self.entries.mistakes += document.mistakes

    def _valid(
        self, root: tree.Node, around: Location, validate: Callable[[object], T]
    ) -> Generator[None, None, T | None]:
        """Return what *validate* makes of the tree, None if there are mistakes; *around* is the path of *root*."""
        mistakes = self.entries.mistakes
        mistakes += _changed_words(root, self.entries.source, around)
        try:
            return validate(_plain(root))
        except ValidationError as error:
            for mistake in _mistakes(error, root, around, self.entries.source):
                mistakes.append(mistake)
                yield
            return None


def _why_no_policy(root: tree.Node) -> str:
    """Return why a document is something else than a policy; empty if it may be one, with or without mistakes."""
    fields = root.fields.keys() if isinstance(root, tree.Mapping) else frozenset[str]()
    known = PolicyPart.model_fields
    if {"apiVersion", "kind"} <= fields and "version" not in fields:
        return "this is a Kubernetes object, not the text of a policy"
    if not fields or fields & known.keys():
        return ""
    if any(difflib.get_close_matches(each, known, n=1) for each in islice(fields, _MOST_COMPARED)):
        return ""
    return "this is no policy: it has none of its fields, and no version: 1"


def _template(text: PolicyText) -> dict[str, Position]:
    place = yaml_text.template_in(text.text)
    return {} if place is None else {text.source: place}


def _with_templates(mistakes: list[Mistake], templates: dict[str, Position]) -> list[Mistake]:
    """Return *mistakes*, but one for each text that is no valid policy because it is a template."""
    found = {each.source for each in mistakes} & templates.keys()
    others = [each for each in mistakes if each.source not in found]
    return [*others, *(Mistake(source, templates[source], "", yaml_text.NOT_RENDERED) for source in found)]


def in_order(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """Return them in the order of the texts: an editor jumps from one to the next."""
    return tuple(sorted(mistakes, key=lambda mistake: (mistake.source, mistake.position)))


def _changed_words(node: tree.Node, source: str, path: Location) -> Iterator[Mistake]:
    """Yield a mistake for each word that YAML changes: a user `no` would become `false`, an amount `012` ten."""
    if isinstance(node, tree.Mapping):
        for entry in node.fields.values():
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


def _plain(node: tree.Node) -> object:
    """Return the tree as plain values for pydantic, with fractions as they were written."""
    if isinstance(node, tree.Mapping):
        return {entry.key: _plain(entry.value) for entry in node.fields.values()}
    if isinstance(node, tree.Sequence):
        return [_plain(item) for item in node.items]
    return Written(node.text) if isinstance(node.value, float) else node.value


def _mistakes(error: ValidationError, root: tree.Node, around: Location, source: str) -> Iterator[Mistake]:
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        steps: Location = each["loc"]
        is_key = bool(steps) and steps[-1] == "[key]"
        if is_key:
            steps = steps[:-1]
        position = tree.position_of(root, steps, at_key=is_key or each["type"] == "extra_forbidden")
        location = (*around, *steps)
        yield Mistake(source, position, field_path(location), _message(each["type"], each["msg"], location))


def _message(kind: str, message: str, location: Location) -> str:
    last = str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        return "unknown field" + _right_field(last, _fields_at(location[:-1]))
    if kind == "missing":
        return "this field is required"
    if kind in _WANTED:
        return _WANTED[kind]
    text = message.removeprefix("Value error, ")
    if text.startswith("unknown "):
        return text + _suggestion(*_unknown(text, last))
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
    return _suggestion(name, fields)


def _suggestion(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _fields_at(location: Location) -> tuple[str, ...]:
    """Return the names of the fields that may stand at *location*, by walking the models."""
    model: object = PolicyPart
    for step in location:
        if isinstance(model, type) and issubclass(model, BaseModel):
            known = model.model_fields.get(str(step))
            model = known.annotation if known else None
        elif typing.get_origin(model) in (dict, list):
            model = typing.get_args(model)[-1]
        if typing.get_origin(model) is typing.Annotated:
            model = typing.get_args(model)[0]
        if isinstance(model, types.UnionType) or typing.get_origin(model) is typing.Union:
            model = next(choice for choice in typing.get_args(model) if choice is not type(None))
    return tuple(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else ()
