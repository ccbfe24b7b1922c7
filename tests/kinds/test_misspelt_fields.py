"""Fields of pods that are surely misspelt are told; what a newer Kubernetes may have is not."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.kinds.misspelt_fields import misspelt_fields

Json = dict[str, Any]


def pod(container: Json, **spec: Any) -> Json:
    return {"kind": "Pod", "spec": {"containers": [{"name": "main", **container}], **spec}}


NO_SUCH = "Kubernetes has no such resource"
CASES: dict[str, tuple[Json, list[str]]] = {
    "nothing": (pod({"resources": {"requests": {"cpu": 1, "hugepages-2Mi": 1}, "limits": {"a.example/x": 1}}}), []),
    "a field of a container": (
        pod({"resource": {"requests": {"cpu": 1}}}),
        ["spec.containers[0].resource: unknown field, did you mean resources?"],
    ),
    "a list of resources": (
        pod({"resources": {"request": {"cpu": 1}}}),
        ["spec.containers[0].resources.request: unknown field, did you mean requests?"],
    ),
    "a field of the pod": (
        pod({}, runtimeClass="kata"),
        ["spec.runtimeClass: unknown field, did you mean runtimeClassName?"],
    ),
    "a field that is there besides": (pod({"resources": {}, "resource": {}}), []),
    "a field of a newer Kubernetes": (pod({"somethingNew": 1}, alsoNew={}), []),
    "a device without a domain": (
        pod({"resources": {"limits": {"gpu": 1}}}),
        [f"spec.containers[0].resources.limits.gpu: {NO_SUCH}, devices are named as in nvidia.com/gpu"],
    ),
    "a resource": (
        pod({"resources": {"requests": {"memmory": 1}}}),
        [f"spec.containers[0].resources.requests.memmory: {NO_SUCH}, did you mean memory?"],
    ),
    "a template": (
        {"kind": "Deployment", "spec": {"template": pod({"resource": {}})}},
        ["spec.template.spec.containers[0].resource: unknown field, did you mean resources?"],
    ),
    "a job's template": (
        {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": pod({"resource": {}})}}}},
        ["spec.jobTemplate.spec.template.spec.containers[0].resource: unknown field, did you mean resources?"],
    ),
    "no pod": ({"kind": "Service", "spec": {"resource": {}}}, []),
    "other types": ({"spec": {"containers": [1, {"resources": 1}], "initContainers": 1}}, []),
}


@pytest.mark.parametrize(("document", "expected"), CASES.values(), ids=CASES.keys())
def test_what_is_surely_misspelt_is_told(document: Json, expected: list[str]) -> None:
    assert list(misspelt_fields(document)) == expected
