"""Objects and reservations of one resource, in few words."""

from __future__ import annotations

from webhook.quota.book import Book, Row
from webhook.quota.charge import Reservation, Slot
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import CLUSTER, Payer, Subject, group, namespace, user

SLOT = Slot("pods", "red", "web")
OTHER = Slot("pods", "red", "db")
ALICE = Payer("alice", ("ml",))
BOB = Payer("bob")


def bind(payer: Payer, name: str) -> tuple[Subject, ...]:
    return (user(payer.owner), *map(group, payer.groups), namespace(name), CLUSTER)


def cpu(amount: Amount) -> Amounts:
    return (("requests.cpu", amount),)


def row(version: int, amount: Amount = 1, *, uid: str = "u1", payer: Payer = ALICE) -> Row:
    return Row(uid, version, payer, cpu(amount))


def held(amount: Amount = 1, *, uid: str = "u1", base: int = 0, payer: Payer = ALICE, slot: Slot = SLOT) -> Reservation:
    return Reservation(slot, uid, base, payer, cpu(amount))


def sums(book: Book, subject: Subject = CLUSTER) -> tuple[Amount, Amount]:
    """Give used and reserved."""
    return book.used(subject, "requests.cpu"), book.reserved(subject, "requests.cpu")
