"""The walks of the shipped presets: what is written where to name a person, to stop, to start, to resize a session."""

from __future__ import annotations

from typing import Any

from tests.cluster.platforms import Platform
from tests.cluster.session_walks import NAME, Change, Json, Resize, Walk
from webhook.documents.shipped_presets import shipped
from webhook.kinds.registry import KINDS

MARK = "example.com/user"
"""The annotation by which accounts name a person where the preset knows no mark."""


def _replace(path: str, value: object) -> Json:
    return {"op": "replace", "path": path, "value": value}


def _annotated(key: str, value: object = NAME) -> Json:
    return {"metadata": {"annotations": {key: value}}}


def _labelled(key: str) -> Json:
    return {"metadata": {"labels": {key: NAME}}}


_BY_MARK: Json = {"mark": f"annotation {MARK}", "says": _annotated(MARK), "marks": [{"annotation": MARK}]}
_SUSPENDED: Json = {"spec": {"suspend": True}}
_SUCCEEDED: Json = {"status": {"phase": "Succeeded"}}
_RESUMED: Json = {"spec": {"suspend": None}}
_RAY = "ray/kuberay-operator"
_NO_STOP = "a pod, which cannot be stopped"


def _cpu(path: str, cap: str, amounts: tuple[str, str, str], above: str) -> Resize:
    """Return a cap on cpu, and three amounts of cpu at *path* in the object: the cap filled, more, less."""
    fills, exceeds, shrinks = ([_replace(path, each)] for each in amounts)
    return Resize({"cpu": cap}, fills, exceeds, shrinks, f"requests.cpu={above}", f"requests.cpu={cap}")


def _ray(preset: str, field_of: str, numbers: tuple[int, int, int], cpu: tuple[str, str], **other: Any) -> Walk:
    """Return a walk in which the first group of workers has these numbers of replicas: the cap filled, more, less."""
    group = f"{field_of}/workerGroupSpecs/0"
    fills, exceeds, shrinks = (
        [_replace(f"{group}/{name}", each) for name in ("replicas", "maxReplicas")] for each in numbers
    )
    cap, above = cpu
    resize = Resize({"cpu": cap}, fills, exceeds, shrinks, f"requests.cpu={above}", f"requests.cpu={cap}")
    return Walk(preset, _RAY, resize=resize, **_BY_MARK, **other)


def _streamspace(preset: str, example: str, resize: Resize) -> Walk:
    stop, start, end = ({"spec": {"state": state}} for state in ("hibernated", "running", "terminated"))
    return Walk(
        preset,
        "streamspace/streamspace-controller",
        "field spec.user",
        says={"spec": {"user": NAME}},
        resize=resize,
        stop=stop,
        start=start,
        end=end,
        example=example,
    )


def _desktop(requests: Json, limits: Json) -> Change:
    return {"spec": {"resources": {"requests": requests, "limits": limits}}}


def _flat(**amounts: str) -> Change:
    return {"spec": {"resources": amounts}}


def _workers(number: int) -> Change:
    return {"spec": {"worker": {"replicas": number}}}


def _nodes(number: int) -> Change:
    return {"spec": {"trainer": {"numNodes": number}}}


def _cores(number: int) -> Change:
    return {"spec": {"template": {"spec": {"domain": {"cpu": {"cores": number}}}}}}


WALKS = (
    Walk(
        "argo-workflow",
        "argo/argo",
        "label workflows.argoproj.io/creator-preferred-username",
        says=_labelled("workflows.argoproj.io/creator-preferred-username"),
        stop=_SUSPENDED,
        start=_RESUMED,
        end=_SUCCEEDED,
        lacks="no size before its pods come",
    ),
    Walk(
        "coder",
        "coder/coder",
        "label com.coder.user.username",
        says=_labelled("com.coder.user.username"),
        marks=[{"preset": "coder"}],
        resize=_cpu("/spec/template/spec/containers/0/resources/requests/cpu", "1", ("1", "1001m", "100m"), "1001m"),
        stop={"spec": {"replicas": 0}},
        start={"spec": {"replicas": 1}},
        lacks="no session: its pods count, and can be sessions by `coder-pod`",
    ),
    Walk(
        "coder-pod",
        "coder/coder",
        "label com.coder.user.username",
        says=_labelled("com.coder.user.username"),
        marks=[{"preset": "coder"}],
        resize=_cpu("/spec/containers/0/resources/requests/cpu", "1", ("1", "1001m", "100m"), "1001m"),
        resize_at="/resize",
        end=_SUCCEEDED,
        end_at="/status",
        lacks=_NO_STOP,
    ),
    Walk(
        "dask",
        "dask/dask-operator",
        **_BY_MARK,
        resize=Resize(
            {"cpu": "8500m"}, _workers(4), _workers(5), _workers(1), "requests.cpu=10500m", "requests.cpu=8500m"
        ),
        lacks="cannot be stopped",
    ),
    Walk(
        "devworkspace",
        "devworkspace-controller/devworkspace-controller-serviceaccount",
        "namespaceAnnotation che.eclipse.org/username",
        namespace={"che.eclipse.org/username": NAME},
        resize=_cpu("/spec/template/components/0/container/cpuRequest", "4", ("1", "1001m", "100m"), "4001m"),
        stop={"spec": {"started": False}},
        start={"spec": {"started": True}},
    ),
    Walk(
        "jupyterhub",
        "jhub/hub",
        "annotation hub.jupyter.org/username",
        says=_annotated("hub.jupyter.org/username"),
        marks=[{"preset": "jupyterhub"}],
        resize=_cpu("/spec/containers/0/resources/requests/cpu", "3", ("3", "3001m", "100m"), "3001m"),
        resize_at="/resize",
        end=_SUCCEEDED,
        end_at="/status",
        lacks=_NO_STOP,
    ),
    Walk(
        "kubeflow-notebook",
        "kubeflow/notebook-controller-service-account",
        "annotation notebooks.kubeflow.org/creator",
        says=_annotated("notebooks.kubeflow.org/creator"),
        resize=_cpu("/spec/template/spec/containers/1/resources/requests/cpu", "900m", ("400m", "401m", "50m"), "901m"),
        stop=_annotated("kubeflow-resource-stopped", "now"),
        start=_annotated("kubeflow-resource-stopped", None),
    ),
    Walk(
        "kubeflow-workspace",
        "kubeflow-workspaces/workspaces-controller",
        "namespaceAnnotation owner",
        namespace={"owner": NAME},
        stop={"spec": {"paused": True}},
        start={"spec": {"paused": False}},
        lacks="its size is in the WorkspaceKind",
    ),
    Walk(
        "kubevirt",
        "kubevirt/kubevirt-controller",
        **_BY_MARK,
        resize=Resize({"cpu": "1"}, _cores(5), _cores(6), _cores(2), "requests.cpu=1200m", "requests.cpu=1"),
        stop={"spec": {"runStrategy": "Halted"}},
        start={"spec": {"runStrategy": "Always"}},
    ),
    _ray("raycluster", "/spec", (5, 6, 1), ("7050m", "8050m"), stop=_SUSPENDED, start=_RESUMED),
    _ray(
        "rayjob",
        "/spec/rayClusterSpec",
        (3, 4, 1),
        ("8", "10"),
        stop=_SUSPENDED,
        start=_RESUMED,
        end={"status": {"jobDeploymentStatus": "ValidationFailed"}},
        end_at="/status",
    ),
    _ray(
        "rayservice",
        "/spec/rayClusterConfig",
        (2, 3, 1),
        ("5", "7"),
        stop={"spec": {"rayClusterConfig": {"suspend": True}}},
        start={"spec": {"rayClusterConfig": {"suspend": None}}},
    ),
    _streamspace(
        "streamspace",
        "running",
        Resize(
            {"cpu": "2"},
            _desktop({"cpu": "2"}, {"cpu": "2"}),
            _desktop({"cpu": "2001m"}, {"cpu": "3"}),
            _desktop({"cpu": "100m"}, {"cpu": "1"}),
            "requests.cpu=2001m",
            "requests.cpu=2",
        ),
    ),
    _streamspace(
        "streamspace",
        "flat",
        Resize(
            {"memory": "4Gi"},
            _flat(memory="4Gi"),
            _flat(memory="4097Mi"),
            _flat(memory="1Gi"),
            "requests.memory=4097Mi",
            "requests.memory=4Gi",
        ),
    ),
    _streamspace(
        "streamspace-io",
        "running",
        Resize(
            {"memory": "4Gi"},
            _desktop({"memory": "4Gi"}, {"memory": "4Gi"}),
            _desktop({"memory": "4294967297"}, {"memory": "8Gi"}),
            _desktop({"memory": "1Gi"}, {"memory": "1Gi"}),
            "requests.memory=4097Mi",  # a byte too much, as people are shown it
            "requests.memory=4Gi",
        ),
    ),
    _streamspace(
        "streamspace-io",
        "flat",
        Resize(
            {"cpu": "2"}, _flat(cpu="2"), _flat(cpu="2001m"), _flat(cpu="100m"), "requests.cpu=2001m", "requests.cpu=2"
        ),
    ),
    Walk(
        "trainjob",
        "kubeflow-system/kubeflow-trainer-controller-manager",
        **_BY_MARK,
        resize=Resize({"gpu": "10"}, _nodes(5), _nodes(6), _nodes(2), "gpu=12", "gpu=10"),
        stop=_SUSPENDED,
        start=_RESUMED,
        end={"status": {"conditions": [{"type": "Complete", "status": "True"}]}},
        end_at="/status",
    ),
)

_CUSTOM = [each for each in WALKS if KINDS.of_resource(shipped(each.preset).resource) is None]
PLATFORMS = tuple({each.preset: Platform(each.preset, each.username) for each in _CUSTOM}.values())
"""Those whose sessions are objects of their own."""
