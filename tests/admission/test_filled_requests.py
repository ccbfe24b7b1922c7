"""Defaults for what a new pod does not declare: filled in by the mutating call, charged by the validating one."""

from __future__ import annotations

import base64
import copy
import json
from fractions import Fraction
from typing import Any

import jsonpatch
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.admission.asking import Json, Webhook, a_review, pod, recorded, request_of, stamped
from tests.admission.test_missing_requests import a_pod
from webhook.admission.patch import filling_in
from webhook.kinds import pod_filling, pod_missing
from webhook.kinds.pod_shapes import Pod
from webhook.ports import UnavailableError
from webhook.quota import quantity
from webhook.quota.missing import DECLARABLE, Bounds
from webhook.quota.quantity import NANOS, Quantity
from webhook.quota.resources import COMPUTE
from webhook.quota.subject import user

MIB = 1024 * 1024 * NANOS

MEMORY = "version: 1\nmissing: {memory: {default: 256Mi}}\n"
BOTH = "version: 1\nmissing: {memory: {default: 256Mi}, limits.memory: {default: 512Mi}, cpu: {default: 100m}}\n"


def resources(document: Json | None, field: str = "containers") -> list[Json]:
    assert document is not None
    return [each["resources"] for each in document["spec"][field]]


async def filled(policy: str, document: Json, **bounds: Bounds) -> list[Json]:
    """Return the resources of the containers of a pod as they would be stored."""
    webhook = Webhook(policy)
    webhook.limit_ranges.known = bounds
    answer = await webhook.ask(a_review(object=document))
    assert answer.allowed, answer.message
    return resources(answer.object)


async def test_what_is_absent_is_filled_in_and_charged() -> None:
    webhook = Webhook(BOTH)

    answer = await webhook.ask(a_review(object=a_pod({}, {"requests": {"memory": "1Gi"}}, init=({},))))

    whole = {"requests": {"memory": "256Mi", "cpu": "100m"}, "limits": {"memory": "512Mi"}}
    assert resources(answer.object) == [
        whole,
        {"requests": {"memory": "1Gi", "cpu": "100m"}, "limits": {"memory": "1Gi"}},
    ]
    assert resources(answer.object, "initContainers") == [whole]
    assert answer.stamp["userquota.dev/owner"] == "alice"
    assert webhook.held(user("alice"), "requests.memory") == (1024 + 256) * MIB
    assert webhook.held(user("alice"), "limits.memory") == (1024 + 512) * MIB
    assert webhook.held(user("alice"), "requests.cpu") == 200 * NANOS // 1000


async def test_the_patch_sets_what_is_absent_and_makes_what_is_missing_around_it() -> None:
    document = a_pod({"requests": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, {})
    document["spec"]["containers"].append({"name": "without"})
    document["spec"]["containers"].append({"name": "null", "resources": None})

    response = await Webhook(MEMORY).mutate(request_of(a_review(object=stamped(document))))

    assert json.loads(base64.b64decode(response["patch"])) == [
        {"op": "add", "path": "/spec/containers/0/resources/requests/memory", "value": "256Mi"},
        {"op": "add", "path": "/spec/containers/1/resources/requests", "value": {"memory": "256Mi"}},
        {"op": "add", "path": "/spec/containers/2/resources/requests", "value": {"memory": "256Mi"}},
        {"op": "add", "path": "/spec/containers/3/resources", "value": {"requests": {"memory": "256Mi"}}},
        {"op": "add", "path": "/spec/containers/4/resources", "value": {"requests": {"memory": "256Mi"}}},
    ]


KEPT: dict[str, Json] = {
    "a request": a_pod({"requests": {"memory": "1"}}),
    "a written zero": a_pod({"requests": {"memory": "0"}}),
    "a request at pod level": a_pod({}, resources={"requests": {"memory": "1Gi"}}),
    "a limit at pod level": a_pod({}, resources={"limits": {"memory": "1Gi"}}),
}


@pytest.mark.parametrize("document", KEPT.values(), ids=KEPT.keys())
async def test_what_the_person_wrote_stays_as_it_is(document: Json) -> None:
    webhook = Webhook(MEMORY)

    answer = await webhook.ask(a_review(object=stamped(document)))

    assert answer.object == stamped(document)
    assert webhook.limit_ranges.reads == 0


async def test_a_default_request_above_the_limit_of_the_container_is_the_limit() -> None:
    assert await filled(MEMORY, a_pod({"limits": {"memory": "64Mi"}})) == [
        {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}
    ]


async def test_a_default_limit_below_the_request_of_the_container_is_the_request() -> None:
    assert await filled(BOTH, a_pod({"requests": {"memory": "2Gi", "cpu": "1"}})) == [
        {"requests": {"memory": "2Gi", "cpu": "1"}, "limits": {"memory": "2Gi"}}
    ]


async def test_a_pod_that_uses_another_resource_at_pod_level_is_filled_in() -> None:
    assert await filled(MEMORY, a_pod({}, resources={"requests": {"cpu": "1"}})) == [{"requests": {"memory": "256Mi"}}]


async def test_a_default_has_to_fit_as_any_other_number() -> None:
    answer = await Webhook(MEMORY + "cluster: {hard: {memory: 300Mi}}\n").ask(a_review(object=a_pod({}, {})))

    assert answer.message.startswith("larger than quota: cluster, requested: requests.memory=512Mi")


async def test_what_is_filled_in_is_not_missing() -> None:
    policy = "version: 1\nmissing: {memory: {default: 1Mi}, cpu: require}\ncluster: {hard: {memory: 1Gi, cpu: 1}}\n"

    assert (await Webhook(policy).ask(a_review(object=a_pod({"requests": {"cpu": "1"}})))).allowed


# What is not filled in.


UNTOUCHED: dict[str, Json] = {
    "an update": a_review("pods", "UPDATE", object=stamped(a_pod({})), oldObject=stamped(a_pod({})), name="pod"),
    "a Deployment": a_review(
        "deployments.apps", object=stamped({"metadata": {"name": "web"}, "spec": {"template": {}}})
    ),
    "a claim": a_review("persistentvolumeclaims", object=stamped({"metadata": {"name": "data", "uid": "u"}})),
}


@pytest.mark.parametrize("body", UNTOUCHED.values(), ids=UNTOUCHED.keys())
async def test_only_new_pods_are_filled_in(body: Json) -> None:
    response = await Webhook(MEMORY).mutate(request_of(body))

    assert response == {"uid": "call-1", "allowed": True}


async def test_a_mirror_pod_is_not_filled_in() -> None:
    response = await Webhook(MEMORY).mutate(request_of(recorded("mirror-pod-by-a-node")))

    assert "patch" not in response


async def test_a_pod_that_cannot_be_read_is_left_to_the_validating_call() -> None:
    answer = await Webhook(MEMORY).ask(a_review(object=a_pod({"requests": {"cpu": "x"}})))

    assert answer.denied_by == "validate"
    assert answer.message.startswith("cannot be charged: spec.containers[0].resources.requests.cpu")


# LimitRanges.


BOUNDED: dict[str, tuple[Json, Bounds, Json]] = {
    "below the least": (
        {},
        Bounds(least=400 * MIB),
        {"requests": {"memory": "400Mi"}, "limits": {"memory": "512Mi"}},
    ),
    "above the most": (
        {},
        Bounds(most=300 * MIB),
        {"requests": {"memory": "256Mi"}, "limits": {"memory": "300Mi"}},
    ),
    "both above the most": (
        {},
        Bounds(most=100 * MIB),
        {"requests": {"memory": "100Mi"}, "limits": {"memory": "100Mi"}},
    ),
    "a ratio, which raises a default request": (
        {},
        Bounds(ratio=Fraction(4, 3)),
        {"requests": {"memory": "384Mi"}, "limits": {"memory": "512Mi"}},
    ),
    "a ratio, which lowers a default limit": (
        {"requests": {"memory": "100Mi"}},
        Bounds(ratio=Fraction(3, 2)),
        {"requests": {"memory": "100Mi"}, "limits": {"memory": "150Mi"}},
    ),
    "a ratio of one": (
        {"requests": {"memory": "3"}},
        Bounds(ratio=Fraction(1)),
        {"requests": {"memory": "3"}, "limits": {"memory": "3"}},
    ),
    "a ratio that holds": (
        {},
        Bounds(ratio=Fraction(2)),
        {"requests": {"memory": "256Mi"}, "limits": {"memory": "512Mi"}},
    ),
    "a ratio that does not divide, which raises to a whole byte": (
        {},
        Bounds(ratio=Fraction(3, 2)),
        {"requests": {"memory": "357913942"}, "limits": {"memory": "512Mi"}},
    ),
    "a ratio that does not divide, which lowers to a whole byte": (
        {"requests": {"memory": "5"}},
        Bounds(ratio=Fraction(3, 2)),
        {"requests": {"memory": "5"}, "limits": {"memory": "7"}},
    ),
}


@pytest.mark.parametrize(("given", "bounds", "stored"), BOUNDED.values(), ids=BOUNDED.keys())
async def test_a_default_is_brought_within_the_bounds_of_limit_ranges(
    given: Json, bounds: Bounds, stored: Json
) -> None:
    policy = "version: 1\nmissing: {memory: {default: 256Mi}, limits.memory: {default: 512Mi}}\n"

    assert await filled(policy, a_pod(given), memory=bounds) == [stored]


async def test_a_default_that_a_ratio_leaves_no_room_for_is_left_out_with_a_warning() -> None:
    webhook = Webhook("version: 1\nmissing: {limits.memory: {default: 512Mi}}\n")
    webhook.limit_ranges.known = {"memory": Bounds(ratio=Fraction(2))}

    response = await webhook.mutate(request_of(a_review(object=stamped(a_pod({"requests": {"memory": "0"}})))))

    assert response == {
        "uid": "call-1",
        "allowed": True,
        "warnings": [
            (
                "container a: the default for limits.memory is left out, because a LimitRange bounds the limit by the "
                "request, and that is 0"
            )
        ],
    }


async def test_bounds_that_cannot_be_read_are_an_error_and_no_other_default() -> None:
    webhook = Webhook(MEMORY)
    webhook.limit_ranges.trouble = "no answer"

    with pytest.raises(UnavailableError) as raised:
        await webhook.mutate(request_of(a_review(object=a_pod({}))))

    assert raised.value.reason == "limit-ranges"
    assert (await webhook.ask(a_review(object=a_pod({"requests": {"memory": "1Gi"}})))).allowed


# Laws.


_amounts = st.sampled_from(["0", "1", "1m", "100m", "2", "64Mi", "1Gi", "3G", "1e3"])
_lists = st.none() | st.dictionaries(st.sampled_from(COMPUTE), _amounts)
_resources = st.none() | st.fixed_dictionaries({}, optional={"requests": _lists, "limits": _lists})
_listed = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abc")}, optional={"resources": _resources}), max_size=3
)
_pods = st.fixed_dictionaries({}, optional={"containers": _listed, "initContainers": _listed, "resources": _resources})
_defaults = st.dictionaries(
    st.sampled_from(sorted(DECLARABLE)), _amounts.map(quantity.parse).filter(lambda each: each.nanos > 0)
)
_bounds = st.dictionaries(
    st.sampled_from(COMPUTE),
    st.builds(
        Bounds,
        least=st.none() | st.just(50 * MIB),
        most=st.none() | st.just(200 * MIB),
        ratio=st.none() | st.sampled_from([Fraction(1), Fraction(3, 2), Fraction(7)]),
    ),
)


def patched(spec: Json, defaults: dict[str, Quantity], bounds: dict[str, Bounds]) -> Json:
    steps = filling_in(pod_filling.fill(read(spec), defaults, bounds))
    operations = [{"op": "add", "path": each.path, "value": each.value} for each in steps]
    changed: Json = jsonpatch.apply_patch({"spec": copy.deepcopy(spec)}, operations)["spec"]
    return changed


def read(spec: Json) -> Pod:
    return request_of(a_review(object={**pod(), "spec": spec})).decode(Pod)


def numbers(spec: Json) -> dict[tuple[str, int, str, str], Any]:
    """Return every number of the containers by its place."""
    return {
        (field, position, listed, name): amount
        for field in ("containers", "initContainers")
        for position, container in enumerate(spec.get(field) or ())
        for listed in ("requests", "limits")
        for name, amount in ((container.get("resources") or {}).get(listed) or {}).items()
    }


@given(_pods, _defaults, _bounds)
def test_no_default_changes_a_number_that_is_written(
    spec: Json, defaults: dict[str, Quantity], bounds: dict[str, Bounds]
) -> None:
    changed = numbers(patched(spec, defaults, bounds))

    assert {place: changed[place] for place in numbers(spec)} == numbers(spec)
    for _, _, listed, name in changed.keys() - numbers(spec).keys():
        assert f"{listed}.{name}" in defaults


@given(_pods, _defaults, _bounds)
def test_a_second_patch_changes_nothing(spec: Json, defaults: dict[str, Quantity], bounds: dict[str, Bounds]) -> None:
    once = patched(spec, defaults, bounds)

    assert patched(once, defaults, bounds) == once


@given(_pods, _defaults, _bounds)
@example(
    {"containers": [{"name": "a", "resources": {"limits": {"memory": "1m"}}}]},
    {"requests.memory": quantity.ONE},
    {"memory": Bounds(ratio=Fraction(1))},
)
def test_no_default_makes_a_request_larger_than_its_limit(
    spec: Json, defaults: dict[str, Quantity], bounds: dict[str, Bounds]
) -> None:
    before, after = numbers(spec), numbers(patched(spec, defaults, bounds))

    for field, position, listed, name in after.keys() - before.keys():
        request = after.get((field, position, "requests", name))
        limit = after.get((field, position, "limits", name))
        if request is not None and limit is not None:
            assert quantity.parse(request).nanos <= quantity.parse(limit).nanos, listed


@given(_pods, _defaults, _bounds)
def test_what_is_filled_into_a_container_without_a_number_is_within_the_bounds(
    spec: Json, defaults: dict[str, Quantity], bounds: dict[str, Bounds]
) -> None:
    before, after = numbers(spec), numbers(patched(spec, defaults, bounds))

    for field, position, listed, name in after.keys() - before.keys():
        if any((field, position, each, name) in before for each in ("requests", "limits")):
            continue
        within, amount = bounds.get(name, Bounds()), quantity.parse(after[field, position, listed, name]).nanos
        assert within.within(amount) == amount
        request = after.get((field, position, "requests", name))
        if within.ratio is not None and listed == "limits" and request is not None:
            assert amount <= within.ratio * quantity.parse(request).nanos


@given(_pods, _defaults)
def test_nothing_that_has_a_default_is_missing_after_filling(spec: Json, defaults: dict[str, Quantity]) -> None:
    changed = patched(spec, defaults, {})
    written = numbers(spec)

    for name, containers in pod_missing.undeclared(read(changed)).items():
        if name not in defaults:
            continue
        listed, _, resource = name.partition(".")
        at_pod_level = [resource in (each or {}) for each in ((spec.get("resources") or {}).values())]
        zeros = {
            container["name"]
            for field in ("containers", "initContainers")
            for position, container in enumerate(spec.get(field) or ())
            if any(written.get((field, position, each, resource)) == "0" for each in ("requests", "limits"))
        }
        assert any(at_pod_level) or set(containers) <= zeros, listed
