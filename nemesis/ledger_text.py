"""
Reads the text of the ledger, by the description of its format alone.

It shares no code with the program that writes it, so that it does not repeat a mistake of that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from nemesis.records import CHARGED, SESSION_LABEL, Slot

Amount = int | Fraction

Labels = list[tuple[str, str]]

_FORMATS = (2, 3, 4, 5)
"""
Format 3 has `sessions`, by token: the sessions that start, and the pods of sessions. Format 4 may have that, and has at
least one of `edits`, `policyVersion` and `promisedAt`. Format 5 may have all of that, and has `grants` or `recalls`.
"""

_ORDERED, _GRANTING = 4, 5
_OF_ORDER = ("edits", "policyVersion", "promisedAt")
_OF_GRANTS = ("grants", "recalls")


class UnreadableLedgerError(Exception):
    """The text is no ledger."""


class Payer(NamedTuple):
    """The payer, with the groups of that time."""

    owner: str
    groups: tuple[str, ...]


class Place(NamedTuple):
    """The class of nodes that a pod names, empty if none, and the zone, empty if none or several."""

    node_class: str = ""
    zone: str = ""


NOWHERE = Place()
_CLASS, _ZONE = "NodeClass=", "Zone="


class Claim(NamedTuple):
    """
    A reservation: the amounts held for a write that was allowed. A merged one, for several creates, has an empty `uid`.

    `expected` is what the pods of a session cost that starts or grows by the write. `sessions` are the names of those
    of which the object is a pod. `place` is where it may run.
    """

    token: str
    slot: Slot
    uid: str
    base: int
    payer: Payer
    amounts: dict[str, Amount]
    expected: dict[str, Amount] | None = None
    sessions: tuple[str, ...] = ()
    place: Place = NOWHERE


class Mark(NamedTuple):
    """An edit that is judged and may be stored: that of a ConfigMap, in place of its version `base`."""

    name: str
    uid: str
    base: int


LimitKey = tuple[str, str]
"""The subject and the resource of a limit."""

Room = Mapping[LimitKey, Amount]


class Grant(NamedTuple):
    """
    What a replica, the holder, may allow in its memory: so much under each limit key. `kinds` are those it charges.
    """

    token: str
    holder: str
    kinds: tuple[str, ...]
    room: Room


class LedgerText(NamedTuple):
    """
    One version of the ledger. `settled_through` has a version for each kind of which something was settled.

    `edits` are marks, by token. `policy_version` is the version of a policy that is in force for all from then on, 0 if
    there is none; `promised_at` the microseconds since 1970 up to which promises have begun and ended for all. `grants`
    are by token, and so are `recalls`: the limit keys of which everybody has to give back what was granted.
    """

    object_uid: str
    epoch: str
    is_open: bool
    write: int
    age: int
    settled_through: dict[str, int]
    claims: dict[str, Claim]
    edits: dict[str, Mark]
    policy_version: int
    promised_at: int
    grants: Mapping[str, Grant]
    recalls: Mapping[str, tuple[LimitKey, ...]]

    @property
    def has_nothing(self) -> bool:
        """Whether nothing is held: no reservation, nothing granted, and nothing asked back."""
        return not (self.claims or self.grants or self.recalls)


def has_order(text: str) -> bool:
    """Whether the ledger orders the edits of what is promised. Format 5 may, and format 4 always does."""
    head, _, body = text.partition("\n")
    if head.startswith(f"userquota-ledger {_ORDERED} "):
        return True
    return head.startswith(f"userquota-ledger {_GRANTING} ") and any(f'"{each}":' in body for each in _OF_ORDER)


def read_ledger(text: str) -> LedgerText:
    """Return the content of the text. Raises: UnreadableLedgerError."""
    head, _, rest = text.partition("\n")
    body = rest.removesuffix("\n")
    digest = hashlib.sha256(body.encode()).hexdigest()
    form = next((each for each in _FORMATS if head == f"userquota-ledger {each} sha256={digest}"), None)
    if form is None:
        raise UnreadableLedgerError(f"its first line is {head[:120]!r}")
    try:
        said = json.loads(body)
        unknown = (_OF_ORDER if form < _ORDERED else ()) + (_OF_GRANTS if form < _GRANTING else ())
        if known := [each for each in unknown if each in said]:
            raise UnreadableLedgerError(f"its format has no {known[0]}")
        if form == _GRANTING and not any(said.get(each) for each in _OF_GRANTS):
            raise UnreadableLedgerError("its format has grants or recalls")
        payers = [Payer(owner, tuple(groups)) for owner, groups, *_ in said["payers"]]
        places = [_place(scopes[0] if scopes else ()) for _, _, *scopes in said["payers"]]
        amounts = [{name: _amount(number) for name, number in each} for each in said["amounts"]]
        claims = [
            Claim(
                token,
                Slot(namespace, name, resource),
                uid,
                base,
                payers[payer],
                amounts[amount],
                *_of_session(said.get("sessions", {}).get(token), amounts),
                places[payer],
            )
            for token, resource, namespace, name, uid, base, payer, amount, _ in said["reservations"]
            if resource in CHARGED
        ]
        return LedgerText(
            said["object"],
            said["epoch"],
            {"open": True, "rebuilding": False}[said["state"]],
            said["write"],
            said["age"],
            {kind: said["settledThrough"].get(kind, 0) for kind in CHARGED},
            {claim.token: claim for claim in claims},
            {token: Mark(name, uid, base) for token, (name, uid, base, _, _) in said.get("edits", {}).items()},
            said.get("policyVersion", 0),
            said.get("promisedAt", 0),
            {token: _grant(token, *each) for token, each in said.get("grants", {}).items()},
            {token: tuple(_key(*each) for each in keys) for token, keys in said.get("recalls", {}).items()},
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableLedgerError(f"it does not say {error}") from error


def _of_session(
    told: tuple[list[Labels], int | None] | None, amounts: list[dict[str, Amount]]
) -> tuple[dict[str, Amount] | None, tuple[str, ...]]:
    """Return `expected` and `sessions` of a claim: with a number of amounts it is a session, without it is a pod."""
    if told is None:
        return None, ()
    several, number = told
    if number is not None:
        return amounts[number], ()
    return None, tuple(value for labels in several for label, value in labels if label == SESSION_LABEL)


def _grant(token: str, holder: str, kinds: Sequence[str], listed: Sequence[tuple[str, str, str]], _: int) -> Grant:
    room = {_key(subject, resource): _amount(number) for subject, resource, number in listed}
    if len(room) < len(listed):
        raise ValueError(f"a limit once in the grant {token}")
    return Grant(token, holder, tuple(kinds), room)


def _key(subject: str, resource: str) -> LimitKey:
    return subject, resource


def _place(scopes: Sequence[str]) -> Place:
    classes, zones = (
        [each.removeprefix(prefix) for each in scopes if each.startswith(prefix)] for prefix in (_CLASS, _ZONE)
    )
    return Place(classes[0] if classes else "", zones[0] if len(zones) == 1 else "")


def _amount(number: str) -> Amount:
    """Billionths of the unit, exactly."""
    amount = Fraction(number)
    return amount.numerator if amount.denominator == 1 else amount
