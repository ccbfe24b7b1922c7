"""Commands of the documents on a real cluster, word for word; `tests/test_commands.py` lists all of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cli.running import USERQUOTA
from tests.cluster.conftest import UNLIMITED
from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_walkthrough import AGE
from tests.cluster.workloads import deployment
from tests.commands import command, commands_of, printed_below

Play = Callable[..., subprocess.CompletedProcess[str]]

KUSTOMIZE = '#!/bin/sh\n[ "$1" = build ] && exec kubectl kustomize "$2"\n'
"""kubectl has all of kustomize but its name."""

KUSTOMIZATION = "configMapGenerator: [{name: limits, files: [limits.yaml]}]\n"
LABELLED = KUSTOMIZATION + (
    "generatorOptions: {disableNameSuffixHash: true, labels: {userquota.dev/policy: 'true'}}\nnamespace: default\n"
)
LIMITS = "version: 1\ndefaults: {user: {hard: {pods: 10, cpu: 4}}}\n"
IN_THE_VIEW = """version: 1
defaults: {user: {hard: {pods: 10, cpu: 4}}}
groups:
  ml: {pool: {hard: {cpu: 16}}}
"""


@pytest.fixture
def play(running: RunningWebhook, tmp_path: Path) -> Play:
    """Return what runs a line as somebody, in a folder in which `kustomize` and `userquota` are commands."""
    kustomize = tmp_path / "bin/kustomize"
    kustomize.parent.mkdir()
    kustomize.write_text(KUSTOMIZE)
    kustomize.chmod(0o755)
    kubectl = Path(running.cluster.access.kubectl_binary)
    folders = (kustomize.parent, USERQUOTA.parent, kubectl.parent, os.environ["PATH"])

    def played(line: str, *, who: str = "admin", code: int = 0) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.pathsep.join(map(str, folders)), "KUBECONFIG": str(running.cluster.kubeconfig(who))}
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", line],
            cwd=tmp_path,
            env=os.environ | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return played


@pytest.fixture
def red(running: RunningWebhook) -> Iterator[str]:
    """The namespace of the documents, for one test."""
    running.cluster.kubectl("delete", "namespace", "red", "--ignore-not-found", "--wait")
    running.cluster.create_namespace("red")
    yield "red"
    running.set_policy(f"{UNLIMITED}# after red\n")
    running.cluster.kubectl("delete", "namespace", "red", "--wait=false")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)


def test_a_cluster_is_looked_at(running: RunningWebhook, play: Play, tmp_path: Path) -> None:
    write(tmp_path / "policy.yaml", "version: 1\ndefaults: {user: {hard: {pods: 100k}}}\n")
    write(tmp_path / "admin.conf", running.cluster.kubeconfig("admin").read_text())
    assert "DaemonSets" in play(command("docs/install.md", "userquota preflight")).stdout


def test_policies_are_validated(play: Play, tmp_path: Path) -> None:
    write(tmp_path / "policy.yaml", LIMITS)
    write(tmp_path / "overlays/team.yaml", "version: 1\nnamespaces: {team: {hard: {pods: 20}}}\n")
    assert play(command("docs/policy.md", "userquota policy validate")).stdout == "valid\n"
    write(tmp_path / "overlays/lab/kustomization.yaml", LABELLED)
    write(tmp_path / "overlays/lab/limits.yaml", LIMITS.replace("pods: 10", "memory: 500m"))
    noted = play(command("docs/policy.md", "kustomize build"), code=1)
    assert "defaults.user.hard.memory: 500m is less than one byte" in noted.stdout + noted.stderr


def test_policies_are_compared_and_checked_with_the_usage_of_the_cluster(
    running: RunningWebhook, play: Play, tmp_path: Path, place: str
) -> None:
    running.cluster.kubectl("create", "-n", place, "-f", "-", user="alice", stdin=pod("of-alice", cpu="3"))
    write(tmp_path / "main/policy.yaml", LIMITS)
    write(tmp_path / "policy.yaml", LIMITS.replace("cpu: 4", "cpu: 2"))
    lines = (each for each in commands_of("docs/policy-tests.md") if "policy test" not in each)
    diff, get, with_usage, live = lines
    assert "any other user" in play(diff, code=1).stdout
    play(get)
    assert "user/alice" in play(with_usage, code=1).stdout
    assert "user/alice" in play(live, code=1).stdout

    write(tmp_path / "overlay/kustomization.yaml", f"namespace: {place}\nresources: [pod.yaml]\n")
    write(tmp_path / "overlay/pod.yaml", pod("more", cpu="1"))
    get, check = (each for each in commands_of("docs/check.md") if "examples/app.yaml" not in each)
    play(get)
    assert "does not fit" in play(check, code=1).stdout


def test_the_roles_of_presets_are_applied(play: Play, tmp_path: Path) -> None:
    write(tmp_path / "policy.yaml", "version: 1\nsessions: {presets: [streamspace]}\n")
    line = command("docs/sessions.md", "userquota preset roles")
    assert "clusterrole.rbac.authorization.k8s.io/userquota-sessions-streamspace created" in play(line).stdout
    play(line.replace("apply", "delete"))


def test_some_see_all_quotas(play: Play) -> None:
    line = command("manifests/README.md", "kubectl create clusterrolebinding")
    assert "quota-admins created" in play(line).stdout
    play("kubectl delete clusterrolebinding quota-admins")


def test_people_are_shown_what_the_document_shows(running: RunningWebhook, view: None, red: str, play: Play) -> None:
    running.set_policy(IN_THE_VIEW)
    for user, cpu in {"alice": "1500m", "bob": "2"}.items():
        running.cluster.kubectl("create", "-n", red, "-f", "-", user=user, stdin=pod(f"of-{user}", cpu=cpu))
    for line in (each for each in commands_of("docs/view.md") if each.startswith("kubectl userquota get")):
        eventually(partial(is_shown, play, line), what=partial(shown_to_alice, play, line))


def shown_to_alice(play: Play, line: str) -> str:
    return play(line, who="alice").stdout


def is_shown(play: Play, line: str) -> bool:
    told = printed_below("docs/view.md", line)
    return re.sub(AGE, "45s", shown_to_alice(play, line)).split() == told.split()


def test_denials_are_shown_as_in_the_document(running: RunningWebhook, red: str, play: Play) -> None:
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 2}}}\n")
    web = json.dumps(deployment("web", replicas=3))
    running.cluster.kubectl("create", "-n", red, "-f", "-", user="alice", stdin=web)
    line = command("docs/view.md", "kubectl userquota denials")
    head, row, _, *end = printed_below("docs/view.md", line).splitlines()

    def shown() -> list[str]:
        done = play(line)
        return (done.stdout + done.stderr).splitlines()

    eventually(lambda: "deployment/web" in "".join(shown()), what=running.output)
    said_head, said_row, *said_end = shown()
    assert said_head.split() == head.split()
    assert " ".join(said_end) == " ".join(end)
    of_row = re.compile(
        r"red\s+deployment/web\s+alice\s+QuotaExceeded\s+exceeded quota: defaults.user, requested: pods=1"
    )
    assert of_row.search(row)
    assert of_row.search(said_row)
