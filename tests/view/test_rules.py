"""Which rule made a number."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.view.scenes import NOW, policy
from webhook.quota.limits import limits_of_any
from webhook.quota.resources import show
from webhook.quota.subject import Payer
from webhook.view.rules import Rules

ALICE = Payer("alice", ("a+b", "ml"))
END = datetime(2027, 1, 31, tzinfo=UTC)
CAPS = "groups: {ml: {perMember: {hard: {cpu: 3}}}, a+b: {perMember: {hard: {cpu: 5}, until: 2027-01-31T00:00:00Z}}}"

TIERS = "tiers: {pro: {hard: {cpu: 8}}, basic: {hard: {cpu: 4}}}\n"

TABLE = {
    "a default": ("defaults: {user: {hard: {cpu: 4}}}", [("default", None)]),
    "a default of the resource": ("resources: {cpu: {default: 4}}", [("default of the resource", None)]),
    "an own entry, in the place of a default of the resource": (
        "resources: {cpu: {default: 4}}\nusers: {alice: {hard: {cpu: 8}}}",
        [("own entry, in the place of resources.cpu", None)],
    ),
    "an own entry": ("users: {alice: {hard: {cpu: 4}}}", [("own entry", None)]),
    "an own entry that ends, in the place of a default": (
        "defaults: {user: {hard: {cpu: 1}}}\nusers: {alice: {hard: {cpu: 4}, until: 2027-01-31T00:00:00Z}}",
        [("own entry, in the place of defaults.user", END)],
    ),
    "the most restrictive": (
        CAPS,
        [
            ("cap for each member; not the lowest of 2", END),
            ("cap for each member; the lowest of 2, the most restrictive binds", None),
        ],
    ),
    "the sum, until the first ends": (
        f"combine: sum\n{CAPS}",
        [("the sum of the perMember caps of groups (combine: sum)", END)],
    ),
    "the largest": (f"combine: max\n{CAPS}", [("the largest of the perMember caps of groups (combine: max)", END)]),
    "a pool": ("groups: {ml: {pool: {hard: {cpu: 4}}}}", [("pool shared by all members", None)]),
    "a tenant and its namespaces": (
        "tenants: {t: {namespaces: {matchLabels: {team: t}}, hard: {cpu: 4}, perNamespace: {hard: {cpu: 2}}}}",
        [("tenant", None), ("for each namespace of the tenant", None)],
    ),
    "a namespace": ("namespaces: {red: {hard: {cpu: 4}}}", [("namespace", None)]),
    "the cluster": ("cluster: {hard: {cpu: 4}}", [("whole cluster", None)]),
    "a tier, in the place of that of the default": (
        f"{TIERS}defaults: {{user: {{tier: basic}}}}\nusers: {{alice: {{tier: pro, until: 2027-01-31T00:00:00Z}}}}",
        [("own entry, by tiers.pro, in the place of defaults.user (tiers.basic)", END)],
    ),
    "a tier for each member": (
        f"{TIERS}groups: {{ml: {{perMember: {{tier: pro}}}}}}",
        [("cap for each member, by tiers.pro", None)],
    ),
    "tiers that are added": (
        f"{TIERS}combine: sum\ngroups: {{ml: {{perMember: {{tier: pro}}}}, a+b: {{perMember: {{tier: basic}}}}}}",
        [("the sum of the perMember caps of groups (combine: sum)", None)],
    ),
    "a window": (
        "groups: {ml: {pool: {hard: {cpu: 1}, windows: [{from: 00:00, to: 00:00, zone: UTC, hard: {cpu: 8}}]}}}",
        [("pool shared by all members, in a window (mon,tue,wed,thu,fri,sat,sun 00:00-00:00 UTC)", None)],
    ),
    "for a selection": (
        "users: {alice: {scoped: [{scopes: [BestEffort], hard: {pods: 4}}]}}",
        [("own entry", None)],
    ),
}


@pytest.mark.parametrize(("text", "rules"), TABLE.values(), ids=TABLE.keys())
def test_a_number_names_its_rule(text: str, rules: list[tuple[str, datetime | None]]) -> None:
    made = policy(text)
    limits = limits_of_any(made, ALICE, namespace="red", labels={"team": "t"}, now=NOW).sums
    found = [Rules(made).of(limit, [each for each in limits if each.subject == limit.subject]) for limit in limits]

    assert [(each.text, each.until) for each in found] == rules


OF_OBJECTS = {
    "the lowest cap": (
        "{ml: {perMember: {perPod: {cpu: 3}}}, x: {perMember: {perPod: {cpu: 5}}}}",
        "most-restrictive",
        [
            ("3", "cap for each member; the lowest of 2, the most restrictive binds"),
            ("5", "cap for each member; not the lowest of 2"),
        ],
    ),
    "the highest minimum": (
        "{ml: {perMember: {minPerPod: {cpu: 3}}}, x: {perMember: {minPerPod: {cpu: 5}}}}",
        "most-restrictive",
        [
            ("3", "cap for each member; not the highest of 2"),
            ("5", "cap for each member; the highest of 2, the most restrictive binds"),
        ],
    ),
    "no sum of caps": (
        "{ml: {perMember: {perPod: {cpu: 3}}}, x: {perMember: {perPod: {cpu: 5}}}}",
        "sum",
        [("5", "the largest of the perMember caps of groups (combine: sum)")],
    ),
    "nor of minima": (
        "{ml: {perMember: {minPerPod: {cpu: 3}}}, x: {perMember: {minPerPod: {cpu: 5}}}}",
        "sum",
        [("3", "the smallest of the perMember caps of groups (combine: sum)")],
    ),
}


@pytest.mark.parametrize(("groups", "combine", "rules"), OF_OBJECTS.values(), ids=OF_OBJECTS.keys())
def test_what_one_object_may_ask_for_names_its_rule(groups: str, combine: str, rules: list[tuple[str, str]]) -> None:
    made = policy(f"combine: {combine}\ngroups: {groups}")
    caps = limits_of_any(made, Payer("alice", ("ml", "x")), namespace="", labels={}, now=NOW).caps

    assert [(show(each.resource, each.hard), Rules(made).of(each, caps).text) for each in caps] == rules


def test_a_cap_names_its_rule() -> None:
    made = policy(
        "defaults: {user: {perPod: {cpu: 1}}}\nusers: {alice: {perPod: {cpu: 2}, until: 2027-01-31T00:00:00Z}}"
    )
    [cap] = limits_of_any(made, ALICE, namespace="", labels={}, now=NOW).caps

    assert Rules(made).of(cap, [cap]).text == "own entry, in the place of defaults.user"
    assert Rules(made).of(cap, [cap]).until == END
