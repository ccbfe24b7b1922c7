"""
userquota as it is installed in a cluster that this program did not start, such as that of `make kind`.

Tests with the mark `given` use nothing but kubectl, as the administrator of the kubeconfig, who acts as the people.
They cannot stop a replica, read its log, or speak to an API server in another way.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from localcluster.access import run_kubectl
from localcluster.controlplane import ControlPlane
from localcluster.users import ADMIN, PEOPLE, permissions
from tests.cluster.running import NAMESPACE, RunningWebhook, apply_policy

_GROUPS = {person.name: person.groups for person in PEOPLE}
_IN_FORCE = 5.0  # seconds, more than twice what an edit of the policy takes, for all replicas


class GivenCluster(ControlPlane):
    """The cluster of a kubeconfig, by kubectl alone: whatever else a control plane has raises LocalClusterError."""

    def __init__(self, kubeconfig: Path, *, kubectl: str | Path = "kubectl") -> None:
        self._plan = None
        self._command = [str(kubectl), f"--kubeconfig={kubeconfig}"]

    def kubectl(
        self,
        *arguments: str,
        user: str = ADMIN,
        stdin: str | None = None,
        check: bool = True,
        server: int = 1,  # noqa: ARG002 - there is one address for all API servers
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as *user*, by impersonation."""
        person = [] if user == ADMIN else [f"--as={user}", *(f"--as-group={group}" for group in _GROUPS[user])]
        return run_kubectl([*self._command, *person], arguments, stdin=stdin, check=check, timeout=timeout)

    def create_namespace(self, name: str) -> None:
        self.kubectl("create", "namespace", name)
        self.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={name}", "--timeout=30s")


class InstalledWebhook(RunningWebhook):
    """The replicas of a Deployment, which the API servers reach by a Service."""

    def __init__(self, cluster: GivenCluster) -> None:
        self.cluster = cluster
        cluster.kubectl("apply", "--filename=-", stdin=permissions())
        cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/userquota", "--timeout=120s", timeout=130)

    def set_policy(self, text: str) -> None:
        if apply_policy(self.cluster, text):
            time.sleep(_IN_FORCE)

    def readiness(self) -> str:
        return self._of_a_replica("readyz")

    def metrics(self) -> str:
        return self._of_a_replica("metrics")

    def start(self, *options: str, has_view: bool = True) -> None:
        raise NotImplementedError("a test with the mark `given` starts no replica")

    def kill(self) -> None:
        raise NotImplementedError("a test with the mark `given` kills no replica")

    def _of_a_replica(self, path: str) -> str:
        service = f"/api/v1/namespaces/{NAMESPACE}/services/https:userquota:443/proxy/{path}"
        return self.cluster.kubectl("get", "--raw", service).stdout
