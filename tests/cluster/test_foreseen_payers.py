"""What `userquota preflight` says of what nobody owns, and what the webhook then decides, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import userquota
from tests.cluster.conftest import empty, new_place
from tests.cluster.older import before_the_installation, web
from tests.cluster.platforms import HUB, NOTEBOOKS, makes_pods, set_policy
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_who_pays import OWNER, run
from tests.cluster.workloads import listed

POLICY = """version: 1
sessions: {presets: PRESETS}
users: {carol: {hard: {pods: 1}, mode: warn}}
attribution:
  namespaceOwners: [{namespaceLabel: example.com/owner}]
  delegates: [{serviceAccount: streamspace/api, sessions: true, never: [admin]}]
"""
SPEC = {"containers": [{"name": "main", "image": "x", "resources": {"requests": {"cpu": "1"}}}]}
CREATOR = {"notebooks.kubeflow.org/creator": "alice"}

pytestmark = pytest.mark.usefixtures("platforms")


def notebook(name: str) -> str:
    return NOTEBOOKS.object(name, {"template": {"spec": SPEC}}, annotations=CREATOR)


@pytest.fixture
def place(running: RunningWebhook) -> Iterator[str]:
    """A namespace of carol's with a Deployment and a notebook that are older than the installation."""
    name = new_place(running)
    running.cluster.kubectl("label", "namespace", name, "example.com/owner=carol")
    with before_the_installation(running):
        web(replicas=2)(running, name)
        assert " created" in run(running, name, "create", "-f", "-", user="admin", stdin=notebook("one"))
        makes_pods(running, name, NOTEBOOKS, "one", template=SPEC, labels={"notebook-name": "one"})
        eventually(lambda: len(listed(running, name, "pods")) == 3)
    yield name
    empty(running, name)


def foreseen(running: RunningWebhook, place: str, folder: Path) -> dict[str, Any]:
    """Return the report, of this namespace only."""
    (folder / "policy.yaml").write_text(POLICY.replace("PRESETS", "[kubeflow-notebook, streamspace]"))
    words = ("preflight", "-f", "policy.yaml", "--kubeconfig", running.cluster.kubeconfig("admin"), "-o", "json")
    found: dict[str, Any] = json.loads(userquota(*words, folder=folder).out)
    found["madeAnew"] = [each for each in found["madeAnew"] if each["namespace"] == place]
    return found


def owners(running: RunningWebhook, place: str, kinds: str) -> dict[str, str]:
    """Return who pays for each object, by its kind and name."""
    return {
        f"{each['kind']} {each['metadata']['name']}": each["metadata"].get("annotations", {}).get(OWNER, "")
        for each in listed(running, place, kinds)
    }


def test_what_preflight_foresees_is_what_the_webhook_decides(
    running: RunningWebhook, place: str, tmp_path: Path
) -> None:
    set_policy(running, POLICY, NOTEBOOKS)
    found = foreseen(running, place, tmp_path)

    assert found["complete"] is True
    rows = {(each["kind"], each["madeBy"], each["payer"]): each["objects"] for each in found["madeAnew"]}
    assert rows == {
        ("Deployment", "a service account", "carol"): 1,
        ("ReplicaSet", "its controller", "carol"): 1,
        ("Pod", "its controller", "carol"): 2,
        ("Notebook", HUB, "alice"): 1,
        ("StatefulSet", "its controller", "alice"): 1,
        ("Pod", "its controller", "alice"): 1,
    }
    [over] = [each for each in found["overLimitsAnew"] if each["subject"] == "user/carol"]
    assert (over["resource"], over["used"], over["limit"], over["mode"]) == ("pods", "2", "1", "warn")

    run(running, place, "delete", "pods", "-l", "app=web", "--grace-period=0", "--force", user="admin")
    run(running, place, "delete", "notebook/one", "statefulset/one", "--cascade=background", user="admin")
    eventually(lambda: not [each for each in owners(running, place, "pods,statefulsets") if " one" in each])
    made = run(running, place, "create", "-f", "-", f"--as={HUB}", user="admin", stdin=notebook("one"))
    assert " created" in made
    makes_pods(running, place, NOTEBOOKS, "one", template=SPEC, labels={"notebook-name": "one"})

    def decided() -> dict[tuple[str, str], int]:
        counts: dict[tuple[str, str], int] = {}
        for name, owner in owners(running, place, "pods,notebooks,statefulsets").items():
            counts[name.split()[0], owner] = counts.get((name.split()[0], owner), 0) + 1
        return counts

    expected = {(kind, payer): count for (kind, _, payer), count in rows.items()}
    del expected["Deployment", "carol"], expected["ReplicaSet", "carol"]  # those are older still
    eventually(lambda: decided() == expected, what=lambda: str(decided()))


def test_a_kind_of_sessions_that_is_not_served_is_said(running: RunningWebhook, tmp_path: Path) -> None:
    policy = "version: 1\nsessions: {presets: [kubeflow-notebook, {preset: rayjob, plural: rayjobsters}]}\n"
    (tmp_path / "policy.yaml").write_text(policy)
    words = ("preflight", "-f", "policy.yaml", "--kubeconfig", running.cluster.kubeconfig("admin"), "-o", "json")
    found = json.loads(userquota(*words, folder=tmp_path).out)
    assert {each["what"]: each["consequence"] for each in found["missing"]} == {
        "rayjobsters.ray.io": (
            "the API serves no such kind: preset rayjob reads nothing, and there are no such sessions"
        )
    }
