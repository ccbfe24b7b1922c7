"""
The Prometheus operator's own definitions judge what manifests/monitoring gives it.

They come from the operator's Go module, by the means by which the control plane is built: Go checks the content against
the sum that stands here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.controlplane import ControlPlane
from localcluster.toolchain import find_go, go_environment
from tests.cluster.running import eventually
from tests.monitoring.manifests import MONITORING, loaded

_MODULE = "github.com/prometheus-operator/prometheus-operator"
_VERSION = "v0.85.0"
_SUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
_KINDS = ("prometheusrules", "servicemonitors")


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The CustomResourceDefinitions of the operator."""
    command = [str(find_go((1, 22, 0), environ=os.environ)), "mod", "download", "-json", f"{_MODULE}@{_VERSION}"]
    done = subprocess.run(
        command, cwd=tmp_path_factory.mktemp("go"), env=go_environment(os.environ), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["Sum"] == _SUM
    folder = Path(answer["Dir"]) / "example/prometheus-operator-crd"
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in _KINDS]


@pytest.fixture(scope="module")
def operated(control_plane: ControlPlane, definitions: list[Path]) -> Iterator[ControlPlane]:
    """A cluster that knows the operator's kinds, and has a namespace for userquota."""
    for path in definitions:
        control_plane.kubectl("create", "--filename", str(path))
    control_plane.kubectl("apply", "--filename", str(MONITORING.parent / "namespace.yaml"))
    eventually(
        lambda: all(
            control_plane.kubectl("get", f"{kind}.monitoring.coreos.com", check=False).returncode == 0
            for kind in _KINDS
        )
    )
    yield control_plane
    for path in definitions:
        control_plane.kubectl("delete", "--filename", str(path))


STRICT = ("--dry-run=server", "--validate=strict", "--warnings-as-errors")


def test_the_operators_kinds_have_each_field_that_is_set(operated: ControlPlane) -> None:
    answer = operated.kubectl("apply", f"--kustomize={MONITORING}", *STRICT)

    assert sorted(line.partition(" ")[0] for line in answer.stdout.splitlines()) == [
        "configmap/userquota-dashboard",
        "prometheusrule.monitoring.coreos.com/userquota",
        "servicemonitor.monitoring.coreos.com/userquota",
    ]


def test_a_field_that_the_operator_does_not_know_would_be_told(operated: ControlPlane) -> None:
    """Which shows that the definitions are in force."""
    monitor = loaded("servicemonitor.yaml")
    monitor["spec"]["endpoints"][0]["tlsConfig"]["authority"] = {}

    answer = operated.kubectl("apply", "--filename=-", *STRICT, stdin=json.dumps(monitor), check=False)

    assert 'unknown field "spec.endpoints[0].tlsConfig.authority"' in answer.stderr
