"""The ledger's text: exact both ways, and whatever is not exactly what a replica wrote is no ledger."""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.ledger.codec import LedgerDamagedError, NewerFormatError, read_ledger, write_ledger
from webhook.ledger.protocol import Ledger
from webhook.quota.expected import Expected
from webhook.quota.objects import ObjectKey
from webhook.quota.promises import MarkedEdit
from webhook.quota.reservation import Reservation
from webhook.quota.resources import Amounts
from webhook.quota.subject import Payer

UID = "6b9c4c56-9a3e-4bd8-8c4b-6a2a3b7f0d11"
ALICE, BOB = Payer("alice", ("ml", "staff")), Payer("bob")
SCOPES = ("NotTerminating", "PriorityClass=high")
SMALL: Amounts = (("pods", 10**9), ("requests.cpu", 5 * 10**8))
SLICE: Amounts = (("gpu", Fraction(10**9, 7)), ("pods", 10**9))

SAMPLE = Ledger(
    "b7c1",
    is_open=True,
    write=17,
    settled_through={"pods": 4711},
    reservations={
        "r1-0": Reservation(ObjectKey("pods", "red", "web"), "uid-1", 0, ALICE, SMALL),
        "r1-1": Reservation(ObjectKey("pods", "red", "db"), "uid-2", 4700, BOB, SLICE, SCOPES),
        "r2-0": Reservation(ObjectKey("pods", "blue", "web"), "", 0, ALICE, SMALL),
    },
    age=60_000,
    waited={"r1-0": 60_000, "r1-1": 100, "r2-0": 0},
)
GOLDEN_BODY = (
    '{"object":"6b9c4c56-9a3e-4bd8-8c4b-6a2a3b7f0d11","epoch":"b7c1","state":"open","write":17,"age":60000,'
    '"settledThrough":{"pods":4711},"payers":[["alice",["ml","staff"],[]],["bob",[],["NotTerminating","PriorityClass=high"]]],'
    '"amounts":[[["pods","1000000000"],["requests.cpu","500000000"]],[["gpu","1000000000/7"],["pods","1000000000"]]],'
    '"reservations":[["r1-0","pods","red","web","uid-1",0,0,0,60000],["r1-1","pods","red","db","uid-2",4700,1,1,100],'
    '["r2-0","pods","blue","web","",0,0,0,0]]}'
)


def sealed(body: str, *, form: str = "2") -> str:
    """Return *body* as whoever knows of the checksum would write it."""
    digest = hashlib.sha256(body.encode(errors="surrogatepass")).hexdigest()
    return f"userquota-ledger {form} sha256={digest}\n{body}\n"


def edited(change: Callable[[Any], object]) -> str:
    """Return the sample after an edit that put the checksum right, too."""
    body = json.loads(GOLDEN_BODY)
    change(body)
    return sealed(json.dumps(body, separators=(",", ":"), ensure_ascii=False))


# What is written.


def test_the_text_is_this_to_the_letter() -> None:
    assert write_ledger(SAMPLE, uid=UID) == sealed(GOLDEN_BODY)


NOTEBOOK_PODS = (("notebook-name", "jo"),)
STARTING = replace(
    SAMPLE,
    reservations={
        "r1-0": Reservation(
            ObjectKey("notebooks.kubeflow.org", "red", "jo"),
            "uid-1",
            0,
            ALICE,
            (("sessions", 10**9),),
            expected=Expected(SMALL, (NOTEBOOK_PODS, (("app", "jo"), ("part", "main")))),
        ),
        "r1-1": Reservation(ObjectKey("pods", "red", "jo-0"), "uid-2", 0, ALICE, SMALL, part_of=(NOTEBOOK_PODS,)),
        "r2-0": SAMPLE.reservations["r2-0"],
    },
)


def test_a_ledger_with_sessions_has_a_format_of_its_own() -> None:
    text = write_ledger(STARTING, uid=UID)

    assert text.startswith("userquota-ledger 3 ")
    assert json.loads(text.splitlines()[1])["sessions"] == {
        "r1-0": [[[["notebook-name", "jo"]], [["app", "jo"], ["part", "main"]]], 1],
        "r1-1": [[[["notebook-name", "jo"]]], None],
    }
    assert read_ledger(text, uid=UID) == STARTING


ORDERED = replace(
    SAMPLE,
    edits={
        "r3-0": MarkedEdit("quotas", "uid-3", 17, was_part=True),
        "r3-1": MarkedEdit("new", "uid-4", 0, was_part=False),
    },
    waited={**SAMPLE.waited, "r3-0": 250, "r3-1": 0},
    policy_version=16,
    promised_at=1_796_040_000_000_001,
)


def test_a_ledger_with_an_order_of_promises_has_a_format_of_its_own() -> None:
    text = write_ledger(ORDERED, uid=UID)

    assert text.startswith("userquota-ledger 4 ")
    body = json.loads(text.splitlines()[1])
    assert body["edits"] == {"r3-0": ["quotas", "uid-3", 17, True, 250], "r3-1": ["new", "uid-4", 0, False, 0]}
    assert (body["policyVersion"], body["promisedAt"]) == (16, 1_796_040_000_000_001)
    assert read_ledger(text, uid=UID) == ORDERED


@pytest.mark.parametrize("field", ["edits", "policy_version", "promised_at"])
def test_older_replicas_do_not_read_an_order_of_promises(field: str) -> None:
    alone = replace(SAMPLE, **{field: getattr(ORDERED, field)})

    assert write_ledger(alone, uid=UID).startswith("userquota-ledger 4 ")


def test_a_token_of_a_reservation_is_none_of_an_edit() -> None:
    token = next(iter(SAMPLE.reservations))
    text = write_ledger(replace(SAMPLE, edits={token: MarkedEdit("quotas", "uid-3", 17, was_part=True)}), uid=UID)

    with pytest.raises(LedgerDamagedError, match="a token is given twice"):
        read_ledger(text, uid=UID)


def test_a_text_has_two_lines_whatever_people_are_called() -> None:
    reservation = Reservation(ObjectKey("pods", "a\nb", "c\r\nd"), "e\u2028f", 0, Payer("g\nh", ("i\x85j",)), SMALL)

    text = write_ledger(Ledger("e", is_open=True, reservations={"t\n": reservation}), uid=UID)

    assert text.count("\n") == 2
    assert text.endswith("}\n")


def test_a_payer_without_scopes_is_read_as_older_replicas_write_it() -> None:
    body = GOLDEN_BODY.replace('["alice",["ml","staff"],[]]', '["alice",["ml","staff"]]')

    assert body != GOLDEN_BODY
    assert read_ledger(sealed(body), uid=UID) == SAMPLE


def test_a_ledger_that_is_being_rebuilt_says_so() -> None:
    text = write_ledger(Ledger.rebuilding("b7c1"), uid=UID)

    assert json.loads(text.splitlines()[1])["state"] == "rebuilding"
    assert read_ledger(text, uid=UID) == Ledger.rebuilding("b7c1")


# Both ways.

names = st.text(st.characters(codec="utf-8"), max_size=8)
amounts = st.integers(1, 10**60) | st.fractions(min_value=Fraction(1, 10**12), max_value=10**30)
costs = st.dictionaries(names, amounts, max_size=4).map(lambda each: tuple(sorted(each.items())))
payers = st.builds(Payer, names, st.lists(names, max_size=3).map(lambda each: tuple(sorted(each))))
reservations = st.builds(
    Reservation,
    st.builds(ObjectKey, names, names, names),
    names,
    st.integers(0, 2**63 - 1),
    payers,
    costs,
    st.lists(names, max_size=2).map(tuple),
)
labels = st.lists(st.lists(st.tuples(names, names), max_size=2).map(tuple), min_size=1, max_size=2).map(tuple)
sessions = st.builds(
    lambda reservation, expected: replace(reservation, expected=expected),
    reservations,
    st.builds(Expected, costs, labels | st.just(())),
)
pods = st.builds(lambda reservation, part_of: replace(reservation, part_of=part_of), reservations, labels)
ledgers = st.builds(
    Ledger,
    names,
    is_open=st.booleans(),
    write=st.integers(0, 2**63 - 1),
    settled_through=st.dictionaries(names, st.integers(0, 2**63 - 1), max_size=3),
    reservations=st.dictionaries(names, reservations | sessions | pods, max_size=6),
    age=st.integers(0, 2**63 - 1),
).flatmap(
    lambda ledger: st.integers(0, 2**63 - 1).map(lambda ms: ledger.aged(0, dict.fromkeys(ledger.reservations, ms)))
)


@given(ledger=ledgers, uid=names.filter(bool))
def test_what_is_read_is_what_was_written(ledger: Ledger, uid: str) -> None:
    found = read_ledger(write_ledger(ledger, uid=uid), uid=uid)

    assert found == ledger
    assert list(found.reservations) == list(ledger.reservations)  # their order tells which creates are the oldest
    assert write_ledger(found, uid=uid) == write_ledger(ledger, uid=uid)


def test_whole_numbers_are_read_as_such_and_not_as_fractions() -> None:
    """A decision adds them up by the thousand."""
    found = read_ledger(write_ledger(SAMPLE, uid=UID), uid=UID)

    assert [type(amount) for _, amount in found.reservations["r1-0"].amounts] == [int, int]


def test_those_who_share_payer_and_amounts_share_the_lines_of_the_tables() -> None:
    body = json.loads(write_ledger(SAMPLE, uid=UID).splitlines()[1])

    assert (len(body["payers"]), len(body["amounts"])) == (2, 2)


# What is no ledger.


def test_a_text_that_was_cut_anywhere_is_damaged() -> None:
    text = sealed(GOLDEN_BODY)
    for length in range(len(text) - 1):
        with pytest.raises(LedgerDamagedError):
            read_ledger(text[:length], uid=UID)


def test_a_text_that_lacks_the_last_newline_is_damaged() -> None:
    with pytest.raises(LedgerDamagedError):
        read_ledger(sealed(GOLDEN_BODY)[:-1], uid=UID)


FORM_AT = len("userquota-ledger ")
DIGEST = hashlib.sha256(GOLDEN_BODY.encode()).hexdigest()


@pytest.mark.parametrize("bit", [0x01, 0x04, 0x20, 0x40])
def test_a_letter_that_was_changed_anywhere_is_noticed(bit: int) -> None:
    text = sealed(GOLDEN_BODY)
    for at, letter in enumerate(text):
        if at != FORM_AT and at != len(text) - 1:
            with pytest.raises(LedgerDamagedError):
                read_ledger(text[:at] + chr(ord(letter) ^ bit) + text[at + 1 :], uid=UID)


@pytest.mark.parametrize("letter", sorted(set(string.printable) - set("123456789")))
def test_a_format_that_is_no_number_of_ours_is_damage(letter: str) -> None:
    with pytest.raises(LedgerDamagedError):
        read_ledger(sealed(GOLDEN_BODY, form=letter), uid=UID)


@pytest.mark.parametrize("tail", ["\n", " ", "\0", "}", "\n" + GOLDEN_BODY + "\n"])
def test_what_follows_the_second_line_is_damage(tail: str) -> None:
    with pytest.raises(LedgerDamagedError):
        read_ledger(sealed(GOLDEN_BODY) + tail, uid=UID)


@pytest.mark.parametrize(
    "text",
    {
        "empty": "",
        "a newline": "\n",
        "somebody else's": "version: 1\ndefaults: {}\n",
        "the body alone": GOLDEN_BODY + "\n",
        "Windows' newlines": sealed(GOLDEN_BODY).replace("\n", "\r\n"),
        "a byte order mark": "\ufeff" + sealed(GOLDEN_BODY),
        "space before": " " + sealed(GOLDEN_BODY),
        "another name": sealed(GOLDEN_BODY).replace("userquota-ledger", "userquota-Ledger"),
        "two spaces": sealed(GOLDEN_BODY).replace("ledger 2 ", "ledger 2  "),
        "a tab": sealed(GOLDEN_BODY).replace("ledger 2 ", "ledger\t2 "),
        "another digit of one": sealed(GOLDEN_BODY, form="\u0661"),
        "a sign": sealed(GOLDEN_BODY, form="+1"),
        "no format": sealed(GOLDEN_BODY).replace("ledger 2 ", "ledger "),
        "another checksum": sealed(GOLDEN_BODY).replace("sha256", "sha512"),
        "a checksum in capitals": sealed(GOLDEN_BODY).replace(DIGEST, DIGEST.upper()),
        "the checksum of another text": sealed("{}").split("\n")[0] + "\n" + GOLDEN_BODY + "\n",
        "no JSON": sealed("settled"),
        "two JSONs": sealed(GOLDEN_BODY + GOLDEN_BODY),
        "null": sealed("null"),
        "a list": sealed("[]"),
        "nothing in it": sealed("{}"),
        "half a pair of surrogates": sealed(GOLDEN_BODY.replace("alice", "al\ud800ce")),
        "half a pair of surrogates, escaped": sealed(GOLDEN_BODY.replace("alice", r"al\ud800ce")),
    }.items(),
    ids=lambda each: each[0],
)
def test_this_is_no_ledger(text: tuple[str, str]) -> None:
    with pytest.raises(LedgerDamagedError):
        read_ledger(text[1], uid=UID)


@given(st.text(max_size=200))
def test_no_text_at_all_is_taken_for_a_ledger_or_fails_otherwise(text: str) -> None:
    for each in (text, f"userquota-ledger 1 {text}", sealed(text)):
        with pytest.raises(LedgerDamagedError):
            read_ledger(each, uid=UID)


@given(at=st.integers(0, len(GOLDEN_BODY)), cut=st.integers(0, 3), put=st.text('"[]{}:,.-+e0159/\\u \n', max_size=3))
def test_an_edit_anywhere_is_damage_or_gives_what_could_have_been_written(at: int, cut: int, put: str) -> None:
    """Though its checksum is right."""
    try:
        found = read_ledger(sealed(GOLDEN_BODY[:at] + put + GOLDEN_BODY[at + cut :]), uid=UID)
    except LedgerDamagedError:
        return

    assert read_ledger(write_ledger(found, uid=UID), uid=UID) == found


def without(key: str) -> str:
    return edited(lambda body: body.pop(key))


def with_line(*line: object) -> str:
    return edited(lambda body: body.update(reservations=[list(line)]))


EDITS: dict[str, str] = {
    **{f"without {key}": without(key) for key in json.loads(GOLDEN_BODY)},
    "an unknown field": edited(lambda body: body.update(more=1)),
    "another state": edited(lambda body: body.update(state="closed")),
    "a state in capitals": edited(lambda body: body.update(state="Open")),
    "write is a text": edited(lambda body: body.update(write="17")),
    "write is a fraction": edited(lambda body: body.update(write=17.5)),
    "write is true": edited(lambda body: body.update(write=True)),
    "settledThrough is a text": edited(lambda body: body.update(settledThrough={"pods": "4711"})),
    "settledThrough is null": edited(lambda body: body.update(settledThrough=None)),
    "a payer without groups": edited(lambda body: body.update(payers=[["alice"], ["bob", []]])),
    "a payer too much to read": edited(lambda body: body.update(payers=[["alice", [], [], 1], ["bob", []]])),
    "no payers": edited(lambda body: body.update(payers=[])),
    "no amounts": edited(lambda body: body.update(amounts=[])),
    "an amount that is a number": edited(lambda body: body.update(amounts=[[["pods", 1]], [["pods", 1]]])),
    "the payer after the last": with_line("t", "pods", "red", "web", "u", 0, 2, 0, 5),
    "the amounts after the last": with_line("t", "pods", "red", "web", "u", 0, 0, 2, 5),
    "a short line": with_line("t", "pods", "red", "web", "u", 0, 0, 0),
    "a base that is a text": with_line("t", "pods", "red", "web", "u", "0", 0, 0, 5),
    "a base with a fraction": with_line("t", "pods", "red", "web", "u", 0.5, 0, 0, 5),
    "sessions that are null": edited(lambda body: body.update(sessions=None)),
    "a session of no reservation": edited(lambda body: body.update(sessions={"r9": [[[["a", "b"]]], 0]})),
    "a session with the amounts after the last": edited(lambda body: body.update(sessions={"r1-0": [[], 2]})),
    "a session with negative amounts": edited(lambda body: body.update(sessions={"r1-0": [[], -1]})),
    "a label without a value": edited(lambda body: body.update(sessions={"r1-0": [[[["a"]]], 0]})),
    "a pod of nothing": edited(lambda body: body.update(sessions={"r1-0": [[], None]})),
    "a name that is null": with_line("t", "pods", "red", None, "u", 0, 0, 0, 5),
}


@pytest.mark.parametrize("text", EDITS.values(), ids=list(EDITS))
def test_an_edit_that_no_replica_would_make_is_damage_though_its_checksum_is_right(text: str) -> None:
    with pytest.raises(LedgerDamagedError):
        read_ledger(text, uid=UID)


WIDE_EDITS: dict[str, str] = {
    "a negative payer": with_line("t", "pods", "red", "web", "u", 0, -1, 0, 5),
    "negative amounts": with_line("t", "pods", "red", "web", "u", 0, 0, -1, 5),
    "a negative base": with_line("t", "pods", "red", "web", "u", -1, 0, 0, 5),
    "a long line": with_line("t", "pods", "red", "web", "u", 0, 0, 0, 5, "more"),
    "a negative wait": with_line("t", "pods", "red", "web", "u", 0, 0, 0, -1),
    "a negative age": edited(lambda body: body.update(age=-1, reservations=[])),
    "a negative write": edited(lambda body: body.update(write=-1)),
    "a negative settledThrough": edited(lambda body: body.update(settledThrough={"pods": -1})),
    "a token given twice": edited(lambda body: body["reservations"].append(body["reservations"][0])),
}


@pytest.mark.parametrize("text", WIDE_EDITS.values(), ids=list(WIDE_EDITS))
def test_an_edit_that_would_be_misread_is_damage(text: str) -> None:
    """A line that is lost or misunderstood is a reservation that nobody counts."""
    with pytest.raises(LedgerDamagedError):
        read_ledger(text, uid=UID)


def with_amount(text: str) -> str:
    return edited(lambda body: body["amounts"][0].__setitem__(0, ["pods", text]))


@pytest.mark.parametrize("amount", ["", "1/0", "NaN", "inf", "x", "1/", "/2", "1/2/3", "0x10", "1 000", "9" * 5000])
def test_what_is_no_amount_is_damage(amount: str) -> None:
    with pytest.raises(LedgerDamagedError):
        read_ledger(with_amount(amount), uid=UID)


@pytest.mark.parametrize(
    "amount", ["-1", "0", "-1/2", "1e3", " 1", "1 ", "+1", "1_000", "1.5", "01", "2/4", "3/1", "\u0663"]
)
def test_what_no_replica_writes_as_an_amount_is_damage(amount: str) -> None:
    """One below zero would make room that is not there; a zero breaks the sums of the index when it goes."""
    with pytest.raises(LedgerDamagedError):
        read_ledger(with_amount(amount), uid=UID)


# Whose text it is.


def test_a_text_in_another_object_is_a_copy() -> None:
    with pytest.raises(LedgerDamagedError, match="copied"):
        read_ledger(write_ledger(SAMPLE, uid=UID), uid="another")


def test_the_first_text_of_an_object_knows_no_uid_yet() -> None:
    first = Ledger.first("b7c1")

    assert read_ledger(write_ledger(first, uid=""), uid=UID) == first


def test_a_later_text_without_a_uid_is_damage() -> None:
    with pytest.raises(LedgerDamagedError, match="copied"):
        read_ledger(write_ledger(SAMPLE, uid=""), uid=UID)


# What comes after us.


@pytest.mark.parametrize("form", ["6", "10", "4294967296"])
def test_a_newer_format_is_told_apart_from_damage_whatever_its_body_is(form: str) -> None:
    for text in (sealed(GOLDEN_BODY, form=form), f"userquota-ledger {form} sha256=\nof a kind we do not know"):
        with pytest.raises(NewerFormatError, match=form):
            read_ledger(text, uid=UID)


def test_a_format_of_thousands_of_digits_is_no_crash() -> None:
    with pytest.raises((LedgerDamagedError, NewerFormatError)):
        read_ledger(sealed(GOLDEN_BODY, form="9" * 5000), uid=UID)


# Size.


def crowded(count: int, *, owners: int = 50) -> Ledger:
    """Return a ledger as a busy cluster has it: pods of ReplicaSets, people with three groups, a few sizes of pod."""
    sizes: list[Amounts] = [
        (
            ("limits.cpu", n * 10**9),
            ("limits.memory", n * 2**32 * 10**9),
            ("pods", 10**9),
            ("requests.cpu", n * 5 * 10**8),
            ("requests.memory", n * 2**31 * 10**9),
        )
        for n in range(1, 11)
    ]
    everybody = [Payer(f"person-{n}@example.com", ("ml", "staff", "system:authenticated")) for n in range(owners)]
    return Ledger(
        "0123456789abcdef",
        is_open=True,
        write=10**6,
        settled_through={"pods": 10**8},
        reservations={
            f"0a1b2c3d-{n:x}": Reservation(
                ObjectKey("pods", f"team-{n % 20}", f"training-run-7d9c6b5f4-{n:05x}"),
                f"{n:08x}-9a3e-4bd8-8c4b-6a2a3b7f0d11",
                0,
                everybody[n % owners],
                sizes[n % len(sizes)],
            )
            for n in range(count)
        },
    )


def test_five_hundred_reservations_of_fifty_people_take_less_than_a_hundred_kilobytes() -> None:
    assert len(write_ledger(crowded(500), uid=UID).encode()) < 100_000


def test_more_than_seven_thousand_reservations_fit() -> None:
    assert len(write_ledger(crowded(7000), uid=UID).encode()) < 900_000
