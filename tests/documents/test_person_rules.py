"""Rules in order: which of them holds for whom, how it meets other entries, and what is wrong with one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.documents.test_tiers import mistakes, notes, policy
from tests.quota.policies import NOW, described, resolve
from webhook.documents.step_by_step import at_once
from webhook.quota.edits import Known, effect_of
from webhook.quota.limits import limits_of_any
from webhook.quota.policy_changes import changes_between
from webhook.quota.subject import NOBODY, Payer
from webhook.quota.usage import Holdings
from webhook.view.rules import Rules

TEXT = """\
defaults: {user: {hard: {cpu: 4, pods: 10}, mode: warn}, serviceAccount: {hard: {cpu: 5}}}
rules:
  - {name: pilot, users: [alice], groups: [ml], hard: {cpu: 2}}
  - {name: students, groups: [students], hard: {cpu: 1}, perPod: {cpu: 1}}
groups: {ml: {}, students: {}, staff: {perMember: {hard: {cpu: 3}}}}
users: {carol: {hard: {cpu: 9}}}
"""
DEFAULT, PILOT, STUDENT = "4 defaults.user", "2 rules.pilot", "1 rules.students"

WHO = {
    "nobody named": (Payer("eve"), DEFAULT),
    "by name": (Payer("alice"), PILOT),
    "by group": (Payer("bob", ("ml",)), PILOT),
    "the first of two": (Payer("bob", ("ml", "students")), PILOT),
    "the second": (Payer("bob", ("students",)), STUDENT),
    "an entry of one's own is stronger": (Payer("carol", ("students",)), "9 users.carol"),
    "a service account is in no rule": (Payer("system:serviceaccount:red:alice", ("ml",)), "5 defaults.serviceAccount"),
}


def cpu(text: str, payer: Payer) -> str:
    limits = [each for each in resolve(policy(text), payer).sums if each.resource == "requests.cpu"]
    return f"{limits[0].hard // 10**9} {limits[0].entry}"


@pytest.mark.parametrize(("payer", "expected"), WHO.values(), ids=WHO.keys())
def test_the_first_rule_that_holds_for_a_person_stands_before_the_default(payer: Payer, expected: str) -> None:
    assert cpu(TEXT, payer) == expected


def test_what_a_rule_does_not_limit_the_default_does_each_in_its_own_mode() -> None:
    found = resolve(policy(TEXT), Payer("alice"))
    assert [(each.resource, each.entry, each.mode.value) for each in found.sums] == [
        ("pods", "defaults.user", "warn"),
        ("requests.cpu", "rules.pilot", "enforce"),
    ]


def test_the_order_decides() -> None:
    first, second = TEXT.splitlines()[2:4]
    turned = TEXT.replace(f"{first}\n{second}", f"{second}\n{first}")
    assert cpu(turned, Payer("bob", ("ml", "students"))) == STUDENT


def test_a_rule_that_has_ended_leaves_its_people_to_the_next() -> None:
    ends = TEXT.replace("hard: {cpu: 2}", f"hard: {{cpu: 2}}, until: {(NOW - timedelta(1)).isoformat()}")
    assert cpu(ends, Payer("bob", ("ml", "students"))) == STUDENT
    assert cpu(ends, Payer("alice")) == DEFAULT


def test_with_most_restrictive_the_caps_of_groups_bind_besides() -> None:
    assert described(resolve(policy(TEXT), Payer("alice", ("staff",)))) == [
        "user/alice: pods=10 defaults.user",
        "user/alice: requests.cpu=2 rules.pilot",
        "user/alice: requests.cpu=3 groups.staff.perMember",
    ]


def test_with_another_way_the_caps_of_groups_are_stronger() -> None:
    assert cpu(f"combine: max\n{TEXT}", Payer("alice", ("staff",))) == "3 groups.staff.perMember"


def test_what_nobody_owns_is_in_no_rule() -> None:
    unattributed = TEXT + "exempt: []\n"
    assert limits_of_any(policy(unattributed), NOBODY, namespace="", labels={}, now=NOW).sums == ()


MISTAKES = {
    "nobody": ("rules: [{name: a, hard: {cpu: 1}}]", "expected users or groups; what holds for everybody is"),
    "no name": ("rules: [{users: [a], hard: {cpu: 1}}]", "rules[0].name: "),
    "a name twice": ("rules: [{name: a, users: [b]}, {name: a, users: [c]}]", "there is a rule a before it"),
    "an unknown group": (
        "rules: [{name: a, groups: [mll]}]\ngroups: {ml: {}}",
        "mll has no entry under groups, did you mean ml?",
    ),
    "a service account": ("rules: [{name: a, users: ['system:serviceaccount:a:b']}]", "belongs into serviceAccounts"),
}


@pytest.mark.parametrize(("text", "why"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_at_its_place(text: str, why: str) -> None:
    [mistake] = mistakes(text)
    assert why in mistake
    assert mistake.startswith("0.yaml:2:")


def test_only_one_text_has_rules() -> None:
    rules = "rules: [{name: a, users: [b], hard: {cpu: 1}}]"
    assert mistakes(rules, rules) == ["1.yaml:2:8: rules: already defined at 0.yaml:2"]


def test_a_group_of_another_text_is_known() -> None:
    assert mistakes("rules: [{name: a, groups: [ml], hard: {cpu: 1}}]", "groups: {ml: {}}") == []


def test_nothing_is_noted_of_a_group_that_only_rules_name() -> None:
    assert notes(TEXT.replace(", staff: {perMember: {hard: {cpu: 3}}}", "")) == []


def test_a_change_of_who_is_meant_is_told() -> None:
    changes = changes_between(policy(TEXT), policy(TEXT.replace("users: [alice]", "users: [bob]")))
    assert [(each.what, each.before, each.after) for each in changes.settings] == [
        ("rules.pilot.users[alice]", "listed", None),
        ("rules.pilot.users[bob]", None, "listed"),
    ]


def test_a_rule_that_goes_lifts_what_nothing_else_limits() -> None:
    after = TEXT.replace("  - {name: students, groups: [students], hard: {cpu: 1}, perPod: {cpu: 1}}\n", "")
    known = Known(Holdings({}), lambda _: {}, NOW, lambda _: True)
    effect = at_once(effect_of(policy(TEXT), policy(after), known))
    assert [(each.whom, each.resource, each.entry) for each in effect.lifted] == [
        ("rules.students", "requests.cpu", "rules.students"),
        ("rules.students", "requests.cpu", "rules.students.perPod"),
    ]


def test_explain_names_the_rule() -> None:
    found = policy(TEXT)
    limits = resolve(found, Payer("alice")).sums
    assert [Rules(found).of(each, limits).text for each in limits] == [
        "default",
        "by a rule, in the place of defaults.user",
    ]
