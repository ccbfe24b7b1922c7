"""
Reads the text of the ledger, by the description of its format alone.

It shares no code with the program that writes it, so that it does not repeat a mistake of that.
"""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from typing import NamedTuple

from nemesis.records import CHARGED, Slot

Amount = int | Fraction


class UnreadableLedgerError(Exception):
    """The text is no ledger."""


class Payer(NamedTuple):
    """The payer, with the groups of that time."""

    owner: str
    groups: tuple[str, ...]


class Claim(NamedTuple):
    """A reservation: the amounts held for a write that was allowed. An empty `uid` stands for several creates."""

    token: str
    slot: Slot
    uid: str
    base: int
    payer: Payer
    amounts: dict[str, Amount]


class LedgerText(NamedTuple):
    """One version of the ledger. `settled_through` has a version for each kind of which something was settled."""

    object_uid: str
    epoch: str
    is_open: bool
    write: int
    age: int
    settled_through: dict[str, int]
    claims: dict[str, Claim]


def read_ledger(text: str) -> LedgerText:
    """Return the content of the text. Raises: UnreadableLedgerError."""
    head, _, rest = text.partition("\n")
    body = rest.removesuffix("\n")
    if head != f"userquota-ledger 2 sha256={hashlib.sha256(body.encode()).hexdigest()}":
        raise UnreadableLedgerError(f"its first line is {head[:120]!r}")
    try:
        said = json.loads(body)
        payers = [Payer(owner, tuple(groups)) for owner, groups, *_ in said["payers"]]
        amounts = [{name: _amount(number) for name, number in each} for each in said["amounts"]]
        claims = [
            Claim(token, Slot(namespace, name, resource), uid, base, payers[payer], amounts[amount])
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
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnreadableLedgerError(f"it does not say {error}") from error


def _amount(number: str) -> Amount:
    """Billionths of the unit, exactly."""
    amount = Fraction(number)
    return amount.numerator if amount.denominator == 1 else amount
