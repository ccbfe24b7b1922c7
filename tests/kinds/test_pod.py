"""
A pod costs what ResourceQuota counts, and a number that cannot be counted is named by its field.

That Kubernetes itself charges so for the examples is checked in test_charge_equals_kubernetes.py.
"""

import json
from typing import Any

import msgspec
import pytest

from tests.oracle.building import Example, app, resized, sidecar
from tests.oracle.building import pod as a_pod
from tests.oracle.pod_examples import EXAMPLES
from webhook.kinds import pod_cost
from webhook.kinds.evaluator import UncountableError
from webhook.kinds.pod_cost import PodSize
from webhook.kinds.pod_shapes import Pod
from webhook.quota import quantity, resources
from webhook.quota.quantity import NANOS, QuantityError


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_pod_costs_what_resourcequota_counts(example: Example) -> None:
    assert charged(example.pod) == {"count/pods": "1", "pods": "1", **example.charged}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_costs_its_place_in_storage_only(phase: str) -> None:
    assert charged(a_pod(app(cpu="1"), status=resized(allocated="2", actual="2") | {"phase": phase})) == {
        "count/pods": "1"
    }


def test_a_pod_past_its_deletion_grace_still_costs_everything() -> None:
    """ResourceQuota lets go of it; its containers may still run, on a node that is lost."""
    dying = a_pod(app(cpu="1"), status={"phase": "Running"})
    dying["metadata"] |= {"deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}

    assert charged(dying) == {"count/pods": "1", "pods": "1", "requests.cpu": "1"}


def test_a_pod_that_says_nothing_costs_one_pod() -> None:
    assert charged({}) == {"count/pods": "1", "pods": "1"}
    assert charged({"spec": {"containers": None}}) == {"count/pods": "1", "pods": "1"}


def test_an_empty_list_in_a_status_says_as_little_as_none() -> None:
    """The API server leaves out empty lists; in its memory they would mean that nothing is allocated."""
    status = {
        "containerStatuses": [{"name": "app", "allocatedResources": {}, "resources": {"requests": {}, "limits": {}}}]
    }

    assert charged(a_pod(app(cpu="1", limits={"cpu": "2"}), status=status)) == charged(
        a_pod(app(cpu="1", limits={"cpu": "2"}))
    )


BROKEN = {
    "an app container's request": (
        a_pod(app("a"), app("b", cpu="1K")),
        "spec.containers[1].resources.requests.cpu",
        "unknown suffix 'K', did you mean k or Ki?",
    ),
    "an app container's limit": (
        a_pod(app(limits={"memory": "-1Gi"})),
        "spec.containers[0].resources.limits.memory",
        "it must not be negative",
    ),
    "an init container's request": (
        a_pod(app(), inits=(app("a"), sidecar("b"), app("c", {"example.com/x": "one"}))),
        "spec.initContainers[2].resources.requests.example.com/x",
        "expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3",
    ),
    "the overhead": (a_pod(app(), overhead={"cpu": ""}), "spec.overhead.cpu", "it is empty"),
    "a pod-level request": (
        a_pod(app(), resources={"requests": {"cpu": "1e999"}}),
        "spec.resources.requests.cpu",
        "its exponent is above 400",
    ),
    "a pod-level limit": (
        a_pod(app(), resources={"limits": {"hugepages-2Mi": "2 Mi"}}),
        "spec.resources.limits.hugepages-2Mi",
        "expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3",
    ),
    "what is allocated": (
        a_pod(app(), status=resized(allocated="x")),
        "status of spec.containers[0]: allocatedResources.cpu",
        "expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3",
    ),
    "what is used": (
        a_pod(app(), inits=(sidecar("s"),), status=resized(name="s", actual="-1")),
        "status of spec.initContainers[0]: resources.requests.cpu",
        "it must not be negative",
    ),
    "a text with an escape": (
        a_pod(app(cpu="1\t")),
        "spec.containers[0].resources.requests.cpu",
        "expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3",
    ),
    "a million digits": (
        a_pod(app(cpu="9" * 1_000_000)),
        "spec.containers[0].resources.requests.cpu",
        "it is longer than 512 characters",
    ),
    "a truth value": (
        a_pod(app(), overhead={"cpu": True}),
        "spec.overhead.cpu",
        "expected a string or a number",
    ),
    "a list": (a_pod(app(), overhead={"cpu": [1]}), "spec.overhead.cpu", "expected a string or a number"),
    "an object": (a_pod(app(), overhead={"cpu": {}}), "spec.overhead.cpu", "expected a string or a number"),
    "no list of quantities": (
        a_pod(app(), overhead=["cpu"]),
        "spec.overhead",
        "expected quantities by resource name",
    ),
    "no requests and limits": (
        a_pod(app() | {"resources": "cpu"}),
        "spec.containers[0].resources",
        "expected quantities by resource name",
    ),
    "requests that are no list": (
        a_pod(app() | {"resources": {"requests": 4}}),
        "spec.containers[0].resources",
        "expected quantities by resource name",
    ),
}


@pytest.mark.parametrize(("broken", "path", "why"), BROKEN.values(), ids=BROKEN)
def test_a_number_that_cannot_be_counted_is_named_by_its_field(broken: dict[str, Any], path: str, why: str) -> None:
    with pytest.raises(UncountableError) as refused:
        size_of(broken)

    assert isinstance(refused.value.cause, QuantityError)
    assert (refused.value.path, refused.value.cause.why) == (path, why)
    assert str(refused.value) == f"{path}: invalid quantity {refused.value.cause.text!r}: {why}"
    assert len(refused.value.cause.text) <= 40


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b'{"spec":{"overhead":{"cpu":"\xff"}}}', "spec.overhead.cpu"),
        (b'{"spec":{"overhead":{"\xff":"1"}}}', "spec.overhead"),
        (b'{"spec":{"containers":[{"resources":{"limits":{"\xff":"1"}}}]}}', "spec.containers[0].resources"),
    ],
)
def test_what_is_no_text_is_named_by_its_field(text: bytes, path: str) -> None:
    with pytest.raises(UncountableError) as refused:
        pod_cost.size_of(msgspec.json.decode(text, type=Pod))

    assert isinstance(refused.value.cause, QuantityError)
    assert refused.value.path == path
    assert "\ufffd" in refused.value.cause.text


def test_an_infeasible_or_ended_pod_is_read_as_strictly_as_any() -> None:
    with pytest.raises(UncountableError):
        size_of(a_pod(app(cpu="x"), status=resized(why="Infeasible") | {"phase": "Failed"}))


def test_what_is_booked_are_the_amounts_of_the_charge() -> None:
    decoded = read(a_pod(app("app", {"nvidia.com/gpu": "2"}, cpu="1500m", memory="0")))

    assert pod_cost.amounts_of(decoded) == resources.amounts(pod_cost.charge(pod_cost.size_of(decoded)))
    assert dict(pod_cost.amounts_of(decoded)) == {
        "count/pods": NANOS,
        "gpu": 2 * NANOS,
        "pods": NANOS,
        "requests.cpu": 1500 * NANOS // 1000,
        "requests.nvidia.com/gpu": 2 * NANOS,
    }


def test_what_is_booked_for_pods_that_are_spelled_alike_is_kept_once() -> None:
    """A cluster has far fewer workloads than pods."""
    alike = [a_pod(app(cpu="11"), inits=(sidecar(),), status=resized(allocated="12")) for _ in range(2)]
    alike[1]["metadata"] = {"name": "another", "uid": "u"}

    assert pod_cost.amounts_of(read(alike[0])) is pod_cost.amounts_of(read(alike[1]))


def test_a_pod_of_ten_containers_that_runs_is_kept_as_well() -> None:
    asked = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    containers = [{"name": f"app-{number}", "resources": asked} for number in range(10)]
    statuses = [{**each, "allocatedResources": asked["requests"]} for each in containers]
    running = a_pod(*containers, status={"containerStatuses": statuses})

    assert pod_cost.amounts_of(read(running)) is pod_cost.amounts_of(read(running))


@pytest.mark.parametrize(
    "long",
    [
        a_pod(*[app(str(number)) for number in range(50)]),
        a_pod(app("app", {f"example.com/{number}": "1" for number in range(500)})),
        a_pod(app(), overhead={f"example.com/{number}": "1" for number in range(500)}),
    ],
    ids=["many containers", "many resources", "much overhead"],
)
def test_what_is_spelled_at_length_is_not_kept(long: dict[str, Any]) -> None:
    """Anybody may send it, also without creating anything: memory would go by it."""
    first, second = pod_cost.amounts_of(read(long)), pod_cost.amounts_of(read(long))

    assert first == second
    assert first is not second


@pytest.mark.parametrize(
    ("other", "cost"),
    [
        (a_pod(app(cpu="2")), "2"),
        (a_pod(app(), app(cpu="3")), "3"),
        (a_pod(app(cpu="1"), app(cpu="3")), "4"),
        (a_pod(app(cpu="1"), inits=(app(cpu="5"),)), "5"),
        (a_pod(app(cpu="1"), inits=(sidecar("app", cpu="5"),)), "6"),
        (a_pod(app(cpu="1"), overhead={"cpu": "6"}), "7"),
        (a_pod(app(cpu="1"), resources={"requests": {"cpu": "8"}}), "8"),
        (a_pod(app(cpu="1"), status=resized(allocated="9")), "9"),
        (a_pod(app(cpu="1"), status=resized(actual="10")), "10"),
        (a_pod(app(cpu="1"), status=resized(why="Infeasible")), "0"),
        (a_pod(app(cpu="1"), status={"phase": "Failed"}), "0"),
    ],
    ids=[
        *("request", "another container", "two containers", "an init container", "a sidecar", "overhead"),
        *("pod-level request", "allocated", "actual", "infeasible", "ended"),
    ],
)
def test_pods_that_differ_in_anything_that_costs_are_not_taken_for_one(other: dict[str, Any], cost: str) -> None:
    assert dict(pod_cost.amounts_of(read(a_pod(app(cpu="1")))))["requests.cpu"] == NANOS
    assert dict(pod_cost.amounts_of(read(other))).get("requests.cpu", 0) == int(cost) * NANOS


def test_a_size_may_be_made_by_hand() -> None:
    nothing = PodSize((), (), {}, {}, {})

    assert pod_cost.charge(nothing) == {"count/pods": quantity.ONE, "pods": quantity.ONE}


def charged(written: dict[str, Any]) -> dict[str, str]:
    return {name: str(amount) for name, amount in pod_cost.charge(size_of(written)).items()}


def size_of(written: dict[str, Any]) -> PodSize:
    return pod_cost.size_of(read(written))


def read(written: dict[str, Any]) -> Pod:
    return msgspec.json.decode(json.dumps(written, ensure_ascii=False), type=Pod)
