"""
Thousands of random pods cost exactly what Kubernetes' own pod evaluator charges for them.

USERQUOTA_RANDOM_PODS sets how many. Not compared:

- the bare names that ResourceQuota repeats (``cpu`` beside ``requests.cpu``, ``hugepages-2Mi`` beside
  ``requests.hugepages-2Mi``): a policy's short names mean the long ones;
- grace periods of deletions above 292 years: they overflow in Go, see `PodEvaluator.released_at`;
- exact multiples of ``1000E`` in decimal: Kubernetes prints such a number without its suffix, as if it were tiny.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import pytest

from tests.oracle.building import Example
from tests.oracle.manifest_examples import MANIFESTS
from tests.oracle.pod_examples import EXAMPLES
from tests.oracle.program import Amount, ChargeAnswer, Oracle
from tests.oracle.random_pods import NOW, RandomPods
from webhook.kinds import pod_cost
from webhook.kinds.pod_defaults import with_defaults
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS as PODS_KIND
from webhook.quota.resources import LOGICAL, Amounts, ResourceList

pytestmark = pytest.mark.cluster

SEED = 137
PODS = int(os.environ.get("USERQUOTA_RANDOM_PODS", "6000"))


Charged: TypeAlias = dict[str, tuple[str, int]]
"""Canonical text and billionths by name: equal numbers in another format are a difference."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a pod costs at NOW by us and by Kubernetes, as it was sent and with what the API server fills in."""

    text: str
    counted: Amounts
    sent: Charged
    sent_by_kubernetes: Charged
    filled: Charged
    filled_by_kubernetes: Charged


@pytest.fixture(scope="module")
def pods(oracle: Oracle) -> list[Compared]:
    source = RandomPods(SEED)
    texts = [json.dumps(source.pod(), ensure_ascii=False) for _ in range(PODS)]
    answers = oracle.charges(texts)
    return [compared(text, answer) for text, answer in zip(texts, answers, strict=True)]


def test_the_examples_say_what_kubernetes_charges(oracle: Oracle) -> None:
    sent = {name: theirs(answer["asSent"]) for name, answer in asked(oracle, EXAMPLES).items()}
    stored = {name: theirs(answer["asStored"]) for name, answer in asked(oracle, MANIFESTS).items()}

    assert {name: texts(charged) for name, charged in sent.items()} == {
        name: {"count/pods": "1", "pods": "1", **example.charged} for name, example in EXAMPLES.items()
    }
    assert {name: texts(charged) for name, charged in stored.items()} == {
        name: {"count/pods": "1", "pods": "1", **example.charged} for name, example in MANIFESTS.items()
    }


def test_a_pod_costs_what_resourcequota_charges(pods: list[Compared]) -> None:
    different = differences((each.text, each.sent_by_kubernetes, each.sent) for each in pods)

    assert not different, report(different)


def test_what_is_counted_at_that_moment_is_what_resourcequota_charges(pods: list[Compared]) -> None:
    different = [
        (each.text, each.sent_by_kubernetes, each.counted)
        for each in pods
        if {name: amount for name, amount in each.counted if name not in LOGICAL}
        != {name: nanos for name, (_, nanos) in each.sent_by_kubernetes.items() if nanos}
    ]

    assert not different, different[0]


def test_a_manifest_costs_what_resourcequota_charges_once_it_is_stored(pods: list[Compared]) -> None:
    different = differences((each.text, each.filled_by_kubernetes, each.filled) for each in pods)

    assert not different, report(different)


def test_the_pods_tell_a_right_walk_from_a_wrong_one(pods: list[Compared]) -> None:
    """The comparison is worth something only if the pods differ in what they cost, and defaults change many."""
    assert len({tuple(sorted(each.sent.items())) for each in pods}) > 0.6 * PODS
    assert sum(each.sent != each.filled for each in pods) > 0.4 * PODS
    released = [each for each in pods if "deletionTimestamp" in each.text and "pods" not in each.sent]
    assert 0.05 * PODS < len(released) < 0.5 * PODS
    assert {name for each in pods for name in each.sent} >= {
        "count/pods",
        "pods",
        *(f"{kind}.{name}" for kind in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")),
        "requests.hugepages-1Gi",
        "requests.nvidia.com/mig-3g.20gb",
        "requests.deviceclass.resource.kubernetes.io/gpu.example.com",
    }


def compared(text: str, answer: ChargeAnswer) -> Compared:
    pod = msgspec.json.decode(text, type=Pod)
    released_at = PODS_KIND.evaluator.released_at(pod)
    size = pod_cost.size_of(pod, is_released=released_at is not None and released_at < NOW)
    return Compared(
        text,
        counted=PODS_KIND.evaluator.usage(pod, now=NOW),
        sent=ours(pod_cost.charge(size)),
        sent_by_kubernetes=theirs(answer["asSent"]),
        filled=ours(pod_cost.charge(with_defaults(size))),
        filled_by_kubernetes=theirs(answer["asStored"]),
    )


def asked(oracle: Oracle, examples: dict[str, Example]) -> dict[str, ChargeAnswer]:
    answers = oracle.charges(json.dumps(example.pod, ensure_ascii=False) for example in examples.values())
    return dict(zip(examples, answers, strict=True))


def texts(charged: Charged) -> dict[str, str]:
    return {name: canonical for name, (canonical, _) in charged.items()}


def ours(charged: ResourceList) -> Charged:
    return {name: (str(amount), amount.nanos) for name, amount in charged.items()}


def theirs(usage: dict[str, Amount]) -> Charged:
    bare = {"cpu", "memory", "ephemeral-storage"}
    return {
        name: (amount["canonical"], int(amount["nanos"]))
        for name, amount in usage.items()
        if name not in bare and not name.startswith("hugepages-")
    }


def differences(triples: Iterable[tuple[str, Charged, Charged]]) -> list[tuple[str, Charged, Charged]]:
    return [(text, expected, actual) for text, expected, actual in triples if expected != actual]


def report(different: list[tuple[str, Charged, Charged]]) -> str:
    text, expected, actual = min(different, key=lambda each: len(each[0]))
    names = sorted(name for name in expected | actual if expected.get(name) != actual.get(name))
    lines = [f"{name}: expected {expected.get(name)}, got {actual.get(name)}" for name in names]
    return "\n".join([f"{len(different)} of {PODS} pods differ; the shortest:", text, *lines])
