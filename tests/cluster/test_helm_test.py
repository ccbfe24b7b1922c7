"""What the pod of `helm test` does, as a process with the rights of that pod."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import USERQUOTA
from tests.cluster.running import NAMESPACE, RunningWebhook
from tests.helm.running import TEST_POD, Helm
from tests.kubeconfigs import with_user


def ended(running: RunningWebhook, helm: Helm, folder: Path) -> subprocess.CompletedProcess[str]:
    """Return how the pod's container ends, under the pod's service account."""
    spec = helm.rendered()[TEST_POD]["spec"]
    account = spec["serviceAccountName"]
    token = running.cluster.kubectl("create", "token", account, f"--namespace={NAMESPACE}").stdout.strip()
    kubeconfig = with_user(running.cluster.kubeconfig(), folder, {"token": token})
    environ = {"PATH": os.defpath, "HOME": str(folder), "KUBECONFIG": str(kubeconfig)}
    argv = [str(USERQUOTA), *spec["containers"][0]["args"]]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_it_fails_before_the_view_is_served(running: RunningWebhook, helm: Helm, tmp_path: Path) -> None:
    done = ended(running, helm, tmp_path)
    assert done.returncode != 0
    assert "view.userquota.dev" in done.stderr


@pytest.mark.usefixtures("view")
def test_it_succeeds_while_a_replica_answers(running: RunningWebhook, helm: Helm, tmp_path: Path) -> None:
    done = ended(running, helm, tmp_path)
    assert (done.returncode, done.stderr) == (0, "No limits found.\n")  # the policy of these tests has none
