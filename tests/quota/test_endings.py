"""People are told of a limit that ends, and of the lower one that follows, seven days and one day before."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.endings import EndingLimit, ending_limit
from webhook.quota.message import ending_warning
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy
from webhook.quota.quantity import NANOS
from webhook.quota.reservation import Charge
from webhook.quota.scopes import Scopes
from webhook.quota.subject import Payer

END = datetime.fromisoformat("2027-01-31T00:00:00Z")
UNTIL = "until: 2027-01-31T00:00:00Z"
DEFAULT = "defaults: {user: {hard: {cpu: 4}, perPod: {cpu: 2}}}\n"
ALICE = f"users: {{alice: {{hard: {{cpu: 8, gpu: 2}}, {UNTIL}}}}}\n"
TOLD = "the limit users.alice (requests.cpu 8) ends on 2027-01-31, 4 from then on"
ONE = "{perMember: {hard: {cpu: 1}}}"


def policy(text: str) -> Policy:
    found = read_policy([PolicyText("p.yaml", f"version: 1\n{text}")])
    assert found.policy is not None, found.mistakes
    return found.policy


def ending(
    text: str, now: datetime = END - timedelta(hours=1), *resources: str, scopes: Scopes = (), groups: str = ""
) -> EndingLimit | None:
    amounts = tuple((each, NANOS) for each in sorted(resources or ("pods", "requests.cpu")))
    payer = Payer("alice", tuple(groups.split()))
    charge = Charge(ObjectKey("pods", "red", "p"), "u", 0, payer, amounts, cap="perPod", scopes=scopes)
    return ending_limit(policy(text), charge, labels={"team": "t"}, now=now)


def told(text: str, *, scopes: Scopes = (), groups: str = "") -> str:
    found = ending(text, scopes=scopes, groups=groups)
    return "" if found is None else ending_warning(found)


TIMES = [
    (timedelta(days=7, microseconds=1), False),
    (timedelta(days=7), True),
    (timedelta(days=6, microseconds=1), True),
    (timedelta(days=6), False),
    (timedelta(days=1, microseconds=1), False),
    (timedelta(days=1), True),
    (timedelta(microseconds=1), True),
    (timedelta(0), False),
    (-timedelta(days=1), False),
]


@pytest.mark.parametrize(("left", "is_told"), TIMES, ids=str)
def test_when_people_are_told(left: timedelta, *, is_told: bool) -> None:
    assert (ending(DEFAULT + ALICE, END - left) is not None) is is_told


LOWER = {
    "the default follows": (DEFAULT + ALICE, TOLD),
    "nothing follows": (ALICE, ""),
    "a higher one follows": (DEFAULT.replace("cpu: 4", "cpu: 9") + ALICE, ""),
    "the same follows": (DEFAULT.replace("cpu: 4", "cpu: 8") + ALICE, ""),
    "one that is only for the audit log follows": (DEFAULT.replace("{hard", "{mode: audit, hard") + ALICE, ""),
    "one that only warns follows": (DEFAULT.replace("{hard", "{mode: warn, hard") + ALICE, TOLD),
    "0 follows": (
        DEFAULT.replace("cpu: 4", "cpu: 0") + ALICE,
        "the limit users.alice (requests.cpu 8) ends on 2027-01-31, 0 from then on",
    ),
    "no limit ends": (
        DEFAULT + ALICE.replace("cpu: 8", "cpu: unlimited"),
        "the limit users.alice (requests.cpu unlimited) ends on 2027-01-31, 4 from then on",
    ),
    "a cap on one pod": (
        DEFAULT + f"users: {{alice: {{perPod: {{cpu: 3}}, {UNTIL}}}}}",
        "the limit users.alice.perPod (requests.cpu 3) ends on 2027-01-31, 2 from then on",
    ),
    "the amounts of a tier": (
        DEFAULT + f"tiers: {{pro: {{hard: {{cpu: 8}}}}}}\nusers: {{alice: {{tier: pro, {UNTIL}}}}}",
        "the limit users.alice (tiers.pro) (requests.cpu 8) ends on 2027-01-31, 4 from then on",
    ),
    "the limit of somebody else": (DEFAULT + ALICE.replace("alice", "bob"), ""),
    "a cap of a group that only lowers": (f"{DEFAULT}groups: {{ml: {{perMember: {{hard: {{cpu: 2}}, {UNTIL}}}}}}}", ""),
    "a group that gives more": (
        f"combine: max\n{DEFAULT}groups: {{ml: {{perMember: {{hard: {{cpu: 8}}, {UNTIL}}}}}}}",
        "the limit groups.ml.perMember (requests.cpu 8) ends on 2027-01-31, 4 from then on",
    ),
    "one of two groups that are added": (
        f"combine: sum\ngroups: {{x: {ONE}, ml: {{perMember: {{hard: {{cpu: 8}}, {UNTIL}}}}}}}\n",
        "the limit groups.ml.perMember+groups.x.perMember (requests.cpu 9) ends on 2027-01-31, 1 from then on",
    ),
}


@pytest.mark.parametrize(("text", "expected"), LOWER.values(), ids=LOWER)
def test_only_a_lower_limit_that_follows_is_told(text: str, expected: str) -> None:
    assert told(text, groups="ml x") == expected


def test_only_what_is_asked_for_counts() -> None:
    assert ending(DEFAULT + ALICE, END - timedelta(hours=1), "pods", "requests.memory") is None


def test_a_limit_on_what_is_selected_is_told_to_whom_it_concerns() -> None:
    text = (
        "defaults: {user: {scoped: [{scopes: [BestEffort], hard: {pods: 1}}]}}\n"
        f"users: {{alice: {{scoped: [{{scopes: [BestEffort], hard: {{pods: 5}}, {UNTIL}}}]}}}}\n"
    )
    assert told(text) == ""
    expected = "the limit users.alice.scoped[0] (pods 5) ends on 2027-01-31, 1 from then on"
    assert told(text, scopes=("BestEffort",)) == expected


def test_the_first_that_ends_is_told_and_only_if_another_lower_one_follows() -> None:
    sooner = "groups: {ml: {pool: {hard: {cpu: 99}, until: 2027-01-30T23:30:00Z}}}\n"
    assert told(DEFAULT + ALICE + sooner, groups="ml") == TOLD
    sooner = "combine: max\ngroups: {ml: {perMember: {hard: {cpu: 6}, until: 2027-01-30T23:30:00Z}}}\n"
    assert told(DEFAULT + ALICE + sooner, groups="ml") == TOLD
    later = sooner.replace("2027-01-30T23:30:00Z", "2027-01-31T00:30:00Z")
    expected = "the limit users.alice (requests.cpu 8) ends on 2027-01-31, 6 from then on"
    assert told(DEFAULT + ALICE + later, groups="ml") == expected
