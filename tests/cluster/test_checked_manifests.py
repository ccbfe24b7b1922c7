"""`userquota check` says of manifests what comes true when they are created, each on what those before it leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.running import userquota
from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.workloads import deployment, listed

Json = dict[str, Any]
POLICY = "version: 1\ndefaults: {user: {hard: {pods: 5, cpu: 700m, storage: 2Gi}, perPod: {cpu: 500m}}}\n"
SAVED = "pods,persistentvolumeclaims,resourceclaims.resource.k8s.io,deployments,replicasets"


def claim(name: str, storage: str) -> str:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}
    return json.dumps({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec})


MANIFESTS = (
    pod("one", cpu="200m"),
    pod("too-large", cpu="600m"),
    json.dumps(deployment("fits", replicas=2)),
    pod("no-room", cpu="400m"),
    claim("data", "1Gi"),
    claim("more", "2Gi"),
    json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "free"}}),
    json.dumps(deployment("in-part", replicas=3)),
    pod("last", cpu="100m"),
)
LATER = (pod("later", cpu="100m"), claim("later", "1Gi"), claim("too-much", "1Gi"))


def said(folder: Path, place: str, person: Person, manifests: tuple[str, ...], *options: str) -> Json:
    """Return what is said of *manifests*, without the entries' places: a file has another name than a ConfigMap."""
    ended = userquota(
        *("check", "-f", "-", "--as", person.name, "--as-group", "people", "-n", place, "-o", "json", *options),
        folder=folder,
        stdin="\n---\n".join(manifests).encode(),
    )
    assert (ended.code, ended.err) == (1, "")
    document: Json = json.loads(ended.out)
    for row in (*document["limits"], *(row for each in document["items"] for row in each.get("limits", ()))):
        assert ":2" in row.pop("place")
    return document


def test_what_is_said_comes_true(
    running: RunningWebhook, view: None, place: str, named: Callable[[str], Person], tmp_path: Path
) -> None:
    running.set_policy(POLICY)
    (tmp_path / "policy.yaml").write_text(POLICY)
    alice = named("alice")
    for manifests in (MANIFESTS, LATER):
        saved = running.cluster.kubectl("get", SAVED, "-n", place, "-o", "json").stdout
        (tmp_path / "usage.json").write_text(saved)
        pods = len(listed(running, place, "pods"))
        came = []
        by_policy = said(tmp_path, place, alice, manifests, "--policy", "policy.yaml", "--usage", "usage.json")
        live = said(tmp_path, place, alice, manifests, "--kubeconfig", str(running.cluster.kubeconfig("admin")))
        assert {each["owner"] for each in live.pop("holders", ())} <= {alice.name, ""}
        assert live == by_policy
        items = live["items"]
        for manifest, item in zip(manifests, items, strict=True):
            told = alice.create(manifest)
            came.append(" created" in told and "Warning" not in told)
            pods += item.get("copies", {}).get("fit", item["kind"] == "Pod" and came[-1])
            eventually(lambda expected=pods: len(listed(running, place, "pods")) == expected)  # type: ignore[misc]
            if not came[-1] and " created" not in told:
                assert item["texts"][0] in told
        assert [each["verdict"] != "does not fit" for each in items] == came
        assert False in came
        assert True in came
