"""What `make kind` installs, and what it says where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.binaries import Binaries
from webhook.documents.policy_text import PolicyText, read_policy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The manifests as kustomize renders them, in a copy of the checkout that has an authority."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "manifests", checkout / "manifests")
    shutil.copytree(ROOT / "examples/kind", checkout / "examples/kind")
    (checkout / ".kind").mkdir()
    (checkout / ".kind/client-ca.crt").write_text("the authority")
    script = (ROOT / "image/kind.sh").read_text()
    command = next(part for part in script.split(" | ") if "kubectl kustomize" in part).strip().splitlines()[-1].split()
    rendered = subprocess.run(
        [binaries.kubectl, *command[1:]], cwd=checkout, capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(rendered.stdout))


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def test_the_image_is_the_one_that_is_built_and_loaded(installed: list[dict[str, Any]]) -> None:
    pod = named(installed, "Deployment", "userquota")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    version = named(
        list(yaml.safe_load_all((ROOT / "manifests/deployment.yaml").read_text())), "Deployment", "userquota"
    )
    plain = version["spec"]["template"]["spec"]["containers"][0]["image"]
    assert container["image"] == f"docker.io/library/{plain}"
    assert container["imagePullPolicy"] == "IfNotPresent"


def test_only_the_api_server_may_call(installed: list[dict[str, Any]]) -> None:
    pod = named(installed, "Deployment", "userquota")["spec"]["template"]["spec"]
    args = pod["containers"][0]["args"]
    assert args[-2:] == ["--client-ca=/etc/userquota/ca.crt", "--client-name=kube-apiserver"]
    assert named(installed, "ConfigMap", "userquota-client-ca")["data"] == {"ca.crt": "the authority"}


def test_the_policy_is_valid_and_refuses_the_pod_that_is_shown(installed: list[dict[str, Any]]) -> None:
    (text,) = named(installed, "ConfigMap", "userquota-policy")["data"].values()
    reading = read_policy([PolicyText("policy.yaml", text)])
    assert (reading.mistakes, reading.notes) == ((), ())
    assert yaml.safe_load(text)["defaults"]["user"]["hard"]["cpu"] == 2
    assert '"requests":{"cpu":"3"' in (ROOT / "image/kind.sh").read_text()


@pytest.mark.parametrize("target", ["kind", "kind-test", "kind-down"])
def test_without_a_container_runtime_one_line_names_the_local_control_plane(target: str, tmp_path: Path) -> None:
    """A client of docker without its daemon is no runtime."""
    for name in ("docker", "podman"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'Cannot connect' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    argument = {"kind": "up", "kind-test": "test", "kind-down": "down"}[target]
    done = subprocess.run([ROOT / "image/kind.sh", argument], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "no container runtime" in line
    assert "userquota local up" in line
    assert f"{target}:" in (ROOT / "Makefile").read_text()


def test_without_a_builder_of_images_one_line_says_so(tmp_path: Path) -> None:
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        [ROOT / "image/build.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no podman and no buildah" in done.stderr
