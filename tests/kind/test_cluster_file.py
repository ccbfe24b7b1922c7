"""
kind, built from its Go module, reads the cluster file and asks a container runtime for its nodes.

The runtime is a script that notes what it is asked, and what is written into nodes. It fails where kubeadm is to start:
no cluster is made.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.go_programs import built_program

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "manifests/kind"
WEBHOOKS = "/etc/kubernetes/webhooks"
RUNTIME = """#!/bin/sh
echo "$@" >> "$NOTES/asked"
for name; do :; done # the last argument
case "$*" in
  info*) echo '{"CgroupVersion": "2", "CgroupDriver": "systemd"}' ;;
  network*) echo 0123456789ab ;;
  run*) touch "$NOTES/$3" ;; # --name NODE
  logs*) echo 'Reached target Multi-User System.' ;;
  ps*Names*) cd "$NOTES" && ls -d userquota-* 2>/dev/null ;;
  inspect*kind.role*) case $name in *control-plane) echo control-plane ;; *) echo worker ;; esac ;;
  inspect*IPAddress*) echo 10.0.0.2, ;;
  exec*/kind/version) echo v1.37.0 ;;
  exec*control-plane*/dev/stdin*/kind/kubeadm.conf) cat > "$NOTES/kubeadm.conf" ;;
  exec*kubeadm*init*) exit 125 ;;
esac
exit 0
"""

pytestmark = pytest.mark.go


def create(config: str, folder: Path) -> str:
    """Have kind create a cluster; return what it says. `asked` and `kubeadm.conf` are in the folder then."""
    (folder / "bin").mkdir()
    docker = folder / "bin/docker"
    docker.write_text(RUNTIME)
    docker.chmod(0o755)
    (folder / "cluster.yaml").write_text(config)
    environ = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "NOTES": str(folder), "HOME": str(folder)}
    kind = str(built_program(ROOT / "tests/kind"))
    command = [kind, "create", "cluster", "--retain", "--config", str(folder / "cluster.yaml")]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    return done.stderr


def nodes_asked_for(folder: Path) -> list[str]:
    """Return the commands that make nodes, by their names."""
    asked = folder / "asked"
    return sorted(line for line in asked.read_text().splitlines() if line.startswith("run ")) if asked.exists() else []


def test_kind_makes_three_nodes_and_gives_kubeadm_the_proof_of_the_api_server(tmp_path: Path) -> None:
    said = create((FOLDER / "cluster.yaml").read_text(), tmp_path)
    nodes = nodes_asked_for(tmp_path)
    assert [line.split()[2] for line in nodes] == [
        "userquota-control-plane",
        "userquota-worker",
        "userquota-worker2",
    ], said
    mounted = f"--volume={tmp_path}/.kind/webhooks:{WEBHOOKS}:ro"
    assert [mounted in line for line in nodes] == [True, False, False]

    assert (tmp_path / "kubeadm.conf").exists(), said
    configured = list(yaml.safe_load_all((tmp_path / "kubeadm.conf").read_text()))
    (server,) = [each["apiServer"] for each in configured if each["kind"] == "ClusterConfiguration"]
    assert {"name": "admission-control-config-file", "value": f"{WEBHOOKS}/admission.yaml"} in server["extraArgs"]
    assert "runtime-config" in {each["name"] for each in server["extraArgs"]}, "what kind itself sets is lost"
    (shown,) = [each["apiServer"] for each in shown_in_the_readme() if each.get("kind") == "ClusterConfiguration"]
    assert [each for each in server["extraArgs"] if each in shown["extraArgs"]] == shown["extraArgs"]
    assert server["extraVolumes"] == shown["extraVolumes"]


@pytest.mark.parametrize(
    ("right", "wrong", "reported"),
    [
        ("extraMounts:", "extraMount:", "field extraMount not found in type v1alpha4.Node"),
        ("role: worker", "role: working", '"working" is not a valid node role'),
        ("name: userquota\nnodes", "name: User_quota\nnodes", "is not a valid cluster name"),
    ],
)
def test_kind_refuses_a_mistake(right: str, wrong: str, reported: str, tmp_path: Path) -> None:
    text = (FOLDER / "cluster.yaml").read_text()
    assert right in text
    assert reported in create(text.replace(right, wrong), tmp_path)
    assert nodes_asked_for(tmp_path) == []


def shown_in_the_readme() -> list[Any]:
    blocks = (ROOT / "manifests/README.md").read_text().split("```yaml\n")[1:]
    return [yaml.safe_load(block.partition("```")[0]) for block in blocks]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_kubeadm_gives_the_api_server_the_files_of_the_readme() -> None:
    """The two files are those that manifests/README.md shows, at the place where the node has them."""
    control_plane = read(FOLDER / "cluster.yaml")["nodes"][0]
    (patch,) = control_plane["kubeadmConfigPatches"]
    server = yaml.safe_load(patch)["apiServer"]
    assert server["extraArgs"] == {"admission-control-config-file": f"{WEBHOOKS}/admission.yaml"}
    assert [each["hostPath"] for each in server["extraVolumes"]] == [WEBHOOKS]
    assert [each["containerPath"] for each in control_plane["extraMounts"]] == [WEBHOOKS]
    shown = shown_in_the_readme()
    assert read(FOLDER / "admission.yaml") in shown
    assert read(FOLDER / "kubeconfig.yaml") in shown
