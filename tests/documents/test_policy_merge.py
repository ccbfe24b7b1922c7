"""Several texts are one policy: nothing is defined twice, and every entry knows its line."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from itertools import permutations

import pytest

from webhook.documents.mistake import Position
from webhook.documents.policy_entries import Definition, DocumentEntries
from webhook.documents.policy_merge import Merger
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.devices import Weight
from webhook.quota.policy import Combine, Entry, Group
from webhook.quota.subject import AUTHENTICATED

CORE = 10**9


def mistakes(*texts: str) -> list[str]:
    found = read_policy(
        [PolicyText(f"{name}.yaml", f"version: 1\n{text}") for name, text in zip("abc", texts, strict=False)]
    )
    return [str(each) for each in found.mistakes]


PARTS = {
    "a.yaml": "version: 1\ndefaults: {user: {hard: {cpu: 1}}}\nusers: {alice: {hard: {cpu: 2}}}\n",
    "b.yaml": "version: 1\ndefaults: {serviceAccount: {hard: {cpu: 3}}}\ngroups: {ml: {members: [alice]}}\n",
    "c.yaml": "version: 1\nusers: {bob: {mode: audit}}\ncombine: sum\nattribution: {trustedControllers: [hub/op]}\n",
    "d.yaml": "version: 1\nattribution: {trustedControllers: [hub/op, ci/op]}\nnamespaces: {red: {hard: {pods: 4}}}\n",
}


def test_texts_make_one_policy_in_whatever_order_they_come() -> None:
    texts = [PolicyText(source, text) for source, text in PARTS.items()]

    readings = [read_policy(order) for order in permutations(texts)]

    policy = readings[0].policy
    assert policy is not None
    assert policy.defaults.user == Entry("defaults.user", "a.yaml:2", hard={"requests.cpu": CORE})
    assert policy.defaults.service_account == Entry(
        "defaults.serviceAccount", "b.yaml:2", hard={"requests.cpu": 3 * CORE}
    )
    assert policy.users.keys() == {"alice", "bob"}
    assert policy.groups["ml"].members == {"alice"}
    assert policy.combine is Combine.SUM
    assert policy.namespaces["red"].place == "d.yaml:3"
    assert policy.trusted_controllers == {"system:serviceaccount:hub:op", "system:serviceaccount:ci:op"}
    assert all(reading == readings[0] for reading in readings)


def test_a_policy_that_is_made_twice_has_each_note_once() -> None:
    document = DocumentEntries("a.yaml")
    document.definitions.append(Definition(("groups", AUTHENTICATED), Position(2, 9), Group()))
    merger = Merger()
    deque(merger.add(document), maxlen=0)

    notes = [(merger.policy(), merger.all_notes())[1] for _ in range(2)]

    assert [each.path for each in notes[0]] == [f"groups[{AUTHENTICATED}]"]
    assert notes[0] == notes[1]


def test_documents_of_one_text_make_one_policy() -> None:
    text = "version: 1\nusers: {alice: {}}\n---\n---\nversion: 1\nusers: {bob: {}}\n"

    policy = read_policy([PolicyText("policy.yaml", text)]).policy

    assert policy is not None
    assert {name: entry.place for name, entry in policy.users.items()} == {
        "alice": "policy.yaml:2",
        "bob": "policy.yaml:6",
    }


TWICE = {
    "a user": ("users: {alice: {}}", "b.yaml:2:16: users.alice: already defined at a.yaml:2"),
    "a service account": (
        "serviceAccounts: {ci/runner: {}}",
        "b.yaml:2:30: serviceAccounts[ci/runner]: already defined at a.yaml:2",
    ),
    "a group": ("groups: {ml: {pool: {}}}", "b.yaml:2:14: groups.ml: already defined at a.yaml:2"),
    "a tenant": (
        "tenants: {r: {namespaces: {matchLabels: {a: b}}}}",
        "b.yaml:2:14: tenants.r: already defined at a.yaml:2",
    ),
    "a namespace": ("namespaces: {red: {}}", "b.yaml:2:19: namespaces.red: already defined at a.yaml:2"),
    "the cluster": ("cluster: {}", "b.yaml:2:10: cluster: already defined at a.yaml:2"),
    "a default": ("defaults: {user: {}}", "b.yaml:2:18: defaults.user: already defined at a.yaml:2"),
    "a weight": (
        "resources: {gpu: {nvidia.com/gpu.shared: 1/4}}",
        "b.yaml:2:42: resources.gpu[nvidia.com/gpu.shared]: already defined at a.yaml:2",
    ),
    "the way to combine": ("combine: max", "b.yaml:2:10: combine: already defined at a.yaml:2"),
}


@pytest.mark.parametrize(("text", "told"), TWICE.values(), ids=TWICE.keys())
def test_what_is_defined_in_two_texts_is_a_mistake_in_the_second(text: str, told: str) -> None:
    assert mistakes(text, text) == [told]


def test_two_tenants_are_not_one_project() -> None:
    one, other = (f"tenants: {{{name}: {{namespaces: {{matchLabels: {{a: {name}}}}}, project: p-1}}}}" for name in "ab")

    why = "each tenant needs a project of its own"
    assert mistakes(one, other) == [f"b.yaml:2:59: tenants.b.project: p-1 is tenants.a.project at a.yaml:2: {why}"]
    assert mistakes(one, one) == ["b.yaml:2:14: tenants.a: already defined at a.yaml:2"]
    assert mistakes(one, other.replace("p-1", "p-2")) == []


@pytest.mark.parametrize("project", ["''", "a/b", "'a b'", "..", "12345", "'" + "a" * 65 + "'", "é"])
def test_what_no_path_can_name_is_no_project(project: str) -> None:
    [told] = mistakes(f"tenants: {{a: {{namespaces: {{matchLabels: {{a: b}}}}, project: {project}}}}}")

    assert told.startswith("a.yaml:2:59: tenants.a.project: expected ")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("groups: {ml: {perMember: {}}}", "groups: {ml: {pool: {}}}"),
        ("users: {alice: {hard: {cpu: 1}}}", "users: {alice: {perPod: {cpu: 1}}}"),
    ],
    ids=["the halves of a group", "the halves of a user"],
)
def test_an_entry_is_not_put_together_from_two_texts(one: str, other: str) -> None:
    assert [each.partition(": already")[2] for each in mistakes(one, other)] == [" defined at a.yaml:2"]


def test_weights_of_several_texts_are_one_table() -> None:
    texts = [f"version: 1\nresources: {{gpu: {{example.com/{name}: 1/2}}}}\n" for name in "ab"]
    policy = read_policy([PolicyText(f"{number}.yaml", text) for number, text in enumerate(texts)]).policy

    assert policy is not None
    assert [policy.devices.weight_of(f"example.com/{name}") for name in "abc"] == [
        Weight("gpu", Fraction(1, 2)),
        Weight("gpu", Fraction(1, 2)),
        None,
    ]


def test_a_device_counts_in_one_logical_resource_only() -> None:
    assert mistakes("resources: {gpu: {a.b/c: 1}}", "resources: {accelerator: {a.b/c: 1}}") == [
        (
            "b.yaml:2:34: resources.accelerator[a.b/c]: already counts in gpu, by a.yaml:2: "
            "a device counts in one of the two"
        )
    ]


def test_a_third_definition_names_the_first_too() -> None:
    text = "users: {alice: {}}"

    assert mistakes(text, text, text) == [
        "b.yaml:2:16: users.alice: already defined at a.yaml:2",
        "c.yaml:2:16: users.alice: already defined at a.yaml:2",
    ]


def test_two_documents_of_one_text_cannot_define_one_user() -> None:
    assert mistakes("users: {alice: {}}\n---\nversion: 1\nusers: {alice: {}}") == [
        "a.yaml:5:16: users.alice: already defined at a.yaml:2"
    ]


def test_names_are_compared_to_the_letter() -> None:
    assert mistakes('users: {alice: {}, Alice: {}, "alice\u0301": {}}') == []


def test_a_mistake_of_the_whole_is_told_beside_those_of_the_parts() -> None:
    assert mistakes("users: {alice: {}}", "users: {alice: {}}", "users: {bob: {hard: {cpu: 1K}}}") == [
        "b.yaml:2:16: users.alice: already defined at a.yaml:2",
        "c.yaml:2:27: users.bob.hard.cpu: invalid quantity '1K': unknown suffix 'K', did you mean k or Ki?",
    ]
