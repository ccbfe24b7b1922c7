"""
One commitment as a command gets it, field by field: read as in a policy, so that a mistake is told in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from webhook.documents import tree
from webhook.documents.mistake import Position, field_path
from webhook.documents.model_mistakes import mistakes_of
from webhook.documents.policy_schema import PolicyPart
from webhook.quota.commitments import Commitment
from webhook.quota.errors import WebhookError
from webhook.quota.resources import Amount
from webhook.quota.subject import Subject

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
    root = _tree({"version": 1, "commitments": {name: fields}})
    try:
        part = PolicyPart.model_validate(tree.plain(root))
    except ValidationError as error:
        around = field_path(("commitments", name))
        found = mistakes_of(error, root, "", PolicyPart)
        mistakes = ((each.path.removeprefix(around).removeprefix("."), each.message) for each in found)
        raise CommitmentTextError(tuple(mistakes)) from error
    return part.commitments[name].named(name, "")


def read_amounts(written: Mapping[str, str]) -> Mapping[str, Amount]:
    """Return the amounts of a part of a commitment, by canonical names. Raises: CommitmentTextError."""
    return read_commitment("part", {**_SOMEBODY, **_SOMETHING, "amounts": written}).amounts


def read_holder(fields: Mapping[str, object]) -> Subject:
    """Return who holds a commitment with these fields, such as `tenant`. Raises: CommitmentTextError."""
    return read_commitment("held", {**_SOMETHING, **fields}).holder


def _tree(value: object) -> tree.Node:
    if isinstance(value, Mapping):
        fields = {key: tree.Field(key, _NOWHERE, _tree(each), key) for key, each in value.items()}
        return tree.Mapping(fields, _NOWHERE)
    assert value is None or isinstance(value, (str, int))  # noqa: S101 - what commands make of their options
    return tree.Scalar(value, str(value), _NOWHERE)
