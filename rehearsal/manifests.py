"""
The objects of the rehearsal, as plain documents.

The one container of a pod is named `work` where it is to end by itself, and `main` elsewhere: see `nodes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Document = dict[str, Any]
GROUP = "example.com"
USER_LABEL = f"{GROUP}/user"
_IMAGE = "example/x:1"
_CPU, _STORAGE = "10m", "1Gi"


class Kind(NamedTuple):
    """A kind of objects: its name, the beginning of its path, and its plural."""

    name: str
    api: str
    plural: str

    @property
    def resource(self) -> str:
        """Return how preflight and audit logs name it: plural and group."""
        group, slash, _ = self.api.removeprefix("api").removeprefix("s/").partition("/")
        return f"{self.plural}.{group}" if slash and group else self.plural

    def path(self, namespace: str, name: str = "", part: str = "") -> str:
        """Return the path of the objects in a namespace, of one of them, or of a part of that."""
        place = f"/namespaces/{namespace}" if namespace else ""
        return "/".join(filter(None, (f"/{self.api}{place}/{self.plural}", name, part)))

    def document(self, name: str, spec: Mapping[str, Any], **metadata: Any) -> Document:
        """Return an object of this kind."""
        version = self.api.partition("/")[2]
        return {"apiVersion": version, "kind": self.name, "metadata": {"name": name, **metadata}, "spec": dict(spec)}


POD = Kind("Pod", "api/v1", "pods")
CLAIM = Kind("PersistentVolumeClaim", "api/v1", "persistentvolumeclaims")
DEPLOYMENT = Kind("Deployment", "apis/apps/v1", "deployments")
REPLICA_SET = Kind("ReplicaSet", "apis/apps/v1", "replicasets")
STATEFUL_SET = Kind("StatefulSet", "apis/apps/v1", "statefulsets")
DAEMON_SET = Kind("DaemonSet", "apis/apps/v1", "daemonsets")
JOB = Kind("Job", "apis/batch/v1", "jobs")
CRON_JOB = Kind("CronJob", "apis/batch/v1", "cronjobs")
NOTEBOOK = Kind("Notebook", f"apis/{GROUP}/v1", "notebooks")

STAMPED = (POD, CLAIM, DEPLOYMENT, REPLICA_SET, STATEFUL_SET, DAEMON_SET, JOB, CRON_JOB)
"""The kinds whose objects have an owner."""


def pod(name: str, **metadata: Any) -> Document:
    return POD.document(name, _pod_spec(), **metadata)


def claim(name: str) -> Document:
    return CLAIM.document(name, _claim_spec())


def deployment(name: str, replicas: int, image: str = _IMAGE) -> Document:
    return DEPLOYMENT.document(name, {"replicas": replicas, **_selected(name, _pod_spec(image=image))})


def stateful_set(name: str, replicas: int) -> Document:
    """Return a StatefulSet whose claims go with it."""
    spec = {
        "serviceName": name,
        "replicas": replicas,
        "podManagementPolicy": "Parallel",
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": _claim_spec()}],
    }
    return STATEFUL_SET.document(name, {**spec, **_selected(name, _pod_spec())})


def daemon_set(name: str) -> Document:
    return DAEMON_SET.document(name, _selected(name, _pod_spec()))


def job(name: str) -> Document:
    return JOB.document(name, _job_spec())


def cron_job(name: str) -> Document:
    """Return a CronJob that starts a job each minute."""
    return CRON_JOB.document(name, {"schedule": "* * * * *", "jobTemplate": {"spec": _job_spec()}})


def notebook(name: str, user: str) -> Document:
    """Return an object of a kind that only an operator knows."""
    return NOTEBOOK.document(name, {"user": user})


def definition() -> Document:
    """Return what makes the API server know notebooks."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": NOTEBOOK.plural, "singular": "notebook", "kind": NOTEBOOK.name}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{NOTEBOOK.plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def rights(accounts: list[str], group: str) -> list[Document]:
    """Return what lets *accounts*, as NAMESPACE/NAME, do everything, and members of *group* have notebooks."""
    pairs = [each.split("/") for each in accounts]
    programs = [{"kind": "ServiceAccount", "namespace": namespace, "name": name} for namespace, name in pairs]
    people = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}]
    name = "rehearsal-notebooks"
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{"apiGroups": [GROUP], "resources": [NOTEBOOK.plural], "verbs": ["*"]}],
    }
    return [role, _binding("rehearsal-programs", "cluster-admin", programs), _binding(name, name, people)]


def _binding(name: str, role: str, subjects: list[Document]) -> Document:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    }


def _pod_spec(container: str = "main", image: str = _IMAGE) -> Document:
    return {"containers": [{"name": container, "image": image, "resources": {"requests": {"cpu": _CPU}}}]}


def _claim_spec() -> Document:
    asks = {"requests": {"storage": _STORAGE}}
    return {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": asks}


def _job_spec() -> Document:
    return {"template": {"spec": {**_pod_spec("work"), "restartPolicy": "Never"}}}


def _selected(name: str, spec: Document) -> Document:
    labels = {"app": name}
    return {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}
