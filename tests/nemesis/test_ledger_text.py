"""The judge reads the ledger by the description of its format: what the product writes, and nothing else."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction

import pytest

from nemesis.ledger_text import (
    Claim,
    Grant,
    LedgerText,
    Mark,
    Payer,
    Room,
    UnreadableLedgerError,
    has_order,
    read_ledger,
)
from nemesis.records import CLAIMS, DEVICE_CLAIMS, SESSION_LABEL, SESSIONS, Slot
from tests.nemesis.histories import PODS_OF_ALICE, Held, History, granted, held_session
from webhook.ledger import protocol
from webhook.ledger.codec import write_ledger
from webhook.quota import demand, expected, objects, promises, reservation, subject

KEY = ("group/ml", "gpu")


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
        {},
        0,
        0,
        {},
        {},
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


def test_the_order_that_the_product_writes_is_read() -> None:
    written = protocol.Ledger(
        "e1",
        is_open=True,
        write=3,
        settled_through={},
        reservations={},
        edits={"m": promises.MarkedEdit("userquota-policy", "uid-1", 7, was_part=True)},
        policy_version=5,
        promised_at=1_800_000_000_250_000,
    )

    text = write_ledger(written, uid="object-1")

    assert has_order(text)
    read = read_ledger(text)
    assert read.edits == {"m": Mark("userquota-policy", "uid-1", 7)}
    assert (read.policy_version, read.promised_at) == (5, 1_800_000_000_250_000)


def test_a_text_that_lost_a_character_is_refused() -> None:
    text = History(held=[Held("t", "a", "1")]).ledger_text()

    read_ledger(text)
    with pytest.raises(UnreadableLedgerError):
        read_ledger(text.replace('"a"', '"b"'))


def ordered() -> History:
    """A ledger in which an edit is judged, and what is in force for all."""
    return History(
        held=[Held("t", "a", "1")],
        edits={"m": ("userquota-policy", "uid-1", 7, True, 1500)},
        policy_version=5,
        promised_at=1_800_000_000_250_000,
    )


def test_the_grants_that_the_product_writes_are_read() -> None:
    pods, gpus = (demand.LimitKey(subject.Subject(each), name) for each, name in (("user/alice", "pods"), KEY))
    written = protocol.Ledger(
        "e1",
        is_open=True,
        settled_through={},
        reservations={},
        grants={"g": protocol.Grant("r1-f5", ("pods", CLAIMS), {pods: 3 * 10**9, gpus: Fraction(3, 7)})},
        recalls={"r": (pods, gpus)},
    )

    text = write_ledger(written, uid="object-1")

    assert text.startswith("userquota-ledger 5 ")
    assert not has_order(text)
    read = read_ledger(text)
    room: Room = {("user/alice", "pods"): 3 * 10**9, KEY: Fraction(3, 7)}
    assert read.grants == {"g": Grant("g", "r1-f5", ("pods", CLAIMS), room)}
    assert read.recalls == {"r": (("user/alice", "pods"), KEY)}
    assert not read.has_nothing


def test_grants_are_read_beside_an_order_and_sessions() -> None:
    history = ordered()
    history.held = [held_session("t", "desk", "1")]
    history.grants = [granted("g", 2)]

    text = history.ledger_text()

    assert has_order(text)
    read = read_ledger(text)
    assert (read.policy_version, list(read.edits), list(read.grants)) == (5, ["m"], ["g"])
    assert read.claims["t"].expected is not None


@pytest.mark.parametrize("name", ["grants", "recalls"])
def test_only_the_format_that_has_grants_has_any(name: str) -> None:
    history = History(grants=[granted("g")], recalls={"r": [PODS_OF_ALICE]})
    body = json.loads(history.ledger_text().splitlines()[1])
    del body["recalls" if name == "grants" else "grants"]

    read_ledger(sealed(5, json.dumps(body)))
    with pytest.raises(UnreadableLedgerError, match=name):
        read_ledger(sealed(4, json.dumps(body)))
    with pytest.raises(UnreadableLedgerError, match="grants or recalls"):
        read_ledger(sealed(5, json.dumps(body | {name: {}})))


@pytest.mark.parametrize(
    "grants",
    [
        {"g": ["r1", ["pods"], []]},
        {"g": ["r1", ["pods"], [["user/alice", "pods"]], 0]},
        {"g": ["r1", ["pods"], [["user/alice", "pods", "1"], ["user/alice", "pods", "2"]], 0]},
        {"g": ["r1", ["pods"], [["user/alice", "pods", "x"]], 0]},
        ["g"],
    ],
)
def test_a_grant_of_another_shape_is_refused(grants: object) -> None:
    body = json.loads(History().ledger_text().splitlines()[1]) | {"grants": grants}

    with pytest.raises(UnreadableLedgerError):
        read_ledger(sealed(5, json.dumps(body)))


def sealed(form: int, body: str) -> str:
    """Return a text with a right checksum."""
    return f"userquota-ledger {form} sha256={hashlib.sha256(body.encode()).hexdigest()}\n{body}\n"


def test_what_the_ledger_orders_is_read() -> None:
    text = ordered().ledger_text()

    assert text.startswith("userquota-ledger 4 ")
    read = read_ledger(text)
    assert read.edits == {"m": Mark("userquota-policy", "uid-1", 7)}
    assert (read.policy_version, read.promised_at) == (5, 1_800_000_000_250_000)
    assert list(read.claims) == ["t"]


def test_sessions_are_read_beside_it() -> None:
    history = ordered()
    history.held = [held_session("t", "desk", "1")]

    assert read_ledger(history.ledger_text()).claims["t"].expected == {"pods": 10**9, "requests.cpu": 10**7}


@pytest.mark.parametrize("name", ["edits", "policyVersion", "promisedAt"])
def test_only_the_format_that_has_an_order_has_one(name: str) -> None:
    body = json.loads(History().ledger_text().splitlines()[1]) | {name: {} if name == "edits" else 1}

    read_ledger(sealed(4, json.dumps(body)))
    with pytest.raises(UnreadableLedgerError, match=name):
        read_ledger(sealed(3, json.dumps(body)))


@pytest.mark.parametrize(
    "edits", [{"m": ["p", "u", 1, True]}, {"m": ["p", "u", 1, True, 0, 0]}, {"m": None}, ["m"], "m"]
)
def test_a_mark_of_another_shape_is_refused(edits: object) -> None:
    body = json.loads(ordered().ledger_text().splitlines()[1]) | {"edits": edits}

    with pytest.raises(UnreadableLedgerError):
        read_ledger(sealed(4, json.dumps(body)))


@pytest.mark.parametrize(
    "text", ["", "\n", "userquota-ledger 2 sha256=0\n{}", "userquota-ledger 4 sha256=0\n{}", "something else"]
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(UnreadableLedgerError):
        read_ledger(text)
