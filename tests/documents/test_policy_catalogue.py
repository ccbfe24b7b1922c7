"""The catalogue of resources: how it is read, every mistake with its place, and what is told of names that drift."""

from __future__ import annotations

import pytest

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.catalogue import About, Notation
from webhook.quota.devices import Weight
from webhook.quota.policy import Entry, Policy, Unlimited
from webhook.quota.quantity import NANOS

CATALOGUE = """\
version: 1
resources:
  gpu:
    displayName: NVIDIA cards
    description: Whole cards, and parts of them.
    unit: GPUs
    default: 0
    nvidia.com/gpu.shared: 1/4
  accelerator: {example.com/npu: 1}
  memory: {default: 8Gi}
  requests.example.com/vram: {format: binary, unit: bytes}
  count/services: {default: unlimited}
"""


def read(text: str) -> Policy:
    reading = read_policy([PolicyText("p", text)])
    assert reading.policy is not None, reading.mistakes
    return reading.policy


def mistakes(*texts: str) -> list[str]:
    named = (PolicyText(name, f"version: 1\n{text}\n") for name, text in zip("pq", texts, strict=False))
    return [str(each) for each in read_policy(named).mistakes]


def notes(text: str) -> list[str]:
    reading = read_policy([PolicyText("p", f"version: 1\n{text}\n")])
    assert reading.policy is not None, reading.mistakes
    return [str(each) for each in reading.notes]


def test_a_catalogue_is_read_with_the_weights_beside_it() -> None:
    policy = read(CATALOGUE)

    vram = "requests.example.com/vram"
    assert policy.catalogue == {
        "gpu": About("resources.gpu", "p:3", "NVIDIA cards", "Whole cards, and parts of them.", "GPUs"),
        "requests.memory": About("resources.memory", "p:10"),
        vram: About(f"resources[{vram}]", "p:11", unit="bytes", notation=Notation.BINARY),
        "count/services": About("resources[count/services]", "p:12"),
    }
    assert policy.catalogue_defaults == (
        Entry("resources.gpu", "p:3", {"gpu": 0}),
        Entry("resources.memory", "p:10", {"requests.memory": 8 * 1024**3 * NANOS}),
        Entry("resources[count/services]", "p:12", {"count/services": Unlimited.UNLIMITED}),
    )
    assert policy.devices.weight_of("example.com/npu") == Weight("accelerator", 1)


def test_a_default_of_a_logical_resource_may_be_a_share() -> None:
    (entry,) = read("version: 1\nresources: {gpu: {default: 2+1/2}}\n").catalogue_defaults
    assert entry.hard == {"gpu": 5 * NANOS // 2}


def test_parts_of_a_catalogue_may_stand_in_several_texts() -> None:
    texts = ["resources: {gpu: {default: 0}}", "resources: {cpu: {default: 4}, gpu: {a.b/c: 1}}"]
    assert mistakes(*texts) == []


MISTAKES = {
    "an unknown field": (
        "cpu: {displyName: x}",
        "2:19: resources.cpu.displyName: unknown field, did you mean displayName?",
    ),
    "an unknown field beside weights": (
        "gpu: {displyName: x}",
        "2:19: resources.gpu.displyName: unknown field, did you mean displayName?",
    ),
    "an unknown resource": ("cpus: {unit: x}", "2:13: resources.cpus: unknown resource, did you mean cpu?"),
    "a time": (
        "duration: {unit: hours}",
        "2:13: resources.duration: only perSession bounds it, and it has no other name",
    ),
    "a negative default": (
        "cpu: {default: -1}",
        '2:28: resources.cpu.default: -1 is negative; 0 forbids, "unlimited" lifts a limit',
    ),
    "a negative share": (
        "gpu: {default: -1/2}",
        "2:28: resources.gpu.default: -1/2 is no exact number such as 1, 1/4 or 0.25",
    ),
    "no amount": (
        "cpu: {default: none}",
        "2:28: resources.cpu.default: invalid quantity 'none': it has no digits",
    ),
    "nothing as a default": (
        "cpu: {default: null}",
        '2:28: resources.cpu.default: expected an amount such as 4, 500m or 8Gi, or the word "unlimited"',
    ),
    "a share of what has none": (
        "cpu: {default: 1/2}",
        (
            "2:28: resources.cpu.default: invalid quantity '1/2': expected a number with a suffix such as m, k, M, G, "
            "Ki, Mi, Gi or e3"
        ),
    ),
    "a part of a pod": ("pods: {default: 1.5}", "2:29: resources.pods.default: 1.5 is no whole number of pods"),
    "a part of a device": (
        "nvidia.com/gpu: {default: 500m}",
        "2:39: resources[nvidia.com/gpu].default: 500m is no whole number of requests.nvidia.com/gpu",
    ),
    "a part of a byte": (
        "memory: {default: 500m}",
        "2:31: resources.memory.default: 500m is no whole number of bytes: write it as in 8Gi",
    ),
    "another format of bytes": (
        "memory: {format: decimal}",
        "2:30: resources.memory.format: Kubernetes shows amounts of requests.memory as 8Gi: leave it out",
    ),
    "another format of pieces": (
        "count/services: {format: binary}",
        (
            "2:38: resources[count/services].format: Kubernetes shows amounts of count/services without binary "
            "suffixes: leave it out"
        ),
    ),
    "another format of shares": (
        "gpu: {format: binary}",
        "2:27: resources.gpu.format: Kubernetes shows amounts of gpu without binary suffixes: leave it out",
    ),
    "an unknown format": (
        "a.b/c: {format: hex}",
        "2:29: resources[a.b/c].format: input should be 'decimal' or 'binary'",
    ),
    "a name that is a number": (
        "cpu: {displayName: 5}",
        "2:32: resources.cpu.displayName: expected text: write it in quotes",
    ),
    "a long name": (
        f"cpu: {{displayName: {'x' * 61}}}",
        "2:32: resources.cpu.displayName: it has 61 characters, at most 60 are told",
    ),
    "a name of several lines": (
        r'cpu: {displayName: "a\nb"}',
        "2:32: resources.cpu.displayName: expected one line without control characters",
    ),
    "words that mean to wait": (
        "cpu: {description: Exceeded quota},",
        (
            "2:32: resources.cpu.description: programs take the words exceeded quota as a reason to wait and ask "
            "again: use others"
        ),
    ),
    "an empty unit": ("cpu: {unit: ''}", "2:25: resources.cpu.unit: it says nothing"),
    "spaces around a unit": ("cpu: {unit: ' x'}", "2:25: resources.cpu.unit: expected a text without spaces around it"),
    "no fields": ("cpu: 4", "2:18: resources.cpu: expected fields, each with a value"),
    "one resource under two names": (
        "cpu: {default: 4}, requests.cpu: {unit: cores}",
        "2:32: resources[requests.cpu]: the same resource as resources.cpu at p:2: requests.cpu",
    ),
}


@pytest.mark.parametrize(("text", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    assert mistakes(f"resources: {{{text}}}") == [f"p:{told}"]


def test_a_resource_that_two_texts_describe_is_a_mistake_of_the_second() -> None:
    assert mistakes("resources: {a.b/c: {unit: x}}", "resources: {a.b/c: {unit: z}}") == [
        "q:2:13: resources[a.b/c]: already defined at p:2"
    ]


NOTHING = "nothing limits it: it has no default, and no entry or commitment names it"
LIMITED = "cluster: {hard: {gpu: 8}}\n"
DRIFT = {
    "a catalogue that says what the policy limits": (LIMITED + "resources: {gpu: {unit: GPUs}}", []),
    "a default is a limit": ("resources: {cpu: {default: 4}}", []),
    "weights are no catalogue": (LIMITED + "resources: {accelerator: {example.com/npu: 1}}", []),
    "a limit on a time": (
        "sessions: {presets: [streamspace]}\nresources: {cpu: {default: 4}}\ncluster: {perSession: {duration: 8h}}",
        [],
    ),
    "a resource that nothing limits": (
        "resources: {example.com/vram: {unit: bytes}}",
        [
            f"p:2:13: resources[example.com/vram]: {NOTHING}",
        ],
    ),
    "a resource of which a part was promised": (
        (
            "resources: {gpu: {unit: GPUs}}\nnodeClasses: {h100: {nodes: {matchLabels: {gpu: h100}}}}\n"
            "commitments: {c-1: {user: alice, nodeClass: h100, amounts: {gpu: 8}}}"
        ),
        [],
    ),
    "a limit on what the catalogue lacks, told once": (
        "resources: {cpu: {default: 4}}\ncluster: {hard: {pods: 8}}\nusers: {a: {hard: {pods: 1}}}",
        ["p:4:20: users.a.hard.pods: the catalogue under resources lacks it"],
    ),
    "a name that is spelt in two ways": (
        "resources: {example.com/vram: {unit: bytes}}\ncluster: {perPod: {example.com/vrram: 8Gi}}",
        [
            (f"p:2:13: resources[example.com/vram]: {NOTHING}, did you mean example.com/vrram?"),
            (
                "p:3:20: cluster.perPod[example.com/vrram]: the catalogue under resources lacks it, did you mean "
                "example.com/vram?"
            ),
        ],
    ),
    "names that differ by case": (
        "resources: {example.com/vram: {default: 1}, example.com/VRAM: {default: 1}}",
        [
            (
                "p:2:45: resources[example.com/VRAM]: differs from resources[example.com/vram] by small and capital "
                "letters only: these are two"
            ),
        ],
    ),
    "the other name of the devices of a class": (
        (
            "resources: {deviceclass.resource.kubernetes.io/big: {default: 1}}\n"
            "cluster: {hard: {big.deviceclass.resource.k8s.io/devices: 8}}"
        ),
        [
            (
                "p:3:18: cluster.hard[big.deviceclass.resource.k8s.io/devices]: "
                "resources[deviceclass.resource.kubernetes.io/big] has the same devices under another name, and what "
                "is said there does not hold here"
            ),
        ],
    ),
    "an odd default": (
        "resources: {memory: {default: 8}}",
        ["p:2:31: resources.memory.default: 8 is 8 bytes, did you mean 8Gi?"],
    ),
    "a default that nothing costs": (
        "resources: {sessions: {default: 2}}",
        [
            (
                "p:2:33: resources.sessions.default: nothing is a session without sessions.presets; the limit has no "
                "effect"
            ),
        ],
    ),
    "a default on a number of what Kubernetes does not have": (
        "resources: {count/deployments: {default: 2}}",
        [
            (
                "p:2:42: resources[count/deployments].default: the core API has no such kind, did you mean "
                "count/deployments.apps?"
            ),
        ],
    ),
    "a device that is misspelt": (
        "resources: {nvidai.com/gpu: {default: 2}}",
        ["p:2:13: resources[nvidai.com/gpu]: no known device, did you mean nvidia.com/gpu?"],
    ),
    "service accounts beside an opt-in": (
        "resources: {gpu: {default: 0}}",
        [
            (
                "p:2:13: resources.gpu: service accounts have no such default: write it in defaults.serviceAccount, "
                "unlimited if they may use it freely"
            ),
        ],
    ),
    "service accounts with a default of their own": (
        "resources: {gpu: {default: 0}}\ndefaults: {serviceAccount: {hard: {gpu: unlimited}}}",
        [],
    ),
    "a group that grants nothing": (
        "resources: {cpu: {default: 2}}\ngroups: {ml: {members: [a], perMember: {hard: {cpu: 4}}}}",
        [
            (
                "p:3:14: groups.ml.perMember: it grants no requests.cpu: with combine most-restrictive it only lowers "
                "resources.cpu; a rule grants"
            ),
        ],
    ),
    "a group that lets its members have no less than others": (
        "resources: {cpu: {default: 2}}\ngroups: {ml: {perMember: {hard: {cpu: 2}}}}",
        [],
    ),
    "a group that grants": (
        "combine: max\nresources: {cpu: {default: 2}}\ngroups: {ml: {members: [a], perMember: {hard: {cpu: 4}}}}",
        [],
    ),
    "a group that caps what a person is granted": (
        (
            "resources: {cpu: {default: 2}}\ngroups: {ml: {members: [a], perMember: {hard: {cpu: 4}}}}\n"
            "users: {a: {hard: {cpu: 8}}}"
        ),
        [],
    ),
}


def test_what_several_texts_limit_is_told_at_its_first_place() -> None:
    texts = ["resources: {cpu: {default: 4}}\nusers: {a: {hard: {pods: 1}}}", "users: {b: {hard: {pods: 2}}}"]
    found = read_policy(PolicyText(name, f"version: 1\n{text}\n") for name, text in zip("pq", texts, strict=True))
    assert [str(each) for each in found.notes] == ["p:3:20: users.a.hard.pods: the catalogue under resources lacks it"]


@pytest.mark.parametrize(("text", "told"), DRIFT.values(), ids=DRIFT)
def test_what_drifts_from_the_catalogue_is_told_and_stops_nothing(text: str, told: list[str]) -> None:
    assert notes(text) == told
