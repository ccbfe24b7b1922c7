"""
Tests of a policy as admins write them, with every mistake at its line and column.

The shape of a file is in `case_schema`; `wiring.policy_cases` runs a case. For the meaning see docs/policy-tests.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from msgspec import structs
from pydantic import ValidationError

from webhook.documents import tree, yaml_text
from webhook.documents.case_schema import CasePart, CasesPart, GivenPart, OwnerPart, UserPart, Verdict, WhenPart
from webhook.documents.mistake import Mistake, Position, field_path
from webhook.documents.model_mistakes import Location, changed_words, mistakes_of, plain_values
from webhook.documents.object_text import RawObject, read_objects, read_objects_inside
from webhook.documents.policy_entries import username
from webhook.documents.policy_text import PolicyReading, in_order, read_policy_inside
from webhook.quota import resources
from webhook.quota.errors import WebhookError
from webhook.quota.objects import UserInfo
from webhook.quota.resources import Amounts
from webhook.quota.subject import AUTHENTICATED, NOBODY, Payer, groups_of

ReadText = Callable[[str], tuple[str, str]]
"""Returns what to call the file that a test names, and its text. Raises: WebhookError."""

ReadPolicies = Callable[[Sequence[str]], PolicyReading]
"""Reads the files that a test names as one policy. Raises: WebhookError."""


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """What a namespace carries."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Given:
    """
    What exists before a case: `amounts` without an object, or `objects`, which *payer* owns.

    `group` is set if the payer stands for a member of that group. `namespace` is empty if the objects say theirs.
    """

    payer: Payer
    group: str
    namespace: str
    amounts: Amounts
    objects: tuple[RawObject, ...]


@dataclass(frozen=True, slots=True)
class Create:
    """An object is created."""

    new: RawObject


@dataclass(frozen=True, slots=True)
class Update:
    """An object of *owner* is replaced."""

    new: RawObject
    old: RawObject
    owner: Payer


@dataclass(frozen=True, slots=True)
class ScaleTo:
    """A workload of *owner* gets another number of replicas through its scale."""

    workload: RawObject
    replicas: int
    owner: Payer


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case has to come to; an empty `limit` or `message` may be any."""

    verdict: Verdict
    limit: str
    message: str


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `namespace` is empty if the object says its own; `at` is None where the file has no time."""

    name: str
    position: Position
    user: UserInfo
    namespace: str
    namespaces: Mapping[str, NamespaceFacts]
    given: tuple[Given, ...]
    when: Create | Update | ScaleTo
    at: datetime | None
    expected: Expected


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What a case came to: `limits` are the entries that refused or warned, `texts` what the user was told.

    With `trouble` it could not be run.
    """

    verdict: Verdict | None
    limits: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    trouble: str = ""

    def meets(self, expected: Expected) -> bool:
        """Whether it is what was *expected*."""
        return (
            self.verdict is expected.verdict
            and expected.limit in ("", *self.limits)
            and any(expected.message in text for text in self.texts or ("",))
        )


class CasesReading(NamedTuple):
    """
    The result of reading: the cases and what is read of their policy. With a mistake there are no cases.

    The mistakes of the policy are among `mistakes`.
    """

    cases: tuple[Case, ...]
    policy: PolicyReading
    mistakes: tuple[Mistake, ...] = ()


def read_cases(text: str, *, source: str, read_text: ReadText, read_policies: ReadPolicies) -> CasesReading:
    """
    Return the cases of a text, one document of YAML, and every mistake in it and in the files that it names.

    *source* is what mistakes call the text.
    """
    documents, mistakes = yaml_text.read_documents(text, source=source)
    if not mistakes and len(documents) != 1:
        mistakes = (Mistake(source, Position(1, 1), "", "expected one document with policy and cases"),)
    if mistakes:
        return CasesReading((), PolicyReading(None), mistakes)
    (root,) = documents
    pruned = _pruned(root)
    found = list(changed_words(pruned, source, ()))
    try:
        part = CasesPart.model_validate(plain_values(pruned))
    except ValidationError as error:
        found += mistakes_of(error, pruned, source, CasesPart)
        return CasesReading((), PolicyReading(None), in_order(found))
    reader = _Reader(root, source, read_text)
    policy = reader.policy(part, read_policies)
    cases = tuple(reader.cases(part))
    found += (*policy.mistakes, *reader.mistakes)
    return CasesReading(() if found else cases, policy, in_order(found))


def _pruned(node: tree.Node, *, is_root: bool = True) -> tree.Node:
    """Return the tree without the fields of objects and of a policy: those are read by rules of their own."""
    if isinstance(node, tree.Sequence):
        return tree.Sequence(tuple(_pruned(item, is_root=False) for item in node.items), node.position)
    if not isinstance(node, tree.Mapping):
        return node
    of_object = node.fields.keys() & {"apiVersion", "kind"}
    fields = {}
    for name, field in node.fields.items():
        if is_root and name == "policy" and isinstance(field.value, tree.Mapping):
            fields[name] = structs.replace(field, value=tree.Mapping({}, field.value.position))
        elif not of_object or name in of_object:
            fields[name] = structs.replace(field, value=_pruned(field.value, is_root=False))
    return tree.Mapping(fields, node.position)


class _Reader:
    """Turns the parts of a valid document into values, and collects what is wrong with them."""

    def __init__(self, root: tree.Node, source: str, read_text: ReadText) -> None:
        self._root = root
        self._source = source
        self._read_text = read_text
        self.mistakes: list[Mistake] = []

    def policy(self, part: CasesPart, read_policies: ReadPolicies) -> PolicyReading:
        """Return what the policy says that is tested."""
        if isinstance(part.policy, dict):
            node = tree.node_at(self._root, ("policy",))
            assert node is not None  # noqa: S101 - the part was read from it
            return read_policy_inside(node, source=self._source)
        try:
            return read_policies(part.policy)
        except WebhookError as error:
            self._mistake(("policy",), str(error))
            return PolicyReading(None)

    def cases(self, part: CasesPart) -> Iterator[Case]:
        """Yield the cases."""
        names: dict[str, int] = {}
        of_file = {name: NamespaceFacts(each.labels, each.annotations) for name, each in part.namespaces.items()}
        for index, each in enumerate(part.cases):
            path: Location = ("cases", index)
            position = tree.position_of(self._root, path)
            first = names.setdefault(each.name, position.line)
            if first != position.line:
                self._mistake((*path, "name"), f"the case of line {first} has the same name")
            when = self._when(each, (*path, "when"))
            if when is not None:
                yield Case(
                    each.name,
                    position,
                    _user_info(each.actor),
                    "" if each.namespace is None else each.namespace.name,
                    self._namespaces(each, of_file, (*path, "namespace")),
                    tuple(self._given(given, (*path, "given", at)) for at, given in enumerate(each.given)),
                    when,
                    each.at or part.at,
                    Expected(each.expect.verdict, each.expect.limit or "", each.expect.message or ""),
                )

    def _namespaces(
        self, case: CasePart, of_file: Mapping[str, NamespaceFacts], path: Location
    ) -> Mapping[str, NamespaceFacts]:
        """Return those of the file, with that of the case."""
        own = case.namespace
        if own is None or not (own.labels or own.annotations):
            return of_file
        if own.name in of_file:
            self._mistake(path, f"namespaces say already what {own.name} carries: write its name only")
        return {**of_file, own.name: NamespaceFacts(own.labels, own.annotations)}

    def _given(self, part: GivenPart, path: Location) -> Given:
        amounts: dict[str, resources.Amount] = {}
        for written, amount in part.uses.items():
            name = resources.canonical_name(written) or written
            if name in amounts:
                self._mistake((*path, "uses", written), f"{name} is given twice, under its short and its full name")
            amounts[name] = amount
        objects = tuple(each for at in range(len(part.objects)) for each in self._objects((*path, "objects", at)))
        costs = tuple(sorted((name, amount) for name, amount in amounts.items() if amount))
        return Given(_payer(part), part.group or "", part.namespace or "", costs, objects)

    def _when(self, case: CasePart, path: Location) -> Create | Update | ScaleTo | None:
        part: WhenPart = case.when
        node = tree.node_at(self._root, path)
        is_short = not (isinstance(node, tree.Mapping) and part.model_fields_set <= node.fields.keys())
        owner = _payer(part.owner or case.actor)
        if part.create is not None:
            new = self._object(path if is_short else (*path, "create"))
            return None if new is None else Create(new)
        if part.scale is not None:
            workload = self._object((*path, "scale"))
            return None if workload is None else ScaleTo(workload, part.replicas or 0, owner)
        new, old = self._object((*path, "update")), self._object((*path, "old"))
        return None if new is None or old is None else Update(new, old, owner)

    def _object(self, path: Location) -> RawObject | None:
        """Return the one object at *path*."""
        before = len(self.mistakes)
        found = self._objects(path)
        if len(found) != 1 and len(self.mistakes) == before:
            self._mistake(path, f"expected one object, found {len(found)}")
        return found[0] if len(found) == 1 else None

    def _objects(self, path: Location) -> tuple[RawObject, ...]:
        """Return the objects at *path*, where they or the name of their file are written."""
        node = tree.node_at(self._root, path)
        assert node is not None  # noqa: S101 - the part was read from it
        if not isinstance(node, tree.Scalar):
            found, mistakes = read_objects_inside(node, source=self._source, path=path)
        else:
            try:
                source, text = self._read_text(node.text)
            except WebhookError as error:
                self._mistake(path, str(error))
                return ()
            found, mistakes = read_objects(text, source=source)
            if not (found or mistakes):
                self._mistake(path, f"no object in {source}")
        self.mistakes += mistakes
        return found

    def _mistake(self, path: Location, message: str) -> None:
        self.mistakes.append(Mistake(self._source, tree.position_of(self._root, path), field_path(path), message))


def _payer(part: UserPart) -> Payer:
    """Return who pays; for a group somebody in it, with a name that no user has."""
    if isinstance(part, GivenPart) and part.group is not None:
        return Payer(f"(a member of {part.group})", (part.group,))
    if isinstance(part, OwnerPart) and part.unattributed:
        return NOBODY
    return Payer(_name(part), tuple(sorted(set(_groups(part)) - {AUTHENTICATED})))


def _user_info(part: UserPart) -> UserInfo:
    """Return the user with the groups that the API server adds."""
    return UserInfo(_name(part), (*_groups(part), AUTHENTICATED))


def _name(part: UserPart) -> str:
    return part.user or username(part.serviceAccount or "")


def _groups(part: UserPart) -> tuple[str, ...]:
    return groups_of(_name(part), part.groups)
