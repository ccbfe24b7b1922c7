"""`userquota preset`: what people and programs are shown, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.running import Ended, userquota
from webhook.documents import preset_files

pytestmark = pytest.mark.slow

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team, annotations: {owner: ada@example.com}}\n"
NOTEBOOK = """\
apiVersion: kubeflow.org/v1
kind: Notebook
metadata: {name: nb, namespace: team}
spec: {template: {spec: {containers: [{name: nb, resources: {requests: {cpu: 500m}, limits: {memory: 1Gi}}}]}}}
"""
BROKEN = NOTEBOOK.replace("cpu: 500m", "cpu: lots")
OWN = """\
version: 1
sessions:
  presets:
    - preset: kubeflow-notebook
      name: ours
      user: [{label: example.com/user}]
"""


def tried(folder: Path, text: str, *arguments: str, output: str = "json") -> Ended:
    (folder / "objects.yaml").write_text(text)
    return userquota("preset", "test", "-f", "objects.yaml", *arguments, "-o", output, folder=folder)


def items(ended: Ended) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ended.out)["items"]
    return found


def test_the_shipped_presets_are_listed(tmp_path: Path) -> None:
    ended = userquota("preset", "list", folder=tmp_path)

    assert (ended.code, ended.err) == (0, "")
    assert [line.split()[0] for line in ended.out.splitlines()] == ["NAME", *preset_files.names()]


def test_each_preset_has_a_role_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\nsessions: {presets: [raycluster, jupyterhub]}\n")
    shown = userquota("preset", "roles", "kubeflow-notebook", "-p", "policy.yaml", folder=tmp_path)

    assert shown.code == 0
    roles = list(yaml.safe_load_all(shown.out))
    [aggregated] = yaml.safe_load(Path("manifests/clusterrole-counted.yaml").read_text())["aggregationRule"][
        "clusterRoleSelectors"
    ]
    assert all(each["metadata"]["labels"] == aggregated["matchLabels"] for each in roles)
    assert [(each["metadata"]["name"], each["rules"]) for each in roles] == [
        (
            f"userquota-sessions-{name}",
            [{"apiGroups": [group], "resources": [plural], "verbs": ["get", "list", "watch"]}],
        )
        for name, group, plural in [
            ("kubeflow-notebook", "kubeflow.org", "notebooks"),
            ("raycluster", "ray.io", "rayclusters"),
        ]
    ]


@pytest.mark.parametrize(
    ("arguments", "told"), [((), "name a preset, or a policy that does"), (("nobook",), "no preset nobook; known are ")]
)
def test_a_role_of_nothing_is_wrong_use(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    ended = userquota("preset", "roles", *arguments, folder=tmp_path)
    assert ended.code == 2
    assert told in ended.err


def test_a_preset_is_shown_as_a_policy_takes_it(tmp_path: Path) -> None:
    shown = userquota("preset", "show", "dask", folder=tmp_path)
    definition = yaml.safe_load(shown.out)
    policy = yaml.safe_dump({"version": 1, "sessions": {"presets": [definition]}})
    (tmp_path / "policy.yaml").write_text(policy)

    assert (shown.code, definition["name"]) == (0, "dask")
    assert json.loads(userquota("preset", "show", "dask", "-o", "json", folder=tmp_path).out) == definition
    table = userquota("preset", "show", "dask", "-o", "table", folder=tmp_path).out.splitlines()
    assert [line.split()[0] for line in table] == ["FIELD", *definition]
    assert userquota("policy", "validate", "policy.yaml", folder=tmp_path).out == "valid\n"


def test_a_preset_that_is_not_shipped_is_an_error(tmp_path: Path) -> None:
    ended = userquota("preset", "show", "nothing", folder=tmp_path)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("userquota: no preset nothing; known are argo-workflow, ")


def test_what_is_read_from_an_object_and_what_said_it(tmp_path: Path) -> None:
    ended = tried(tmp_path, f"{NAMESPACE}---\n{NOTEBOOK}")

    assert (ended.code, ended.err) == (0, "")
    [item] = items(ended)
    assert (item["preset"], item["name"], item["state"], item["pods"]) == ("kubeflow-notebook", "nb", "running", 1)
    assert item["user"] == {"name": "ada@example.com", "by": "namespaceAnnotation owner"}
    assert item["amounts"] == {
        "count/pods": "1",
        "limits.memory": "1Gi",
        "pods": "1",
        "requests.cpu": "500m",
        "requests.memory": "1Gi",
    }
    assert item["parts"] == [
        {"name": "notebook", "where": "", "each": item["amounts"], "count": 1, "most": 1},
    ]
    assert item["podLabels"] == [{"notebook-name": "nb"}]


def test_people_are_shown_a_table(tmp_path: Path) -> None:
    lines = tried(tmp_path, f"{NAMESPACE}---\n{NOTEBOOK}", output="table").out.splitlines()

    assert lines[0].split() == ["NAMESPACE", "KIND", "NAME", "WHAT", "VALUE", "BY"]
    assert any(line.split()[3:] == ["user", "ada@example.com", "namespaceAnnotation", "owner"] for line in lines)
    assert any(line.split()[3:] == ["requests.cpu", "500m", "together"] for line in lines)


def test_an_object_of_no_preset_is_no_session(tmp_path: Path) -> None:
    ended = tried(tmp_path, "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n")

    assert ended.code == 0
    assert [(each["name"], each["preset"]) for each in items(ended)] == [("a", None)]


def test_a_session_that_cannot_be_read_is_told_and_the_others_are_shown(tmp_path: Path) -> None:
    ended = tried(tmp_path, f"{NAMESPACE}---\n{BROKEN}---\n{NOTEBOOK.replace('name: nb,', 'name: b,', 1)}")

    assert ended.code == 1
    assert [each["name"] for each in items(ended)] == ["b"]
    assert ended.err.startswith(
        "userquota: objects.yaml:5: Notebook nb: preset kubeflow-notebook: "
        "spec.template.spec.containers[0].resources.requests.cpu: invalid quantity"
    )


def test_the_presets_of_a_policy_stand_for_those_shipped(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(OWN)

    ended = tried(tmp_path, NOTEBOOK, "-p", "policy.yaml")

    assert ended.code == 1
    assert "preset ours: " in ended.err
    assert "nothing says whose session it is; tried label example.com/user" in ended.err


def test_an_invalid_policy_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(OWN.replace("user:", "usr:"))

    ended = tried(tmp_path, NOTEBOOK, "-p", "policy.yaml")

    assert (ended.code, ended.out) == (2, "")
    assert "userquota: policy.yaml:6:7: sessions.presets[0].usr: unknown field" in ended.err


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    ended = userquota("preset", "test", "-f", "nothing.yaml", folder=tmp_path)

    assert (ended.code, ended.out) == (2, "")
