"""Objects and reservations of one resource, built with short calls."""

from __future__ import annotations

from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import Reservation
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import CLUSTER, Payer, Subject, group, namespace, user
from webhook.quota.usage import Row, UsageIndex

KEY = ObjectKey("pods", "red", "web")
OTHER = ObjectKey("pods", "red", "db")
ALICE = Payer("alice", ("ml",))
BOB = Payer("bob")


def bind(payer: Payer, name: str) -> tuple[Subject, ...]:
    return (user(payer.owner), *map(group, payer.groups), namespace(name), CLUSTER)


def cpu(amount: Amount) -> Amounts:
    return (("requests.cpu", amount),)


def row(version: int, amount: Amount = 1, *, uid: str = "u1", payer: Payer = ALICE) -> Row:
    return Row(uid, version, payer, cpu(amount))


def held(
    amount: Amount = 1, *, uid: str = "u1", base: int = 0, payer: Payer = ALICE, key: ObjectKey = KEY
) -> Reservation:
    return Reservation(key, uid, base, payer, cpu(amount))


def sums(index: UsageIndex, subject: Subject = CLUSTER) -> tuple[Amount, Amount]:
    """Return used and reserved."""
    return index.used(subject, "requests.cpu"), index.reserved(subject, "requests.cpu")


def totals(index: UsageIndex, subject: Subject = CLUSTER) -> dict[str, Amount]:
    """Return all that existing objects of *subject* cost, by resource name."""
    return dict(index._used.get(subject, {}))
