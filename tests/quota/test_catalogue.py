"""What a catalogue does: defaults behind all others, edits of them, and how amounts are shown."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.quota.policies import ALICE, ROBOT, described, resolve
from tests.quota.test_edits import Cluster, lifted, uses
from tests.quota.test_edits import policy as read
from tests.quota.test_effective import changed
from tests.quota.test_endings import END, ending
from webhook.quota import edit_message
from webhook.quota.catalogue import About, Notation, fixed_form, other_name
from webhook.quota.decision import Excess
from webhook.quota.limits import Limit
from webhook.quota.message import Context, ending_warning, sentence
from webhook.quota.quantity import NANOS, Format
from webhook.quota.subject import NOBODY, Payer, Subject

OPT_IN = "resources: {gpu: {default: 0}}\n"
FOUR = "resources: {cpu: {default: 4}}\n"
OWN = "user/alice"

WHO_HAS_WHAT = {
    "a default of 0 forbids": (OPT_IN, ["gpu=0 resources.gpu"]),
    "no default limits nothing": ("resources: {gpu: {unit: GPUs}}", []),
    "the default of people is stronger": (OPT_IN + "defaults: {user: {hard: {gpu: 2}}}", ["gpu=2 defaults.user"]),
    "the default of people lifts it": (OPT_IN + "defaults: {user: {hard: {gpu: unlimited}}}", []),
    "another resource is another matter": (
        OPT_IN + "defaults: {user: {hard: {pods: 2}}}",
        ["gpu=0 resources.gpu", "pods=2 defaults.user"],
    ),
    "a tier of the default is stronger": (
        OPT_IN + "tiers: {a: {hard: {gpu: 1}}}\ndefaults: {user: {tier: a}}",
        ["gpu=1 defaults.user (tiers.a)"],
    ),
    "a rule grants": (OPT_IN + "rules: [{name: r, users: [alice], hard: {gpu: 3}}]", ["gpu=3 rules.r"]),
    "a group grants with max": (
        OPT_IN + "combine: max\ngroups: {ml: {perMember: {hard: {gpu: 3}}}}",
        ["gpu=3 groups.ml.perMember"],
    ),
    "a group only caps with most-restrictive": (
        OPT_IN + "groups: {ml: {perMember: {hard: {gpu: 3}}}}",
        ["gpu=0 resources.gpu", "gpu=3 groups.ml.perMember"],
    ),
    "an own entry grants": (OPT_IN + "users: {alice: {hard: {gpu: 2}}}", ["gpu=2 users.alice"]),
    "an own entry that has ended does not": (
        OPT_IN + "users: {alice: {hard: {gpu: 2}, until: 2020-01-01T00:00:00Z}}",
        ["gpu=0 resources.gpu"],
    ),
    "an own entry lifts it": (OPT_IN + "users: {alice: {hard: {gpu: unlimited}}}", []),
    "a cap on one pod is no word on the sum": (
        OPT_IN + "users: {alice: {perPod: {gpu: 1}}}",
        ["gpu=0 resources.gpu", "pod: gpu=1 users.alice.perPod"],
    ),
    "the short name stands for the full one": (
        "resources: {requests.cpu: {default: 4}}\nusers: {alice: {hard: {cpu: 8}}}",
        ["requests.cpu=8 users.alice"],
    ),
    "unlimited limits nothing": ("resources: {cpu: {default: unlimited}}", []),
}


@pytest.mark.parametrize(("text", "expected"), WHO_HAS_WHAT.values(), ids=WHO_HAS_WHAT)
def test_a_default_of_a_resource_is_the_weakest_word(text: str, expected: list[str]) -> None:
    assert [each.removeprefix(f"{OWN}: ") for each in described(resolve(read(text)))] == expected


@pytest.mark.parametrize("payer", [ROBOT, NOBODY], ids=["a service account", "nobody"])
def test_it_is_one_of_people(payer: Payer) -> None:
    assert described(resolve(read(OPT_IN), payer)) == []


def test_whoever_has_no_word_has_the_new_default_at_once() -> None:
    users = "users: {alice: {hard: {cpu: 9}}, bob: {hard: {pods: 9}}}\n"
    assert changed(FOUR + users, FOUR.replace("4", "2") + users) == {
        "any other user requests.cpu": "4 -> 2",
        "user/bob requests.cpu": "4 -> 2",
    }


def test_a_catalogue_says_of_every_limit_what_it_is_on() -> None:
    text = "resources: {cpu: {unit: cores}}\ngroups: {ml: {pool: {hard: {cpu: 9}}, perMember: {perPod: {cpu: 1}}}}"
    in_force = resolve(read(f"{text}\ncluster: {{hard: {{cpu: 99, pods: 99}}}}"))

    about = About("resources.cpu", "p:2", unit="cores")
    assert [each.about for each in in_force.caps] == [about]
    assert {each.resource: each.about for each in in_force.sums} == {"requests.cpu": about, "pods": None}


# Edits.


def test_a_default_below_what_is_used_is_a_limit_below_what_is_used() -> None:
    cluster = uses(("alice", "cpu=5"), ("bob", "cpu=3"), (ROBOT, "cpu=9"), (ALICE, "gpu=1"))

    assert [str(each.limit.subject) for each in cluster.effect("", FOUR).overruns] == [OWN]
    (over,) = cluster.effect(FOUR.replace("4", "9"), FOUR).overruns
    assert (over.limit.entry, over.limit.place, over.over) == ("resources.cpu", "p:2", NANOS)
    assert [each.limit.resource for each in cluster.effect("", OPT_IN).overruns] == ["gpu"]
    assert cluster.effect("", OPT_IN + "users: {alice: {hard: {gpu: 1}}}").overruns == ()


LIFTED = {
    "the resource leaves the catalogue": (FOUR, "resources: {gpu: {unit: GPUs}}", ["resources.cpu 4 resources.cpu"]),
    "only the default goes": (FOUR, "resources: {cpu: {unit: cores}}", ["resources.cpu 4 resources.cpu"]),
    "the default becomes unlimited": (FOUR, FOUR.replace("4", "unlimited"), ["resources.cpu 4 resources.cpu"]),
    "the default of people lifts it": (
        FOUR,
        FOUR + "defaults: {user: {hard: {cpu: unlimited}}}",
        ["resources.cpu 4 resources.cpu"],
    ),
    "the default of people takes its place": (FOUR, "defaults: {user: {hard: {cpu: 9}}}", []),
    "it takes the place of the default of people": ("defaults: {user: {hard: {cpu: 4}}}", FOUR, []),
    "told once, and not of everybody whom it bound": (
        FOUR + "users: {alice: {hard: {pods: 1}}}\nrules: [{name: r, users: [b], hard: {pods: 2}}]",
        "users: {alice: {hard: {pods: 1}}}\nrules: [{name: r, users: [b], hard: {pods: 2}}]",
        ["resources.cpu 4 resources.cpu"],
    ),
    "an own entry that goes leaves the default": (FOUR + "users: {alice: {hard: {cpu: 8}}}", FOUR, []),
    "an own entry lifts it": (
        FOUR,
        FOUR + "users: {alice: {hard: {cpu: unlimited}}}",
        ["users.alice 4 resources.cpu"],
    ),
    "of two defaults one goes": (
        FOUR + "users: {alice: {hard: {cpu: 8}}}",
        "users: {alice: {hard: {cpu: 8}}}",
        ["resources.cpu 4 resources.cpu"],
    ),
}


@pytest.mark.parametrize(("before", "after", "expected"), LIFTED.values(), ids=LIFTED)
def test_a_default_that_goes_is_told(before: str, after: str, expected: list[str]) -> None:
    found = Cluster().effect(before, after).lifted
    assert [f"{each.whom} {each.hard // NANOS} {each.entry}" for each in found] == expected


def test_whoever_uses_it_is_not_told_of_besides() -> None:
    effect = uses(("alice", "cpu=5")).effect(FOUR, "")
    assert len(lifted(effect)) == 1
    assert edit_message.warnings(effect) == [
        "lifted: resources.cpu limits requests.cpu=4 no more, and nothing in its place does"
    ]


# Notation.

VRAM = "requests.example.com/vram"
BINARY = "resources: {example.com/vram: {format: binary, default: 8Gi}}\n"

FIXED = {
    "requests.memory": Format.BINARY_SI,
    "requests.storage": Format.BINARY_SI,
    "requests.hugepages-2Mi": Format.BINARY_SI,
    "gold.storageclass.storage.k8s.io/requests.storage": Format.BINARY_SI,
    "gold.storageclass.storage.k8s.io/persistentvolumeclaims": Format.DECIMAL_SI,
    "requests.cpu": Format.DECIMAL_SI,
    "pods": Format.DECIMAL_SI,
    "count/services": Format.DECIMAL_SI,
    "gpu": Format.DECIMAL_SI,
    "requests.deviceclass.resource.kubernetes.io/big": Format.DECIMAL_SI,
    "big.deviceclass.resource.k8s.io/devices": Format.DECIMAL_SI,
    VRAM: None,
}


@pytest.mark.parametrize(("name", "form"), FIXED.items())
def test_only_of_extended_resources_a_policy_may_say_the_notation(name: str, form: Format | None) -> None:
    assert fixed_form(name) is form


def test_the_devices_of_a_class_have_two_names() -> None:
    one, other = "big.deviceclass.resource.k8s.io/devices", "requests.deviceclass.resource.kubernetes.io/big"
    assert (other_name(one), other_name(other), other_name(VRAM)) == (other, one, "")


def test_amounts_are_shown_as_the_policy_says() -> None:
    (limit,) = resolve(read(BINARY)).sums
    assert limit.shown(limit.hard) == "8Gi"
    (plain,) = resolve(read(BINARY.replace("format: binary, ", ""))).sums
    assert plain.shown(plain.hard) == "8589934592"

    effect = uses(("alice", f"{VRAM}=9Gi")).effect("", BINARY)
    assert edit_message.refusal(effect).startswith(
        f"a limit would be below what is used: user/alice: {VRAM} 9Gi used or reserved, 8Gi by resources[example.com"
    )
    gone = Cluster().effect(BINARY, "")
    assert edit_message.warnings(gone) == [
        f"lifted: resources[example.com/vram] limits {VRAM}=8Gi no more, and nothing in its place does"
    ]


def test_a_limit_that_one_person_loses_is_told_in_it() -> None:
    cluster = uses(("alice", f"{VRAM}=1Gi"))
    before = (
        "resources: {example.com/vram: {format: binary}}\n"
        "groups: {ml: {members: [alice], perMember: {hard: {example.com/vram: 4Gi}}}}"
    )
    assert edit_message.warnings(cluster.effect(before, before.replace("alice", "bob"))) == [
        f"lifted: user/alice had {VRAM}=4Gi by groups.ml.perMember, and has no limit of it any more"
    ]


def test_an_end_is_told_in_it() -> None:
    text = BINARY + "users: {alice: {hard: {example.com/vram: 16Gi}, until: 2027-01-31T00:00:00Z}}"
    found = ending(text, END - timedelta(hours=1), VRAM)
    assert found is not None
    assert ending_warning(found) == f"the limit users.alice ({VRAM} 16Gi) ends on 2027-01-31, 8Gi from then on"


def test_what_would_fit_is_told_in_the_unit_of_whoever_asks() -> None:
    about = About("resources[example.com/vram]", notation=Notation.BINARY)
    limit = Limit(Subject(OWN), VRAM, 8 * 1024**3 * NANOS, "users.alice", about=about)
    excess = Excess(limit, 9 * 1024**3 * NANOS, 0, 0, 8 * 1024**3 * NANOS)

    assert "would fit: requests.example.com/vram=8Gi" in sentence([excess], [], Context("alice", "created it"))
    in_mebi = Context("alice", "created it", units={VRAM: "Mi"})
    assert "would fit: requests.example.com/vram=8192Mi" in sentence([excess], [], in_mebi)
