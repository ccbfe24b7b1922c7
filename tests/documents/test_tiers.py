"""Amounts with a name that entries refer to: which limit wins, what is wrong, and what refers to nothing."""

from __future__ import annotations

import pytest

from tests.quota.policies import ALICE, NOW, described, resolve
from webhook.documents.policy_schema import TierPart
from webhook.documents.policy_text import PolicyReading, PolicyText, read_policy
from webhook.quota.limits import limits_of_any
from webhook.quota.policy import Policy
from webhook.quota.subject import NOBODY, Payer

TIERS = """\
tiers:
  pro:
    hard: {cpu: 8, gpu: 2}
    perPod: {cpu: 4, memory: 8Gi}
    scoped: [{scopes: [BestEffort], hard: {pods: 5}}]
  sums: {hard: {cpu: 9, pods: 90}}
"""


def reading(*texts: str) -> PolicyReading:
    return read_policy([PolicyText(f"{number}.yaml", f"version: 1\n{text}") for number, text in enumerate(texts)])


def policy(*texts: str) -> Policy:
    found = reading(*texts)
    assert found.policy is not None, found.mistakes
    return found.policy


def mistakes(*texts: str) -> list[str]:
    return [str(each) for each in reading(*texts).mistakes]


def notes(*texts: str) -> list[str]:
    return [str(each) for each in reading(*texts).notes]


ROBOT = Payer("system:serviceaccount:ci:robot")
ALL_OF_PRO = ["gpu=2 {} (tiers.pro)", "requests.cpu=8 {} (tiers.pro)"]
ALL_CAPS_OF_PRO = [
    "pod: requests.cpu=4 {} (tiers.pro).perPod",
    "pod: requests.memory=8Gi {} (tiers.pro).perPod",
]
RESOLVED = {
    "all is of the tier": ("users: {alice: {tier: pro}}", "user/alice", "users.alice", ALL_OF_PRO, ALL_CAPS_OF_PRO),
    "an own amount replaces that of the tier, lower or higher": (
        "users: {alice: {tier: pro, hard: {cpu: 1}, perPod: {cpu: 16}}}",
        "user/alice",
        "users.alice",
        ["gpu=2 {} (tiers.pro)", "requests.cpu=1 {}"],
        ["pod: requests.cpu=16 {}.perPod", "pod: requests.memory=8Gi {} (tiers.pro).perPod"],
    ),
    "unlimited lifts what the tier says": (
        "users: {alice: {tier: pro, hard: {cpu: unlimited}}}",
        "user/alice",
        "users.alice",
        ["gpu=2 {} (tiers.pro)"],
        ALL_CAPS_OF_PRO,
    ),
    "a tier is stronger than the default": (
        "users: {alice: {tier: pro}}\ndefaults: {user: {hard: {cpu: 1, gpu: 1}}}",
        "user/alice",
        "users.alice",
        ALL_OF_PRO,
        ALL_CAPS_OF_PRO,
    ),
    "the default may have one": (
        "defaults: {user: {tier: pro}}",
        "user/alice",
        "defaults.user",
        ALL_OF_PRO,
        ALL_CAPS_OF_PRO,
    ),
    "and each member of a group": (
        "groups: {ml: {perMember: {tier: pro}}}",
        "user/alice",
        "groups.ml.perMember",
        ALL_OF_PRO,
        ALL_CAPS_OF_PRO,
    ),
    "members, where the caps of groups are joined": (
        "combine: sum\ngroups: {ml: {perMember: {tier: pro, hard: {cpu: 1}}}}",
        "user/alice",
        "groups.ml.perMember",
        ["gpu=2 {} (tiers.pro)", "requests.cpu=1 {}"],
        ALL_CAPS_OF_PRO,
    ),
    "the pool of a group": (
        "groups: {ml: {pool: {tier: sums}}}",
        "group/ml",
        "groups.ml.pool",
        ["pods=90 {} (tiers.sums)", "requests.cpu=9 {} (tiers.sums)"],
        [],
    ),
    "a tenant": (
        "tenants: {t: {namespaces: {matchLabels: {team: t}}, tier: pro}}",
        "tenant/t",
        "tenants.t",
        ALL_OF_PRO,
        ALL_CAPS_OF_PRO,
    ),
    "each namespace of a tenant": (
        "tenants: {t: {namespaces: {matchLabels: {team: t}}, perNamespace: {tier: pro}}}",
        "namespace/red",
        "tenants.t.perNamespace",
        ALL_OF_PRO,
        ALL_CAPS_OF_PRO,
    ),
    "a namespace": ("namespaces: {red: {tier: pro}}", "namespace/red", "namespaces.red", ALL_OF_PRO, ALL_CAPS_OF_PRO),
    "the cluster": ("cluster: {tier: pro}", "cluster", "cluster", ALL_OF_PRO, ALL_CAPS_OF_PRO),
}


@pytest.mark.parametrize(("text", "subject", "entry", "sums", "caps"), RESOLVED.values(), ids=RESOLVED)
def test_which_amounts_an_entry_with_a_tier_has(
    text: str, subject: str, entry: str, sums: list[str], caps: list[str]
) -> None:
    expected = [f"{subject}: {each.format(entry)}" for each in sums] + [each.format(entry) for each in caps]
    assert described(resolve(policy(TIERS + text), labels={"team": "t"})) == expected


@pytest.mark.parametrize(
    ("text", "payer", "entry"),
    [
        ("defaults: {serviceAccount: {tier: pro}}", ROBOT, "defaults.serviceAccount (tiers.pro)"),
        ("serviceAccounts: {ci/robot: {tier: pro}}", ROBOT, "serviceAccounts[ci/robot] (tiers.pro)"),
        ("defaults: {unattributed: {tier: pro}}", NOBODY, "defaults.unattributed (tiers.pro)"),
    ],
)
def test_who_is_no_person_may_have_one(text: str, payer: Payer, entry: str) -> None:
    assert {each.entry for each in resolve(policy(TIERS + text), payer).sums} == {entry}


def test_two_groups_with_tiers_are_joined_by_what_each_has() -> None:
    text = "combine: sum\ngroups: {ml: {perMember: {tier: pro}}, staff: {perMember: {tier: sums, hard: {pods: 1}}}}"
    assert described(resolve(policy(TIERS + text)))[:3] == [
        "user/alice: gpu=2 groups.ml.perMember (tiers.pro)",
        "user/alice: pods=1 groups.staff.perMember",
        "user/alice: requests.cpu=17 groups.ml.perMember (tiers.pro)+groups.staff.perMember (tiers.sums)",
    ]


SCOPED = {
    "of the tier": ("", ["pods=5 users.alice (tiers.pro.scoped[0])"]),
    "own ones replace them by resource": (
        "scoped: [{scopes: [BestEffort], hard: {pods: 7}}]",
        ["pods=7 users.alice.scoped[0]"],
    ),
    "own ones of another resource": (
        "scoped: [{scopes: [BestEffort], hard: {count/pods: 7}}]",
        ["count/pods=7 users.alice.scoped[0]", "pods=5 users.alice (tiers.pro.scoped[0])"],
    ),
    "own ones that have ended leave those of the tier": (
        "scoped: [{scopes: [BestEffort], hard: {pods: 7}, until: 2026-01-01T00:00:00Z}]",
        ["pods=5 users.alice (tiers.pro.scoped[0])"],
    ),
}


@pytest.mark.parametrize(("scoped", "expected"), SCOPED.values(), ids=SCOPED)
def test_limits_on_a_part_of_the_objects(scoped: str, expected: list[str]) -> None:
    found = policy(f"{TIERS}users: {{alice: {{tier: pro, {scoped}}}}}")
    in_force = limits_of_any(found, ALICE, namespace="red", labels={}, now=NOW)
    of_scope = [each for each in described(in_force) if each.startswith("[")]
    assert of_scope == [f"[BestEffort] user/alice: {each}" for each in expected]


def test_the_place_is_that_of_the_tier_and_all_else_is_said_by_the_entry() -> None:
    text = "users: {alice: {tier: sums, mode: warn, workloads: deny, message: ask us, until: 2027-01-01T00:00:00Z}}"
    found = policy(TIERS + text)
    (cpu, _) = resolve(found).sums
    assert (cpu.entry, cpu.place, cpu.mode.value, cpu.workloads.value, cpu.hint) == (
        "users.alice (tiers.sums)",
        "0.yaml:7",
        "warn",
        "deny",
        "ask us",
    )
    assert found.changes_with_time
    assert not found.enforces


def test_a_tier_may_be_defined_in_another_text_in_any_order() -> None:
    users = "users: {alice: {tier: sums}}"
    assert resolve(policy(TIERS, users)).sums[0].place == "0.yaml:7"
    assert resolve(policy(users, TIERS)).sums[0].place == "1.yaml:7"


def test_only_a_tier_that_is_used_has_kinds_counted() -> None:
    text = "tiers: {{a: {{hard: {{count/services: 1}}}}}}\nusers: {{alice: {}}}"
    assert policy(text.format("{tier: a}")).counted == {"services"}
    assert policy(text.format("{}")).counted == frozenset()


MISTAKES = {
    "an unknown tier": (
        (TIERS + "users: {alice: {tier: prp}}",),
        ["0.yaml:8:23: users.alice.tier: unknown tier prp, did you mean pro?"],
    ),
    "one that is like none": (
        (TIERS + "users: {alice: {tier: x}}",),
        ["0.yaml:8:23: users.alice.tier: unknown tier x; known are pro, sums"],
    ),
    "where there is none": (("cluster: {tier: pro}",), ["0.yaml:2:17: cluster.tier: unknown tier pro"]),
    "a tier that refers to another": (
        ("tiers: {a: {}, b: {tier: a}}",),
        [f"0.yaml:2:20: tiers.b.tier: unknown field; known are {', '.join(TierPart.model_fields)}"],
    ),
    "a tier in two texts": (
        ("tiers: {a: {}}", "tiers: {a: {}}"),
        ["1.yaml:2:12: tiers.a: already defined at 0.yaml:2"],
    ),
    "caps in a pool": (
        (TIERS + "groups: {ml: {pool: {tier: pro}}}",),
        ["0.yaml:8:28: groups.ml.pool.tier: a pool has no perPod, which tiers.pro at 0.yaml:4 sets"],
    ),
    "a tier with a mistake is not unknown": (
        ("tiers: {pro: {hard: {cpu: x}}}", "users: {alice: {tier: pro}}"),
        ["0.yaml:2:27: tiers.pro.hard.cpu: invalid quantity 'x': it has no digits"],
    ),
    "nor is one in a text that cannot be read": (
        ("tiers:\n\tpro: {}", "users: {alice: {tier: pro}}"),
        ["0.yaml:3:1: a tab cannot stand here: indent with spaces"],
    ),
    "an empty name": (
        ("users: {alice: {tier: ''}}",),
        ["0.yaml:2:23: users.alice.tier: expected a name without spaces around it"],
    ),
}


@pytest.mark.parametrize(("texts", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place(texts: tuple[str, ...], told: list[str]) -> None:
    assert mistakes(*texts) == told


def test_a_tier_that_nobody_has_is_noted() -> None:
    assert notes(TIERS, "users: {alice: {tier: pro}}") == [
        "0.yaml:7:9: tiers.sums: no entry has this tier: it has no effect"
    ]


def test_what_a_tier_says_is_noted_where_it_is_written_and_once() -> None:
    users = "users: {alice: {tier: a}, bob: {tier: a}}"
    assert notes("tiers: {a: {hard: {memory: 8}}}", users) == [
        "0.yaml:2:28: tiers.a.hard.memory: 8 is 8 bytes, did you mean 8Gi?"
    ]


def test_notes_on_an_entry_know_its_tier() -> None:
    tiers = "tiers: {a: {hard: {cpu: 4}}, b: {hard: {cpu: 2}}}\n"
    exempt = "users: {eve: {tier: a}, bob: {tier: b}}\nexempt: [{user: eve, reason: x}]"
    assert notes(tiers + exempt) == ["0.yaml:3:14: users.eve: user eve is exempt (x): this refuses nothing"]
    groups = "defaults: {user: {tier: a}}\ngroups: {ml: {perMember: {tier: b}}}"
    (note,) = notes(tiers + groups)
    assert note.startswith("0.yaml:4:14: groups.ml: a login without this group lifts its limits on requests.cpu;")
