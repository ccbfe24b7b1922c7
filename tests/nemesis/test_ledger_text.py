"""The judge reads the ledger by the description of its format: what the product writes, and nothing else."""

from __future__ import annotations

import pytest

from nemesis.ledger_text import Claim, LedgerText, Payer, UnreadableLedgerError, read_ledger
from nemesis.records import CLAIMS, DEVICE_CLAIMS, SESSION_LABEL, SESSIONS, Slot
from tests.nemesis.histories import Held, History
from webhook.ledger import protocol
from webhook.ledger.codec import write_ledger
from webhook.quota import expected, objects, reservation, subject


def test_what_the_product_writes_is_read() -> None:
    held = reservation.Reservation(
        objects.ObjectKey("pods", "a", "x"),
        "uid-1",
        7,
        subject.Payer("alice", ("ml",)),
        (("pods", 10**9), ("requests.cpu", 5)),
    )
    written = protocol.Ledger(
        "e1", is_open=True, write=3, settled_through={"pods": 42}, reservations={"t1": held}, age=60
    )

    assert read_ledger(write_ledger(written, uid="object-1")) == LedgerText(
        "object-1",
        "e1",
        True,
        3,
        60,
        {"pods": 42, CLAIMS: 0, DEVICE_CLAIMS: 0, SESSIONS: 0},
        {"t1": Claim("t1", Slot("a", "x"), "uid-1", 7, Payer("alice", ("ml",)), {"pods": 10**9, "requests.cpu": 5})},
    )


def test_what_sessions_expect_and_whose_pods_are_in_flight_is_read() -> None:
    alice, labels = subject.Payer("alice", ()), ((SESSION_LABEL, "desk"),)
    pods = (("pods", 10**9), ("requests.cpu", 5))
    starts = reservation.Reservation(
        objects.ObjectKey(SESSIONS, "a", "desk"),
        "uid-1",
        7,
        alice,
        (("sessions", 10**9),),
        expected=expected.Expected(pods, (labels,)),
    )
    its_pod = reservation.Reservation(
        objects.ObjectKey("pods", "a", "desk-0"), "uid-2", 0, alice, pods, part_of=(labels,)
    )
    another = reservation.Reservation(objects.ObjectKey("pods", "a", "x"), "uid-3", 0, alice, pods)
    reservations = {"t1": starts, "t2": its_pod, "t3": another}
    written = protocol.Ledger("e1", is_open=True, write=3, settled_through={}, reservations=reservations)

    text = write_ledger(written, uid="object-1")

    assert text.startswith("userquota-ledger 3 ")
    claims = read_ledger(text).claims
    assert {token: (each.expected, each.sessions) for token, each in claims.items()} == {
        "t1": (dict(pods), ()),
        "t2": (None, ("desk",)),
        "t3": (None, ()),
    }


def test_a_text_that_lost_a_character_is_refused() -> None:
    text = History(held=[Held("t", "a", "1")]).ledger_text()

    read_ledger(text)
    with pytest.raises(UnreadableLedgerError):
        read_ledger(text.replace('"a"', '"b"'))


@pytest.mark.parametrize(
    "text", ["", "\n", "userquota-ledger 2 sha256=0\n{}", "userquota-ledger 4 sha256=0\n{}", "something else"]
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(UnreadableLedgerError):
        read_ledger(text)
