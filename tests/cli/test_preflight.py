"""`userquota preflight` on a real cluster without the webhook: what it says, and that it changes nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.binaries import Binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import CONTROLLERS, Options
from tests.cli.running import Ended, userquota
from tests.cluster.running import eventually
from tests.conftest import run_control_plane
from tests.kubeconfigs import kubeconfig, written

pytestmark = pytest.mark.slow

POLICY = """version: 1
defaults:
  user: {hard: {pods: 20}}
  serviceAccount: {hard: {pods: 2}, mode: warn}
namespaces:
  red: {hard: {pods: 2, cpu: 4}, perPod: {cpu: 200m}}
  blue: {hard: {pods: 0}, mode: audit}
tenants:
  research: {namespaces: {matchLabels: {team: research}}, hard: {storage: 20Gi}}
cluster: {hard: {count/widgets.example.com: 5, count/deployments.apps: 9}}
"""

CONTAINERS = "containers: [{name: c, image: x, resources: {requests: {cpu: 300m, memory: 64Mi}}}]"


def workload(kind: str, name: str, namespace: str, more: str = "") -> str:
    return (
        f"---\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{selector: {{matchLabels: {{app: {name}}}}}, {more}"
        f"template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{{CONTAINERS}}}}}}}\n"
    )


OBJECTS = (
    workload("Deployment", "web", "red", "replicas: 3, ")
    + workload("DaemonSet", "agent", "net")
    + f"""---
apiVersion: v1
kind: Pod
metadata: {{name: lone, namespace: blue}}
spec: {{{CONTAINERS}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: hers
  namespace: blue
  annotations: {{userquota.dev/owner: alice, userquota.dev/groups: "[]"}}
spec: {{{CONTAINERS}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: red}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 5Gi}}}}}}
"""
    + "".join(f"---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-{number}}}\n" for number in range(3))
)


@pytest.fixture(scope="module")
def bare(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A cluster with a few workloads, in which nothing moves any more; no test writes to it."""
    still = {CONTROLLERS: ("--node-monitor-grace-period=1h",)}
    options = Options(controller_manager=True, audit_level="Metadata", flags=still)
    for cluster in run_control_plane(binaries, tmp_path_factory, options):
        populate(cluster)
        yield cluster


def populate(cluster: ControlPlane) -> None:
    """Make the objects, and wait until the controllers have made all theirs."""
    for name in ("red", "blue", "net"):
        cluster.create_namespace(name)
    cluster.kubectl("label", "namespace", "red", "team=research")
    cluster.kubectl("create", "--field-manager=argocd-controller", "-f", "-", stdin=OBJECTS)
    nodes = ("get", "daemonset/agent", "-n", "net", "-o", "jsonpath={.status.desiredNumberScheduled}")
    eventually(lambda: cluster.kubectl(*nodes).stdout == "3")
    eventually(lambda: len(cluster.kubectl("get", "pods", "-A", "-o", "name").stdout.split()) == 8)
    ready = ("get", "deployment/web", "-n", "red", "-o", "jsonpath={.status.replicas}")
    eventually(lambda: cluster.kubectl(*ready).stdout == "3")


def preflight(cluster: ControlPlane, folder: Path, *options: str, user: str = "admin", policy: str = POLICY) -> Ended:
    (folder / "policy.yaml").write_text(policy)
    kubeconfig_of = cluster.kubeconfig(user)
    return userquota("preflight", "-f", "policy.yaml", "--kubeconfig", kubeconfig_of, *options, folder=folder)


def document(ended: Ended, *, code: int) -> dict[str, Any]:
    assert (ended.code, ended.err) == (code, "")
    found: dict[str, Any] = json.loads(ended.out)
    return found


def versions(cluster: ControlPlane) -> dict[str, str]:
    """Return the version of every object, but Leases and Events: the controllers write these all the time."""
    kinds = set(cluster.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split())
    path = "{range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}={.metadata.resourceVersion}{'\\n'}{end}"
    wanted = ",".join(sorted(kinds - {"leases.coordination.k8s.io", "events", "events.events.k8s.io"}))
    listed = cluster.kubectl("get", wanted, "-A", "-o", f"jsonpath={path}").stdout
    return dict(line.rsplit("=", 1) for line in listed.splitlines())


def settled_versions(cluster: ControlPlane) -> dict[str, str]:
    """Return the versions once the controllers have let everything alone for two seconds."""
    last: dict[str, str] = {}
    for _ in range(20):
        now = versions(cluster)
        if now == last:
            return now
        last = now
        time.sleep(2)
    raise AssertionError("the cluster does not stand still")


def test_who_would_be_over_and_that_nothing_is_changed(bare: ControlPlane, tmp_path: Path) -> None:
    before = settled_versions(bare)
    found = document(preflight(bare, tmp_path, "-o", "json"), code=1)
    assert versions(bare) == before
    assert len(before) > 50

    events = [json.loads(line) for line in bare.audit_log().read_text().splitlines()]
    ours = [each for each in events if each.get("userAgent", "").startswith("userquota/")]
    asked = {(each["verb"], each.get("objectRef", {}).get("resource", "")) for each in ours}
    assert {verb for verb, _ in asked} == {"list", "get", "create"}
    assert {resource for verb, resource in asked if verb == "create"} == {"selfsubjectaccessreviews"}

    standing = {"mode": "enforce", "place": "policy.yaml:6", "entry": "namespaces.red", "subject": "namespace/red"}
    assert found["overLimits"] == [
        {**standing, "resource": "pods", "used": "3", "limit": "2", "over": "1"},
        {
            "entry": "namespaces.blue",
            "subject": "namespace/blue",
            "place": "policy.yaml:7",
            "mode": "audit",
            "resource": "pods",
            "used": "2",
            "limit": "0",
            "over": "2",
        },
    ]
    [above] = found["aboveCaps"]
    assert (above["entry"], above["objects"], above["largest"]["amount"]) == ("namespaces.red.perPod", 3, "300m")
    used = {each["subject"]: each["used"] for each in found["usage"]}
    assert used["tenant/research"]["requests.storage"] == "5Gi"
    assert used["user/alice"]["requests.cpu"] == "300m"
    assert used["cluster"]["count/deployments.apps"] == "1"


def test_what_else_an_admin_should_know(bare: ControlPlane, tmp_path: Path) -> None:
    found = document(preflight(bare, tmp_path, "-o", "json"), code=1)

    assert found["serverVersion"].startswith("v1.")
    assert found["exemptNamespaces"] == ["kube-node-lease", "kube-system", "userquota-system"]
    assert (found["complete"], found["unreadable"]) == (True, [])
    assert found["missing"] == [
        {
            "what": "count/widgets.example.com",
            "consequence": "the API serves no such kind: the limit has no effect",
            "fatal": False,
        }
    ]
    assert [(each["namespace"], each["kind"], each["workloads"], each["pods"]) for each in found["withoutOwner"]] == [
        ("net", "DaemonSet", 1, 3),
        ("red", "Deployment", 1, 3),
        ("blue", "Pod", 1, 1),
    ]
    suggested = {"pods": "7", "cpu": "2100m", "memory": "448Mi", "storage": "5Gi"}
    assert found["suggestedPolicy"] == {"defaults": {"unattributed": {"hard": suggested}}}
    assert found["writers"][0] == {"manager": "argocd-controller", "objects": 4, "withoutController": 4}
    [agent] = found["daemonSets"]
    assert (agent["name"], agent["nodes"]) == ("agent", 3)
    assert [(each["entry"], each["mode"]) for each in agent["above"]] == [("defaults.serviceAccount", "warn")]
    assert found["systemNamespaces"] == [{"name": "kube-public", "pods": 0}]


def test_people_get_tables_and_yaml(bare: ControlPlane, tmp_path: Path) -> None:
    table, text = preflight(bare, tmp_path), preflight(bare, tmp_path, "-o", "yaml")
    assert (table.code, table.err, text.code, text.err) == (1, "", 1, "")
    assert yaml.safe_load(text.out) == document(preflight(bare, tmp_path, "-o", "json"), code=1)
    lines = [line.split() for line in table.out.splitlines()]
    assert ["namespaces.red", "namespace/red", "pods", "3", "2", "1", "enforce", "policy.yaml:6"] in lines
    assert ["net", "agent", "3", "defaults.serviceAccount", "pods=2", "(warn)"] in lines
    assert "# could not be read: what follows is incomplete: none" in table.out
    [suggested] = [line for line in table.out.splitlines() if line.startswith("defaults: ")]
    written_out = yaml.safe_load(suggested)["defaults"]["unattributed"]["hard"]
    assert written_out == {"pods": 7, "cpu": "2100m", "memory": "448Mi", "storage": "5Gi"}


def test_a_policy_that_fits_is_fine(bare: ControlPlane, tmp_path: Path) -> None:
    fitting = "version: 1\nnamespaces: {red: {hard: {pods: 3}}}\n"
    found = document(preflight(bare, tmp_path, "-o", "json", policy=fitting), code=0)
    assert (found["overLimits"], found["missing"]) == ([], [])


def test_a_namespace_that_an_overlay_exempts_is_left_out(bare: ControlPlane, tmp_path: Path) -> None:
    found = document(preflight(bare, tmp_path, "-o", "json", "--exempt", "red", "--exempt", "net"), code=0)
    assert [each["subject"] for each in found["overLimits"]] == ["namespace/blue"]
    assert found["daemonSets"] == []


def test_what_may_not_be_read_is_named_and_the_rest_is_shown(bare: ControlPlane, tmp_path: Path) -> None:
    ended = preflight(bare, tmp_path, "-o", "json", user="alice")
    found = document(ended, code=2)
    assert [each["what"] for each in found["unreadable"]] == [
        "leases.coordination.k8s.io",
        "webhook configurations",
        "deviceclasses.resource.k8s.io",
    ]
    assert found["unreadable"][0]["why"] == "you may not list leases.coordination.k8s.io in kube-system"
    assert not found["complete"]
    assert found["overLimits"][0]["subject"] == "namespace/red"


def test_mistakes_of_the_policy_are_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\nusers: {alice: {hard: {cpu: 1K}}}\n")
    validated = userquota("policy", "validate", "bad.yaml", folder=tmp_path)
    ended = userquota(
        "preflight", "-f", "bad.yaml", "--kubeconfig", written(kubeconfig(), tmp_path), "-o", "json", folder=tmp_path
    )
    assert ended == Ended(2, "", f"userquota: {validated.out}")
    assert validated.code == 1


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    ended = userquota(
        "preflight", "-f", "policy.yaml", "--kubeconfig", written(kubeconfig(), tmp_path), folder=tmp_path
    )
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("userquota: the API server could not be asked: ")
