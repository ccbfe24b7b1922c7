"""
Policies as admins write them, turned into one `Policy`, with every mistake at its line and column.

The shape of a document is in `policy_schema`; where the texts come from is in `policy_source`. For the meaning see
docs/policy.md.
"""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from msgspec import structs
from pydantic import ValidationError

from webhook.documents import tree, yaml_text
from webhook.documents.limit_notes import DeviceLimit, Ending
from webhook.documents.mistake import Mistake, Position
from webhook.documents.model_mistakes import Location, changed_words, mistakes_of, plain_values
from webhook.documents.policy_entries import DocumentEntries
from webhook.documents.policy_merge import Merger
from webhook.documents.policy_schema import SECTIONS, PolicyPart
from webhook.documents.policy_tiers import TIERS
from webhook.documents.step_by_step import at_once
from webhook.documents.tree_builder import SectionField
from webhook.quota.policy import Policy

T = TypeVar("T")

_NOTHING_SAID = "no policy in it; one that limits nobody says version: 1"

_MOST_COMPARED = 20
"""Fields of a document that may be misspelt ones of a policy. One that is no policy may have thousands."""

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
    tell is in `endings`, in `devices`, the limits on devices that are not well known, and in `namespaces`, where each
    entry of a namespace is written: see `policy_notes`.
    """

    policy: Policy | None
    mistakes: tuple[Mistake, ...] = ()
    notes: tuple[Mistake, ...] = ()
    endings: tuple[Ending, ...] = ()
    devices: tuple[DeviceLimit, ...] = ()
    namespaces: Mapping[str, tuple[str, Position]] = field(default_factory=dict)


def read_policy(texts: Iterable[PolicyText]) -> PolicyReading:
    """
    Read all *texts* as one policy; their order does not matter, what is defined twice is a mistake.

    No text at all is a policy that limits nobody. A text that says nothing is a mistake: a policy that was emptied by
    accident must not lift limits.
    """
    return at_once(read_in_steps(texts))


def read_policy_inside(root: tree.Node, *, source: str) -> PolicyReading:
    """Return what *root* says as a policy, a part of a document that is read already; *source* is its text."""
    reader, merger = _DocumentReader(source), Merger()
    if isinstance(root, tree.Mapping):
        sections = {name: field for name, field in root.fields.items() if name in SECTIONS}
        listed = [(name, each.value) for name, each in sections.items() if isinstance(each.value, tree.Mapping)]
        inside = [SectionField(name, field) for name, value in listed for field in value.fields.values()]
        deque(reader.take(inside), maxlen=0)
        nothing = {name: tree.Mapping({}, value.position) for name, value in listed}
        emptied = {name: structs.replace(sections[name], value=value) for name, value in nothing.items()}
        root = tree.Mapping({**root.fields, **emptied}, root.position)
    deque(reader.finish(tree.Document(root, ())), maxlen=0)
    deque(merger.add(reader.entries), maxlen=0)
    deque(merger.finish(), maxlen=0)
    mistakes = merger.mistakes or ([Mistake(source, root.position, "", _NOTHING_SAID)] if reader.is_empty else [])
    return _reading(merger, mistakes)


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
    yield from merger.finish()
    mistakes += merger.mistakes
    mistakes = _with_templates(mistakes, templates)
    return _reading(merger, mistakes)


def _reading(merger: Merger, mistakes: list[Mistake]) -> PolicyReading:
    policy = None if mistakes else merger.policy()
    notes = in_order(merger.all_notes())
    of_facts = (tuple(merger.endings), tuple(merger.devices), merger.namespaces())
    return PolicyReading(policy, in_order(mistakes), notes, *of_facts)


class _DocumentReader:
    """Checks one document while it is parsed: entries of sections one by one, then the rest."""

    def __init__(self, source: str) -> None:
        self.entries = DocumentEntries(source)
        self.is_empty = False

    def take(self, fields: Iterable[SectionField]) -> Iterator[None]:
        """Check entries of sections."""
        for section, entry in fields:
            root = tree.Mapping({entry.key: entry}, entry.key_position)
            part = yield from self._valid(root, (section,), SECTIONS[section].validate_python)
            if part is not None:
                self.entries.add_named(section, entry.key, part[entry.key], entry.value)
            elif section in (TIERS, "groups", "tenants"):
                self.entries.is_partly_read = True

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
            else:
                self.entries.is_partly_read = True
        self.entries.mistakes += document.mistakes
        self.entries.is_partly_read = self.entries.is_partly_read or bool(document.mistakes)

    def _valid(
        self, root: tree.Node, around: Location, validate: Callable[[object], T]
    ) -> Generator[None, None, T | None]:
        """Return what *validate* makes of the tree, None if there are mistakes; *around* is the path of *root*."""
        mistakes = self.entries.mistakes
        mistakes += changed_words(root, self.entries.source, around)
        try:
            return validate(plain_values(root))
        except ValidationError as error:
            for mistake in mistakes_of(error, root, self.entries.source, PolicyPart, around=around):
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
