"""
The part of a policy that programs write: commitments, and what a broker allows tenants. One text, the same for the same
content, with a line for each commitment.

People may write in it as well; but comments are lost with the next change that a program makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from pydantic import ValidationError

from webhook.documents import tree, yaml_text
from webhook.documents.holder_schema import holder_fields
from webhook.documents.mistake import Mistake, Position, field_path
from webhook.documents.model_mistakes import changed_words, mistakes_of, plain_values
from webhook.documents.policy_schema import PolicyPart
from webhook.quota import windows
from webhook.quota.commitments import Commitment
from webhook.quota.errors import WebhookError
from webhook.quota.policy import Hard, Unlimited
from webhook.quota.resources import SHORT_NAMES, canonical_name, show
from webhook.quota.transfer_offer import TransferOffer

_MINE = frozenset({"version", "commitments", "brokerQuotas"})
_HEAD = "# Written by userquota: comments are lost with the next change. See docs/commitments.md.\nversion: 1\n"
_SHORT = {canonical: short for short, canonical in SHORT_NAMES.items()}

Quotas = Mapping[str, Mapping[str, Mapping[str, Hard]]]
"""What a broker allows: amounts in billionths by tenant, class of nodes and canonical name of a resource."""


class KeptPolicyError(WebhookError):
    """What is stored is not what programs write; the text tells each mistake at its place."""


class PolicyRefusedError(WebhookError):
    """The policy with the change was refused: the text says why, as the admission of edits does."""


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """Commitments by name, and what a broker allows."""

    commitments: Mapping[str, Commitment] = field(default_factory=dict)
    quotas: Quotas = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """What is stored, its annotations, and the version to name when it is replaced: empty if nothing is stored yet."""

    content: KeptPolicy
    annotations: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


class KeptPolicyStore(Protocol):
    """The one object that holds it, for all replicas and commands."""

    async def read(self) -> StoredPolicy:
        """Return what is stored, an empty policy if nothing is. Raises: UnavailableError, KeptPolicyError."""

    async def write(
        self, content: KeptPolicy, *, after: StoredPolicy, annotations: Mapping[str, str], dry_run: bool = False
    ) -> bool:
        """
        Replace what is stored if it is still *after*; only judge whether it might be if *dry_run*. *annotations* are
        added to those that are there.

        Returns False if another one wrote. Raises: PolicyRefusedError, UnavailableError.
        """


def read_kept(text: str, *, source: str) -> KeptPolicy:
    """Return what *text* says; *source* is its name. Raises: KeptPolicyError."""
    roots, mistakes = yaml_text.read_documents(text, source=source)
    found = list(mistakes)
    if not found and len(roots) != 1:
        found = [Mistake(source, Position(1, 1), "", f"expected one document, not {len(roots)}")]
    if not found and isinstance(roots[0], tree.Mapping):
        found += _strange(roots[0], source)
    if not found:
        found += changed_words(roots[0], source, ())
    part = None
    if not found:
        try:
            part = PolicyPart.model_validate(plain_values(roots[0]))
            found += _in_units(part, roots[0], source)
        except ValidationError as error:
            found += mistakes_of(error, roots[0], source, PolicyPart)
    if part is None or found:
        raise KeptPolicyError("; ".join(map(str, found)))
    commitments = {
        name: each.named(name, f"{source}:{tree.position_of(roots[0], ('commitments', name)).line}")
        for name, each in part.commitments.items()
    }
    quotas = {
        tenant: {
            name: {canonical_name(each) or each: hard for each, hard in hards.items()}
            for name, hards in classes.items()
        }
        for tenant, classes in part.brokerQuotas.items()
    }
    return KeptPolicy(commitments, quotas)


def kept_text(content: KeptPolicy) -> str:
    """Return *content* as text; `read_kept` reads it."""
    return _HEAD + "".join(_lines(content))


def _lines(content: KeptPolicy) -> Iterator[str]:
    sections: tuple[tuple[str, Iterator[tuple[str, object]]], ...] = (
        ("commitments", ((name, _written(content.commitments[name])) for name in sorted(content.commitments))),
        ("brokerQuotas", ((name, _quotas(content.quotas[name])) for name in sorted(content.quotas))),
    )
    for section, entries in sections:
        lines = [f"  {_json(name)}: {_json(entry)}\n" for name, entry in entries]
        if lines:
            yield f"{section}:\n"
            yield from lines


def _strange(root: tree.Mapping, source: str) -> Iterator[Mistake]:
    for name, each in root.fields.items():
        if name not in _MINE:
            why = "only commitments and brokerQuotas stand in what userquota writes: move it to another ConfigMap"
            yield Mistake(source, each.key_position, name, why)


def _in_units(part: PolicyPart, root: tree.Node, source: str) -> Iterator[Mistake]:
    for name, each in part.commitments.items():
        if each.units is not None:
            steps = ("commitments", name, "units")
            why = "userquota writes amounts, and no units: give these, or move it to another ConfigMap"
            yield Mistake(source, tree.position_of(root, steps), field_path(steps), why)


def _written(each: Commitment) -> dict[str, object]:
    entry: dict[str, object] = {**holder_fields(each.holder), "nodeClass": each.pool.node_class}
    if each.pool.zone:
        entry["zone"] = each.pool.zone
    entry["amounts"] = _amounts(each.amounts)
    entry["state"] = each.state.value
    if each.begins is not None:
        entry["from"] = windows.written(each.begins)
    if each.ends is not None:
        entry["until"] = windows.written(each.ends)
    if each.offer is not None:
        entry["offer"] = _offer(each.offer)
    return entry


def _offer(offer: TransferOffer) -> dict[str, str]:
    until = {} if offer.until is None else {"until": windows.written(offer.until)}
    return {"tokenDigest": offer.token_digest, **until}


def _quotas(classes: Mapping[str, Mapping[str, Hard]]) -> dict[str, dict[str, str]]:
    return {name: _amounts(classes[name]) for name in sorted(classes)}


def _amounts(amounts: Mapping[str, Hard]) -> dict[str, str]:
    return {
        _SHORT.get(name, name): each.value if isinstance(each, Unlimited) else show(name, each)
        for name, each in sorted(amounts.items())
    }


def _json(value: object) -> str:
    """Return *value* as JSON, which is YAML."""
    return msgspec.json.encode(value).decode()
