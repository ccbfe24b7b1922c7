"""
Text for findings: a claim, a row, and the ledger around a violation, in few lines.
"""

from __future__ import annotations

from nemesis.accounting import UNIT, Key
from nemesis.ledger_text import Amount, Claim, Grant, LedgerText, LimitKey
from nemesis.records import PODS
from nemesis.world import Row, World


def amount(number: Amount) -> str:
    """Return an amount as a quantity of Kubernetes."""
    return f"{float(number / UNIT):.12g}"


def claim(each: Claim) -> str:
    amounts = ",".join(f"{name}={amount(number)}" for name, number in sorted(each.amounts.items()))
    told = f"{each.token} {each.slot} uid {each.uid or 'any'} above {each.base}: {amounts} for {each.payer.owner}"
    if each.expected is not None:
        expected = ",".join(f"{name}={amount(number)}" for name, number in sorted(each.expected.items()))
        told += f", expects pods of {expected}"
    return f"{told}, of {', '.join(each.sessions)}" if each.sessions else told


def grant(each: Grant) -> str:
    room = ",".join(f"{_key(key)}={amount(number)}" for key, number in sorted(each.room.items()))
    return f"{each.token} granted to {each.holder}: {room}"


def _key(key: LimitKey) -> str:
    return str(Key(*key))


def row(each: Row) -> str:
    amounts = ",".join(f"{name}={amount(number)}" for name, number in sorted(each.amounts.items()))
    kind = "pod " if each.slot.kind == PODS else ""
    return f"{kind}{each.slot} uid {each.uid} at {each.version}, grown at {each.grown} from {each.base}: {amounts}"


def ledger(each: LedgerText | None) -> str:
    if each is None:
        return "no ledger"
    state = "open" if each.is_open else "rebuilding"
    settled = ", ".join(f"{kind} {version}" for kind, version in each.settled_through.items() if version) or 0
    head = f"ledger {each.epoch} write {each.write} {state}, settled through {settled}"
    if each.policy_version or each.promised_at:
        head += f", by the policy of {each.policy_version} from {each.promised_at} on"
    marks = (f"  {token} an edit of {mark.name} at {mark.base}" for token, mark in each.edits.items())
    grants = (f"  {grant(granted)}" for granted in each.grants.values())
    recalls = (f"  {token} asks back {', '.join(map(_key, keys))}" for token, keys in each.recalls.items())
    return "\n".join([head, *marks, *grants, *recalls, *(f"  {claim(held)}" for held in each.claims.values())])


def account(world: World, key: Key) -> str:
    """Return what counts under a key, name by name."""
    lines = [f"{key}: used {amount(world.used[key])}, with claims {amount(world.binding[key])}"]
    lines += [f"  {row(each)}" for each in world.rows.values() if key.resource in each.amounts]
    return "\n".join([*lines, ledger(world.ledger)])
