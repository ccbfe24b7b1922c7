"""The judge reads the ledger by the description of its format: what the product writes, and nothing else."""

from __future__ import annotations

import pytest

from nemesis.ledger_text import Claim, LedgerText, Payer, UnreadableLedgerError, read_ledger
from nemesis.records import CLAIMS, DEVICE_CLAIMS, Slot
from tests.nemesis.histories import Held, History
from webhook.ledger import protocol
from webhook.ledger.codec import write_ledger
from webhook.quota import objects, reservation, subject


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
        {"pods": 42, CLAIMS: 0, DEVICE_CLAIMS: 0},
        {"t1": Claim("t1", Slot("a", "x"), "uid-1", 7, Payer("alice", ("ml",)), {"pods": 10**9, "requests.cpu": 5})},
    )


def test_a_text_that_lost_a_character_is_refused() -> None:
    text = History(held=[Held("t", "a", "1")]).ledger_text()

    read_ledger(text)
    with pytest.raises(UnreadableLedgerError):
        read_ledger(text.replace('"a"', '"b"'))


@pytest.mark.parametrize("text", ["", "\n", "userquota-ledger 2 sha256=0\n{}", "something else"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(UnreadableLedgerError):
        read_ledger(text)
