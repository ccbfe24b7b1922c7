"""Fields that are surely misspelt are told, of objects that cost; what a newer Kubernetes may have is not."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.kinds.misspelt_fields import misspelt_fields

Json = dict[str, Any]


def pod(container: Json, **spec: Any) -> Json:
    return {"kind": "Pod", "spec": {"containers": [{"name": "main", **container}], **spec}}


def of(api_version: str, kind: str, spec: Json, **more: Any) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec, **more}


def claim(**spec: Any) -> Json:
    return of("v1", "PersistentVolumeClaim", spec)


def devices(**request: Any) -> Json:
    return {"devices": {"requests": [{"name": "r", **request}]}}


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
    "a resource in a domain of Kubernetes": (pod({"resources": {"limits": {"kubernetes.io/batch-cpu": 1}}}), []),
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
    "no containers": (
        of("v1", "Pod", {"container": [{"name": "main"}]}),
        ["spec.container: unknown field, did you mean containers?"],
    ),
    "a spec": ({"apiVersion": "v1", "kind": "Pod", "specs": {}}, ["specs: unknown field, did you mean spec?"]),
    "a namespace": (
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespcae": "red"}, "spec": {}},
        ["metadata.namespcae: unknown field, did you mean namespace?"],
    ),
    "capital letters": (
        of("apps/v1", "Deployment", {"Replicas": 9}),
        ["spec.Replicas: unknown field, did you mean replicas?"],
    ),
    "a number of pods": (
        of("apps/v1", "Deployment", {"replica": 9, "template": pod({"resource": {}})}),
        [
            "spec.replica: unknown field, did you mean replicas?",
            "spec.template.spec.containers[0].resource: unknown field, did you mean resources?",
        ],
    ),
    "how many at a time": (
        of("batch/v1", "CronJob", {"jobTemplate": {"spec": {"paralelism": 9}}}),
        ["spec.jobTemplate.spec.paralelism: unknown field, did you mean parallelism?"],
    ),
    "the size of a claim": (
        claim(resource={"requests": {"storage": "1Gi"}}),
        ["spec.resource: unknown field, did you mean resources?"],
    ),
    "the resource of a claim": (
        claim(resources={"requests": {"size": "1Gi"}}),
        [f"spec.resources.requests.size: {NO_SUCH}, did you mean storage?"],
    ),
    "a claim of a volume": (
        of(
            "v1",
            "Pod",
            {"containers": [], "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplates": claim()}}]},
        ),
        ["spec.volumes[0].ephemeral.volumeClaimTemplates: unknown field, did you mean volumeClaimTemplate?"],
    ),
    "claims of a set": (
        of("apps/v1", "StatefulSet", {"volumeClaimTemplate": [claim()]}),
        ["spec.volumeClaimTemplate: unknown field, did you mean volumeClaimTemplates?"],
    ),
    "a number of devices": (
        of("resource.k8s.io/v1", "ResourceClaim", devices(exactly={"deviceClassName": "gpu", "counts": 8})),
        ["spec.devices.requests[0].exactly.counts: unknown field, did you mean count?"],
    ),
    "a template of claims": (
        of("resource.k8s.io/v1", "ResourceClaimTemplate", {"spec": devices(exatly={"deviceClassName": "gpu"})}),
        ["spec.spec.devices.requests[0].exatly: unknown field, did you mean exactly?"],
    ),
    "a kind of the same name": (of("batch.example.com/v1", "Job", {"paralelism": 9}), []),
    "other types of an object": (of("apps/v1", "Deployment", {"replicas": [[1]], "template": [[{"specs": 1}]]}), []),
    "no object": ({"apiVersion": 1, "kind": [], "spec": 7}, []),
    "other types": ({"spec": {"containers": [1, {"resources": 1}], "initContainers": 1}}, []),
}


@pytest.mark.parametrize(("document", "expected"), CASES.values(), ids=CASES.keys())
def test_what_is_surely_misspelt_is_told(document: Json, expected: list[str]) -> None:
    assert list(misspelt_fields(document)) == expected


def test_of_very_many_unknown_names_the_first_are_looked_at() -> None:
    """A check of one object with 50 000 of them would keep reviews waiting for minutes."""
    names = {f"name{number}": 1 for number in range(100)}
    assert list(misspelt_fields(pod({**names, "resource": {}}))) == []
    names.popitem()
    assert len(list(misspelt_fields(pod({**names, "resource": {}})))) == 1
