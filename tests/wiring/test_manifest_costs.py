"""What objects of manifests cost with what is made for them: the numbers are worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.documents import preset_files
from webhook.documents.object_text import read_objects
from webhook.documents.shipped_presets import shipped
from webhook.quota.policy import Policy
from webhook.wiring.manifest_costs import costs_of, total

POLICY = Policy(presets=tuple(map(shipped, preset_files.names())))
CONTAINERS = "containers: [{name: main, resources: {limits: {cpu: 500m, nvidia.com/gpu: 2}}}]"
POD = f"template: {{spec: {{{CONTAINERS}}}}}"
CLAIM = "spec: {resources: {requests: {storage: 10Gi}}}"


def workload(kind: str, spec: str, *, api_version: str = "apps/v1") -> str:
    return f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: web, uid: u}}\nspec: {{{spec}}}\n"


def costs(text: str) -> Any:
    objects, mistakes = read_objects(text, source="a.yaml")
    assert mistakes == ()
    found, mistaken = costs_of(objects, POLICY)
    assert mistaken == []
    return found


def told(text: str) -> dict[str, tuple[str, str]]:
    (found,) = costs(text)
    return {each.resource: (each.shown, each.source) for each in found.lines}


WORKLOADS = {
    "replicas": (workload("Deployment", f"replicas: 3, {POD}"), "3", "1500m", "6", "3 pods"),
    "no replicas, which is one": (workload("Deployment", POD), "1", "500m", "2", "1 pod"),
    "a job": (
        workload("Job", f"parallelism: 2, completions: 1, {POD}", api_version="batch/v1"),
        "1",
        "500m",
        "2",
        "1 pod",
    ),
    "a job without numbers": (workload("Job", POD, api_version="batch/v1"), "1", "500m", "2", "1 pod"),
    "a cron job": (
        workload("CronJob", f"jobTemplate: {{spec: {{{POD}}}}}", api_version="batch/v1"),
        "1",
        "500m",
        "2",
        "1 pod whenever it runs",
    ),
    "a daemon set": (workload("DaemonSet", POD), "1", "500m", "2", "a pod on each node"),
}


@pytest.mark.parametrize(("text", "pods", "cpu", "gpu", "of"), WORKLOADS.values(), ids=WORKLOADS.keys())
def test_a_workload_costs_its_pods(text: str, pods: str, cpu: str, gpu: str, of: str) -> None:
    assert told(text) == {
        "count/pods": (pods, f"{of}: one object"),
        "gpu": (gpu, f"{of}: requests.nvidia.com/gpu x 1"),
        "limits.cpu": (cpu, f"{of}: main"),
        "pods": (pods, f"{of}: one pod"),
        "requests.cpu": (cpu, f"{of}: main"),
        "requests.nvidia.com/gpu": (gpu, f"{of}: main"),
    }


def test_claims_of_templates_and_of_volumes_come_with_each_pod() -> None:
    volume = f"volumes: [{{name: tmp, ephemeral: {{volumeClaimTemplate: {{{CLAIM}}}}}}}]"
    text = workload(
        "StatefulSet",
        f"replicas: 2, template: {{spec: {{containers: [{{name: main}}], {volume}}}}}, "
        f"volumeClaimTemplates: [{{metadata: {{name: data}}, {CLAIM}}}]",
    )
    found = told(text)

    assert found["persistentvolumeclaims"] == ("4", "2 claims tmp: one claim; 2 claims data: one claim")
    assert found["requests.storage"][0] == "40Gi"
    assert found["pods"][0] == "2"


def test_an_ephemeral_volume_of_a_pod_is_a_claim() -> None:
    volume = f"volumes: [{{name: tmp, ephemeral: {{volumeClaimTemplate: {{{CLAIM}}}}}}}]"
    found = told(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{{CONTAINERS}, {volume}}}\n")

    assert (found["pods"], found["requests.storage"][0]) == (("1", "one pod"), "10Gi")


def test_a_session_costs_its_place_and_its_pods_while_it_runs() -> None:
    notebook = workload("Notebook", POD, api_version="kubeflow.org/v1")
    stopped = notebook.replace("uid: u", "uid: u, annotations: {kubeflow-resource-stopped: x}")

    assert told(notebook)["sessions"] == ("1", "one object")
    assert told(notebook)["gpu"] == ("2", "its pods: requests.nvidia.com/gpu x 1")
    assert sorted(told(stopped)) == ["count/notebooks.kubeflow.org", "sessions"]


NOTHING = {
    "no replicas": (workload("Deployment", f"replicas: 0, {POD}"), "it makes no pod: 0 replicas"),
    "suspended": (workload("Job", f"suspend: true, {POD}", api_version="batch/v1"), "it is suspended"),
    "a cron job that is suspended": (
        workload("CronJob", f"suspend: true, jobTemplate: {{spec: {{{POD}}}}}", api_version="batch/v1"),
        "it is suspended",
    ),
    "no template": (workload("ReplicaSet", "replicas: 2"), "it has no template of pods"),
    "another kind": (workload("Service", "", api_version="v1"), "no kind that is counted, unless a policy limits its"),
    "a volume": (workload("PersistentVolume", "", api_version="v1"), "no kind that is counted, unless a policy"),
}


@pytest.mark.parametrize(("text", "why"), NOTHING.values(), ids=NOTHING.keys())
def test_what_costs_nothing_says_why(text: str, why: str) -> None:
    (found,) = costs(text)

    assert found.lines == ()
    assert found.nothing.startswith(why)


def test_what_another_object_makes_is_counted_with_that() -> None:
    owner = "{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: u, controller: true}"
    made = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a, ownerReferences: [{owner}]}}\nspec: {{{CONTAINERS}}}\n"
    found = costs(workload("ReplicaSet", f"replicas: 2, {POD}") + "---\n" + made)

    assert found[1].nothing == "counted with ReplicaSet web, which makes it"
    assert {each.resource: each.shown for each in total(found)}["pods"] == "2"


def test_notes_are_those_of_a_check() -> None:
    misspelt, unknown = costs(
        workload("Deployment", "replica: 9, " + POD) + "---\n" + workload("Widget", "", api_version="example.com/v1")
    )
    assert misspelt.notes == ("spec.replica: unknown field, did you mean replicas?",)
    assert unknown.notes == ("userquota does not know this kind, nor the pods that are made for it",)
    assert unknown.lines == ()


MISTAKES = {
    "a kind of a preset with a letter wrong": (
        workload("Notebok", POD, api_version="kubeflow.org/v1"),
        "a.yaml:1: Notebok web: there is no such kind in kubeflow.org/v1, did you mean Notebook?",
    ),
    "a kind with a letter wrong": (
        workload("Deploymnt", POD),
        "a.yaml:1: Deploymnt web: there is no such kind in apps/v1, did you mean Deployment?",
    ),
    "an amount in a template": (
        workload("Deployment", POD.replace("500m", "x")),
        (
            "a.yaml:1: Deployment web: spec.template.spec.containers[0].resources.limits.cpu: invalid quantity 'x': "
            "expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3"
        ),
    ),
}


@pytest.mark.parametrize(("text", "why"), MISTAKES.values(), ids=MISTAKES.keys())
def test_what_cannot_be_counted_is_told_with_its_place(text: str, why: str) -> None:
    objects, _ = read_objects(text, source="a.yaml")

    assert costs_of(objects, POLICY) == ([], [why])
