"""
Commitments as commands get them, field by field or as a list: read as in a policy, so that mistakes are told in the
same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from webhook.documents import tree, yaml_text
from webhook.documents.holder_schema import HolderPart, holder_fields
from webhook.documents.mistake import Position, field_path
from webhook.documents.model_mistakes import mistakes_of, plain_values
from webhook.documents.policy_schema import PolicyPart
from webhook.quota.commitments import Commitment
from webhook.quota.errors import WebhookError
from webhook.quota.resources import Amount
from webhook.quota.subject import Subject

MOST_GENERATION: Final = 2**63 - 1
"""As an object of Kubernetes may have."""

_NOWHERE = Position(1, 1)
_SOMEBODY = {"user": "somebody"}
_SOMETHING = {"nodeClass": "any", "amounts": {"cpu": "1"}}


class CommitmentTextError(WebhookError):
    """
    Fields that are no commitment. `mistakes` are pairs of the field and what is wrong; the field is empty if it is the
    whole.
    """

    def __init__(self, mistakes: tuple[tuple[str, str], ...]) -> None:
        """Keep the *mistakes*, at least one."""
        self.mistakes = mistakes
        super().__init__("; ".join(f"{field}: {what}" if field else what for field, what in mistakes))


def read_commitment(name: str, fields: Mapping[str, object]) -> Commitment:
    """Return the commitment *name* with *fields* as in a policy. Raises: CommitmentTextError."""
    return _commitment(name, _tree({name: fields}), "")


@dataclass(frozen=True, slots=True)
class ListedCommitments:
    """
    The commitments of a list by name, and by name what is wrong with those that could not be read.

    `generation` is its number by the count of who writes it, which grows with each change; 0 if there is none.
    """

    commitments: Mapping[str, Commitment]
    mistakes: Mapping[str, str] = field(default_factory=dict)
    generation: int = 0


def read_listed(text: str, *, source: str) -> ListedCommitments:
    """
    Return the `commitments` of a document, each by itself, and its `generation`; *source* is its name.

    Raises: CommitmentTextError for what is no such document, or is cut short.
    """
    roots, mistakes = yaml_text.read_documents(text, source=source)
    if mistakes:
        raise CommitmentTextError((("", "; ".join(map(str, mistakes))),))
    listed = tree.node_at(roots[0], ("commitments",)) if len(roots) == 1 else None
    if not isinstance(listed, tree.Mapping):
        raise CommitmentTextError((("", f"{source}: expected one document with commitments, by name"),))
    found: dict[str, Commitment] = {}
    wrong: dict[str, str] = {}
    for name, each in listed.fields.items():
        place = f"{source}:{each.key_position.line}"
        try:
            found[name] = _commitment(name, tree.Mapping({name: each}, each.key_position), source)
        except CommitmentTextError as error:
            wrong[name] = f"{place}: {error}"
    return ListedCommitments(found, wrong, _generation(roots[0], source))


def read_amounts(written: Mapping[str, str]) -> Mapping[str, Amount]:
    """Return the amounts of a part of a commitment, by canonical names. Raises: CommitmentTextError."""
    return read_commitment("part", {**_SOMEBODY, **_SOMETHING, "amounts": written}).amounts


def read_holder(fields: Mapping[str, object]) -> Subject:
    """Return who holds a commitment with these fields, such as `tenant`. Raises: CommitmentTextError."""
    return read_commitment("held", {**_SOMETHING, **fields}).holder


def read_subject(written: str) -> Subject:
    """Return who holds a commitment, as tables name holders: `tenant/research`. Raises: CommitmentTextError."""
    kind, slash, _ = written.partition("/")
    if not slash or kind not in HolderPart.model_fields:
        expected = "tenant/NAME, group/NAME, user/NAME, namespace/NAME or serviceAccount/NAMESPACE/NAME"
        raise CommitmentTextError((("", f"{written}: expected {expected}"),))
    return read_holder(holder_fields(Subject(written)))


def read_until(written: str) -> datetime | None:
    """Return the time that is *written* for an `until`. Raises: CommitmentTextError."""
    return read_commitment("ending", {**_SOMEBODY, **_SOMETHING, "until": written}).ends


def _generation(root: tree.Node, source: str) -> int:
    """Return 0 if the list says none. Raises: CommitmentTextError."""
    found = tree.node_at(root, ("generation",))
    if found is None:
        return 0
    value = found.value if isinstance(found, tree.Scalar) else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MOST_GENERATION:
        place = f"{source}:{found.position.line}:{found.position.column}"
        raise CommitmentTextError((("", f"{place}: generation: expected a whole number from 1 to {MOST_GENERATION}"),))
    return value


def _commitment(name: str, listed: tree.Node, source: str) -> Commitment:
    """Return the only one of *listed*, a mapping by name. Raises: CommitmentTextError."""
    fields = {"version": _tree(1), "commitments": listed}
    root = tree.Mapping({key: tree.Field(key, _NOWHERE, each, key) for key, each in fields.items()}, _NOWHERE)
    try:
        part = PolicyPart.model_validate(plain_values(root))
    except ValidationError as error:
        around = field_path(("commitments", name))
        found = mistakes_of(error, root, source, PolicyPart)
        mistakes = ((each.path.removeprefix(around).removeprefix("."), each.message) for each in found)
        raise CommitmentTextError(tuple(mistakes)) from error
    if part.commitments[name].units is not None:
        raise CommitmentTextError((("units", "only a policy knows what a unit is: give amounts"),))
    return part.commitments[name].named(name, "")


def _tree(value: object) -> tree.Node:
    if isinstance(value, Mapping):
        fields = {key: tree.Field(key, _NOWHERE, _tree(each), key) for key, each in value.items()}
        return tree.Mapping(fields, _NOWHERE)
    assert value is None or isinstance(value, (str, int))  # noqa: S101 - what commands make of their options
    return tree.Scalar(value, str(value), _NOWHERE)
