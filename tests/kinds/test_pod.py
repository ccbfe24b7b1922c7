"""
A pod costs what ResourceQuota counts, and an error names the field that cannot be counted.

test_charge_equals_kubernetes.py checks that Kubernetes itself charges the same for the examples.
"""

import json
from datetime import UTC, datetime, timedelta
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
from webhook.kinds.pods import PODS
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


DELETED_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
CHARGED = (("count/pods", NANOS), ("pods", NANOS), ("requests.cpu", NANOS))
RELEASED = (("count/pods", NANOS),)


def deleted(at: object = "2026-11-01T12:00:00Z", grace: object = 30, *, phase: str = "Running") -> Pod:
    written = a_pod(app(cpu="1"), status={"phase": phase})
    written["metadata"] |= {"deletionTimestamp": at, "deletionGracePeriodSeconds": grace}
    return read(written)


@pytest.mark.parametrize("grace", [30, 0])
def test_a_pod_is_released_after_the_grace_period_of_its_deletion_and_not_at_its_last_moment(grace: int) -> None:
    """The API server has added the grace period to the timestamp already; ResourceQuota adds it again."""
    pod, end = deleted(grace=grace), DELETED_AT + timedelta(seconds=grace)

    assert PODS.evaluator.released_at(pod) == end
    assert [PODS.evaluator.usage(pod, now=end + timedelta(seconds=late)) for late in (-1, 0)] == [CHARGED] * 2
    assert [PODS.evaluator.usage(pod, now=end + timedelta(microseconds=late)) for late in (1, 10**6)] == [RELEASED] * 2
    assert PODS.evaluator.usage(pod, now=None) == CHARGED


@pytest.mark.parametrize(
    ("at", "grace"),
    [
        (None, 0),
        ("2020-01-01T00:00:00Z", None),
        ("2020-01-01T00:00:00Z", 10**15),
        # Go computes this timestamp at noon for a grace period of 10 000 000 000 seconds, because it overflows.
        ("1759-03-03T06:12:06Z", 10**10),
    ],
    ids=["not deleted", "without a grace period", "released after the year 9999", "an overflow in Go"],
)
def test_a_pod_without_an_end_of_its_grace_period_in_sight_costs_everything(at: object, grace: object) -> None:
    assert PODS.evaluator.usage(deleted(at, grace), now=DELETED_AT) == CHARGED


def test_a_terminal_pod_is_not_released_a_second_time() -> None:
    assert PODS.evaluator.released_at(deleted(phase="Failed")) is None


@pytest.mark.parametrize(
    ("at", "grace", "path"),
    [
        *((at, 30, "metadata.deletionTimestamp") for at in ("soon", "2026-11-01T12:00:00", "2026-13-01T12:00:00Z", 5)),
        *(("2026-11-01T12:00:00Z", grace, "metadata.deletionGracePeriodSeconds") for grace in ("30", 1.5, True)),
    ],
)
def test_a_deletion_that_cannot_be_read_is_named_by_its_field(at: object, grace: object, path: str) -> None:
    with pytest.raises(UncountableError) as refused:
        PODS.evaluator.usage(deleted(at, grace), now=DELETED_AT)

    assert refused.value.path == path


def test_a_pod_without_any_field_costs_one_pod() -> None:
    assert charged({}) == {"count/pods": "1", "pods": "1"}
    assert charged({"spec": {"containers": None}}) == {"count/pods": "1", "pods": "1"}


@pytest.mark.parametrize(("requests", "cost"), [({}, 2), (None, 3)], ids=["empty", "absent"])
def test_pods_whose_status_differs_only_in_an_empty_list_are_not_taken_for_one(requests: object, cost: int) -> None:
    """What costs the same is computed once: absent, null and empty have to differ in the text."""
    statuses = [
        {"name": "a", "resources": {"requests": requests}},
        {"name": "b", "resources": {"requests": {"cpu": "2"}}},
    ]
    written = a_pod(app("a", cpu="1"), app("b", cpu="1"), status={"containerStatuses": statuses})

    assert dict(pod_cost.amounts_of(read(written)))["requests.cpu"] == cost * NANOS


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


@pytest.mark.parametrize(("observed", "cost"), [(None, 2), (1, 2), (2, 0), (3, 0)])
def test_a_resize_is_infeasible_only_by_a_condition_of_its_own_generation(observed: int | None, cost: int) -> None:
    pod = a_pod(app(cpu="2"), status=resized(why="Infeasible"))
    pod["metadata"] = {**pod.get("metadata", {}), "generation": 2}
    if observed is not None:
        pod["status"]["conditions"][0]["observedGeneration"] = observed

    assert dict(pod_cost.amounts_of(read(pod))).get("requests.cpu", 0) == cost * NANOS


def test_what_is_booked_are_the_amounts_of_the_charge() -> None:
    decoded = read(a_pod(app("app", {"nvidia.com/gpu": "2"}, cpu="1500m", memory="0")))

    assert pod_cost.amounts_of(decoded) == resources.amounts(pod_cost.charge(pod_cost.size_of(decoded)))
    assert dict(pod_cost.amounts_of(decoded)) == {
        "count/pods": NANOS,
        "pods": NANOS,
        "requests.cpu": 1500 * NANOS // 1000,
        "requests.nvidia.com/gpu": 2 * NANOS,
    }


def test_the_usage_of_a_pod_is_raw_and_the_logical_resources_can_be_limited() -> None:
    decoded = read(a_pod(app("app", {"nvidia.com/gpu": "2", "google.com/tpu": "4"})))

    used = dict(PODS.evaluator.usage(decoded, now=None))
    assert used["requests.nvidia.com/gpu"] == 2 * NANOS
    assert not {"gpu", "accelerator"} & used.keys()
    assert PODS.evaluator.counts("gpu")
    assert PODS.evaluator.counts("accelerator")


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
