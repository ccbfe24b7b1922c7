"""What each shipped preset reads from objects of its platform, exact; the objects are in `presets/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from webhook.documents import preset_files
from webhook.documents.object_text import read_objects
from webhook.documents.shipped_presets import shipped
from webhook.kinds.session_marks import NamespaceTexts
from webhook.kinds.sessions import SessionReader, SessionReading
from webhook.quota import resources
from webhook.quota.field_paths import Path as FieldPath

FIXTURES = Path(__file__).parent / "presets"
GPU = "requests.nvidia.com/gpu"
ADA = "ada@example.com"

# ruff: noqa: ISC004 - amounts are long
# Name of the preset and the object: user, state, pods, amounts in words; None for no session.
READINGS: dict[tuple[str, str], tuple[str | None, str, int, str] | None] = {
    ("argo-workflow", "running"): (ADA, "running", 0, ""),
    ("argo-workflow", "stopped"): ("ada", "stopped", 0, ""),
    ("argo-workflow", "ended"): (None, "ended", 0, ""),
    ("coder", "running"): (
        "ada",
        "running",
        1,
        "count/pods=1,limits.cpu=4,limits.memory=4Gi,pods=1,requests.cpu=250m,requests.memory=512Mi",
    ),
    ("coder", "stopped"): ("ada", "stopped", 0, ""),
    ("coder", "other"): None,
    ("coder-pod", "running"): ("ada", "running", 1, "count/pods=1,pods=1,requests.cpu=250m"),
    ("coder-pod", "ended"): ("ada", "ended", 1, "count/pods=1,pods=1,requests.cpu=250m"),
    ("coder-pod", "other"): None,
    ("dask", "running"): (
        None,
        "running",
        4,
        "count/pods=4,limits.cpu=6,limits.memory=12Gi,pods=4,requests.cpu=6500m,requests.memory=13Gi",
    ),
    ("dask", "small"): (None, "running", 2, "count/pods=2,limits.cpu=2,pods=2,requests.cpu=2"),
    ("devworkspace", "running"): (
        "ada",
        "running",
        1,
        f"count/pods=1,limits.cpu=2,limits.memory=5280Mi,pods=1,requests.cpu=3500m,requests.memory=1184Mi,{GPU}=1",
    ),
    ("devworkspace", "cloning"): (
        "ada",
        "running",
        1,
        "count/pods=1,limits.cpu=1,limits.memory=1Gi,pods=1,requests.cpu=100m,requests.memory=128Mi",
    ),
    ("devworkspace", "stopped"): ("ada", "stopped", 1, "count/pods=1,limits.memory=128Mi,pods=1,requests.memory=64Mi"),
    ("jupyterhub", "running"): (ADA, "running", 1, "count/pods=1,pods=1,requests.cpu=2,requests.memory=2Gi"),
    ("jupyterhub", "ended"): (ADA, "ended", 1, "count/pods=1,pods=1"),
    ("jupyterhub", "other"): None,
    ("kubeflow-notebook", "running"): (
        ADA,
        "running",
        1,
        f"count/pods=1,limits.cpu=600m,limits.memory=1Gi,pods=1,requests.cpu=600m,requests.memory=1Gi,{GPU}=1",
    ),
    ("kubeflow-notebook", "stopped"): (
        "profile@example.com",
        "stopped",
        1,
        "count/pods=1,pods=1,requests.cpu=500m",
    ),
    ("kubeflow-workspace", "running"): (ADA, "running", 1, "count/pods=1,pods=1"),
    ("kubeflow-workspace", "stopped"): (ADA, "stopped", 1, "count/pods=1,pods=1"),
    ("kubevirt", "running"): (
        None,
        "running",
        1,
        "count/pods=1,pods=1,requests.cpu=800m,requests.ephemeral-storage=50000000,requests.memory=4420Mi,"
        "requests.nvidia.com/GA102GL_A10=2",
    ),
    ("kubevirt", "stopped"): (
        None,
        "stopped",
        1,
        "count/pods=1,pods=1,requests.cpu=2,requests.ephemeral-storage=50000000,requests.memory=1294Mi",
    ),
    ("kubevirt", "limited"): (
        None,
        "stopped",
        1,
        "count/pods=1,limits.cpu=1,limits.memory=2316Mi,pods=1,requests.cpu=1,requests.ephemeral-storage=50000000,"
        "requests.memory=2316Mi",
    ),
    ("kubevirt", "pinned"): (
        None,
        "running",
        1,
        "count/pods=1,limits.cpu=2,limits.memory=1400Mi,pods=1,requests.cpu=2,requests.ephemeral-storage=50000000,"
        "requests.memory=1400Mi",
    ),
    ("kubevirt", "typed"): (
        None,
        "stopped",
        1,
        "count/pods=1,pods=1,requests.cpu=100m,requests.ephemeral-storage=50000000,requests.memory=268Mi",
    ),
    ("raycluster", "running"): (
        None,
        "running",
        12,
        "annotation/gpu-fraction=1500m,count/pods=12,limits.cpu=550m,limits.memory=2560Mi,pods=12,requests.cpu=6050m,"
        "requests.memory=2560Mi",
    ),
    ("raycluster", "stopped"): (None, "stopped", 3, "count/pods=3,limits.cpu=200m,pods=3,requests.cpu=3200m"),
    ("raycluster", "other"): None,
    ("rayjob", "running"): (
        None,
        "running",
        4,
        "count/pods=4,limits.cpu=1500m,limits.memory=1536Mi,pods=4,requests.cpu=6,requests.memory=712Mi",
    ),
    ("rayjob", "stopped"): (None, "stopped", 1, "count/pods=1,pods=1,requests.cpu=1"),
    ("rayjob", "kept"): (
        None,
        "running",
        1,
        "count/pods=1,limits.cpu=1,limits.memory=1Gi,pods=1,requests.cpu=1500m,requests.memory=200Mi",
    ),
    ("rayjob", "ended"): (None, "ended", 1, "count/pods=1,pods=1,requests.cpu=100m"),
    ("rayservice", "running"): (None, "running", 2, "count/pods=2,pods=2,requests.cpu=3"),
    ("rayservice", "stopped"): (None, "stopped", 2, "count/pods=2,pods=2,requests.cpu=3"),
    **{
        (preset, name): reading
        for preset in ("streamspace", "streamspace-io")
        for name, reading in {
            "running": (
                "ada",
                "running",
                1,
                "count/pods=1,limits.cpu=1,limits.memory=2Gi,pods=1,requests.cpu=500m,requests.memory=1Gi",
            ),
            "flat": (
                "ada",
                "running",
                1,
                "count/pods=1,limits.cpu=1500m,limits.memory=2Gi,pods=1,requests.cpu=1500m,requests.memory=2Gi",
            ),
            "stopped": ("ada", "stopped", 1, "count/pods=1,pods=1"),
            "ended": ("ada", "ended", 1, "count/pods=1,limits.cpu=1,pods=1,requests.cpu=1"),
        }.items()
    },
    ("trainjob", "running"): (
        None,
        "running",
        4,
        "count/pods=4,limits.memory=64Gi,pods=4,requests.cpu=16,requests.memory=64Gi,requests.nvidia.com/gpu=8",
    ),
    ("trainjob", "stopped"): (None, "stopped", 1, "count/pods=1,pods=1"),
    ("trainjob", "ended"): (None, "ended", 1, "count/pods=1,pods=1"),
}

# The amounts at the upper bound where they differ from those above; None for no bound.
MOST: dict[tuple[str, str], str | None] = {
    ("kubevirt", "running"): "count/pods=2,pods=2,requests.cpu=1600m,requests.ephemeral-storage=100000000,"
    "requests.memory=8840Mi,requests.nvidia.com/GA102GL_A10=4",
    ("kubevirt", "stopped"): "count/pods=2,pods=2,requests.cpu=4,requests.ephemeral-storage=100000000,"
    "requests.memory=2588Mi",
    ("kubevirt", "limited"): "count/pods=2,limits.cpu=2,limits.memory=4632Mi,pods=2,requests.cpu=2,"
    "requests.ephemeral-storage=100000000,requests.memory=4632Mi",
    ("kubevirt", "pinned"): "count/pods=2,limits.cpu=4,limits.memory=2800Mi,pods=2,requests.cpu=4,"
    "requests.ephemeral-storage=100000000,requests.memory=2800Mi",
    ("kubevirt", "typed"): "count/pods=2,pods=2,requests.cpu=200m,requests.ephemeral-storage=100000000,"
    "requests.memory=536Mi",
    ("raycluster", "running"): "annotation/gpu-fraction=5,count/pods=19,limits.cpu=550m,limits.memory=2560Mi,pods=19,"
    "requests.cpu=6050m,requests.memory=2560Mi",
    ("raycluster", "stopped"): None,
    ("rayjob", "running"): "count/pods=5,limits.cpu=1500m,limits.memory=1536Mi,pods=5,requests.cpu=8,"
    "requests.memory=712Mi",
    ("rayservice", "running"): "count/pods=8,pods=8,requests.cpu=14",
    ("rayservice", "stopped"): "count/pods=4,pods=4,requests.cpu=7",
}

ELSEWHERE = {
    ("argo-workflow", "running"): ("spec Exists",),
    ("devworkspace", "stopped"): ("spec.contributions Exists",),
    ("kubeflow-workspace", "running"): ("spec.podTemplate.options.podConfig Exists",),
    ("kubevirt", "typed"): ("spec.instancetype Exists",),
    ("streamspace", "stopped"): ("spec.resources DoesNotExist",),
    ("trainjob", "running"): ("spec.runtimeRef.name Exists",),
    ("raycluster", "running"): (),
}

POD_LABELS: dict[tuple[str, str], list[dict[str, str]]] = {
    ("argo-workflow", "running"): [{"workflows.argoproj.io/workflow": "running"}],
    ("coder", "running"): [{"com.coder.workspace.id": "w-1"}],
    ("coder-pod", "running"): [],
    ("dask", "running"): [{"dask.org/cluster-name": "running"}],
    ("devworkspace", "running"): [{"controller.devfile.io/devworkspace_id": "workspace0123"}],
    ("devworkspace", "stopped"): [],
    ("jupyterhub", "running"): [],
    ("kubeflow-notebook", "running"): [{"notebook-name": "running"}],
    ("kubeflow-workspace", "running"): [{"notebooks.kubeflow.org/workspace-name": "running"}],
    ("kubevirt", "running"): [{"vm.kubevirt.io/name": "running", "kubevirt.io": "virt-launcher"}],
    ("raycluster", "running"): [{"ray.io/cluster": "running"}],
    ("rayjob", "running"): [{"ray.io/cluster": "running-abcde"}],
    ("rayjob", "stopped"): [],
    ("rayservice", "running"): [{"ray.io/cluster": "running-a"}, {"ray.io/cluster": "running-b"}],
    ("streamspace", "running"): [{"session": "running", "app": "streamspace-session"}],
    ("trainjob", "running"): [{"jobset.sigs.k8s.io/jobset-name": "running"}],
}


@cache
def objects(preset: str) -> tuple[dict[str, bytes], NamespaceTexts]:
    """Return the objects of a fixture by name, and what their namespace carries."""
    found, mistakes = read_objects((FIXTURES / f"{preset}.yaml").read_text(), source=preset)
    assert not mistakes
    bodies = {each.name: each.body for each in found if each.kind != "Namespace"}
    namespaces = [msgspec.json.decode(each.body)["metadata"] for each in found if each.kind == "Namespace"]
    return bodies, NamespaceTexts({}, namespaces[0]["annotations"] if namespaces else {})


def read(preset: str, name: str) -> SessionReading | None:
    bodies, namespace = objects(preset)
    return SessionReader(shipped(preset)).read(bodies[name], namespace)


def found(preset: str, name: str) -> SessionReading:
    reading = read(preset, name)
    assert reading is not None
    return reading


@pytest.mark.parametrize("key", READINGS, ids=" ".join)
def test_a_shipped_preset_reads_exactly_this(key: tuple[str, str]) -> None:
    reading = read(*key)

    told = reading and (
        reading.user.text if reading.user else None,
        reading.state.value,
        reading.pods,
        resources.show_list(reading.amounts),
    )
    assert told == READINGS[key]


@pytest.mark.parametrize("key", [key for key, reading in READINGS.items() if reading], ids=" ".join)
def test_the_upper_bound_is_this_or_what_there_is(key: tuple[str, str]) -> None:
    reading = found(*key)

    most = None if reading.most is None else resources.show_list(reading.most)
    assert most == MOST.get(key, resources.show_list(reading.amounts))


@pytest.mark.parametrize("key", ELSEWHERE, ids=" ".join)
def test_what_another_object_decides_is_named(key: tuple[str, str]) -> None:
    assert found(*key).elsewhere == ELSEWHERE[key]


@pytest.mark.parametrize("key", POD_LABELS, ids=" ".join)
def test_the_pods_of_a_session_are_known_by_these_labels(key: tuple[str, str]) -> None:
    assert [dict(labels) for labels in found(*key).pod_labels] == POD_LABELS[key]


def test_every_object_of_the_fixtures_is_read() -> None:
    read_here = set(READINGS)

    assert {(preset, name) for preset in preset_files.names() for name in objects(preset)[0]} == read_here


@pytest.mark.parametrize("preset", preset_files.names())
def test_a_shipped_preset_has_an_object_that_runs_and_one_that_does_not(preset: str) -> None:
    states = {reading[1] for (name, _), reading in READINGS.items() if name == preset and reading}

    # A Dask cluster has no field by which it could be stopped: it is deleted.
    assert states >= ({"running"} if preset == "dask" else {"running", "stopped"} if shipped(preset).stopped else set())
    assert preset == "dask" or len(states) > 1


def test_times_and_queues_are_read_where_a_platform_has_them() -> None:
    assert (found("streamspace", "running").duration, found("streamspace", "running").idle) == ("8h", "30m")
    assert (found("dask", "running").idle, found("rayjob", "running").duration) == (600, 7200)
    assert found("raycluster", "running").project == ("research", "label kueue.x-k8s.io/queue-name")


def test_a_status_does_not_stop_what_the_spec_runs() -> None:
    bodies, namespace = objects("kubeflow-workspace")
    body: dict[str, Any] = msgspec.json.decode(bodies["running"])
    body["status"] = {"state": "Paused"}

    reading = SessionReader(shipped("kubeflow-workspace")).read(msgspec.json.encode(body), namespace)

    assert reading is not None
    assert reading.state.value == "running"


@pytest.mark.parametrize("preset", preset_files.names())
def test_a_shipped_preset_says_what_it_was_checked_against(preset: str) -> None:
    assert shipped(preset).name == preset
    assert shipped(preset).checked
    assert preset_files.text(preset).startswith("# ")


@pytest.mark.parametrize("preset", preset_files.names())
def test_the_state_is_read_from_the_spec_or_metadata_unless_the_session_is_over(preset: str) -> None:
    def places(alternatives: tuple[Any, ...]) -> set[str]:
        return {first(condition.field) for conditions in alternatives for condition in conditions}

    def first(path: FieldPath) -> str:
        return str(path).partition(".")[0]

    # KubeVirt's Manual: nothing in the spec says whether somebody started the machine.
    assert places(shipped(preset).stopped) <= ({"spec", "status"} if preset == "kubevirt" else {"spec", "metadata"})
