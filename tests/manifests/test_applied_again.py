"""
Applying the manifests again, by any tool, finds nothing to change: what userquota itself has written stays its own.

A replica runs beside the API server and writes what it writes in a cluster. No webhook is called: their selectors match
no namespace.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.addresses import HeldPort
from localcluster.controlplane import ControlPlane
from tests.cluster.running import eventually
from tests.overlays import Overlay

NOWHERE = {"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}}
POLICY = "version: 1\ndefaults: {user: {hard: {count/services: 5}}}\n"
COUNTED = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "userquota-counted-services", "labels": {"userquota.dev/counted": "true"}},
    "rules": [{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}],
}
CLIENT_SIDE = ("--server-side=false",)
SERVER_SIDE = ("--server-side", "--field-manager=a-tool")


def manifests(control_plane: ControlPlane, overlay: Overlay) -> list[dict[str, Any]]:
    """Return what kustomize makes, with a policy that counts another kind, and webhooks that nothing calls."""
    listed = list(yaml.safe_load_all(overlay.rendered(control_plane)))
    for each in listed:
        for webhook in each.get("webhooks", ()):
            webhook["namespaceSelector"] = NOWHERE
        if each["kind"] == "Service":
            each["spec"] = {"type": "ExternalName", "externalName": "localhost"}
        if each["kind"] == "ConfigMap":
            each["data"] = {"policy.yaml": POLICY}
    return [*listed, COUNTED]


class Applied:
    """The manifests, as a tool with these *options* applies them again and again."""

    def __init__(self, control_plane: ControlPlane, overlay: Overlay, options: tuple[str, ...]) -> None:
        self.control_plane = control_plane
        self._options = options
        listed = manifests(control_plane, overlay)
        self._text = json.dumps({"apiVersion": "v1", "kind": "List", "items": listed})

    def kubectl(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        return self.control_plane.kubectl(verb, "--filename=-", *options, stdin=self._text)

    def apply(self, *options: str) -> None:
        self.kubectl("apply", *self._options, *options)

    def difference(self) -> str:
        """Return what the tool would change, as `kubectl diff` says. Raises: KubectlError where it is anything."""
        return self.kubectl("diff", *self._options).stdout

    def stored(self) -> list[dict[str, Any]]:
        """Return all objects, without what the API server and controllers write beside their specification."""
        answer = self.kubectl("get", "--output=json", "--show-managed-fields").stdout
        found: list[dict[str, Any]] = json.loads(answer)["items"]
        for each in found:
            each.pop("status", None)
            each["metadata"].pop("resourceVersion")
            managed = each["metadata"].get("managedFields", [])
            each["metadata"]["managedFields"] = [entry for entry in managed if "subresource" not in entry]
        return found

    def bundles(self) -> list[str]:
        """Return every caBundle that is written."""
        return [
            config["caBundle"]
            for each in self.stored()
            for config in [each.get("spec", {}), *(webhook["clientConfig"] for webhook in each.get("webhooks", ()))]
            if "caBundle" in config
        ]

    def remove(self) -> None:
        self.kubectl("delete", "--ignore-not-found", "--wait=false")


@contextmanager
def replica(control_plane: ControlPlane, namespace: str, folder: Path) -> Iterator[Path]:
    """Run a replica that is called through the Service; yields its log."""
    ports = [HeldPort(), HeldPort()]
    for each in ports:
        each.release()
    argv = [sys.executable, "-m", "webhook", "serve", f"--kubeconfig={control_plane.kubeconfig()}", "--drain=0"]
    argv += [f"--namespace={namespace}", f"--listen=127.0.0.1:{ports[0].number}"]
    argv += [f"--view-listen=127.0.0.1:{ports[1].number}"]
    log = folder / "userquota.log"
    with log.open("wb") as output, subprocess.Popen(argv, stdout=output, stderr=output) as process:
        try:
            yield log
        finally:
            process.terminate()


@pytest.mark.parametrize("options", [CLIENT_SIDE, SERVER_SIDE], ids=["client side", "server side"])
def test_nothing_is_found_to_change(
    control_plane: ControlPlane, overlay: Overlay, tmp_path: Path, options: tuple[str, ...]
) -> None:
    namespace = f"quota-{secrets.token_hex(4)}"
    overlay.write(namespace=namespace)
    applied = Applied(control_plane, overlay, options)
    applied.apply()
    try:
        with replica(control_plane, namespace, tmp_path) as log:
            eventually(lambda: len(applied.bundles()) == 6 + 2 + 1, what=log.read_text)
            eventually(lambda: bool(rules(control_plane)))
            before = applied.stored()

            assert applied.difference() == ""
            applied.apply("--dry-run=server")
            applied.apply()

            assert applied.stored() == before
            assert writers(before) >= {"userquota-ca", "userquota-counts", "clusterrole-aggregation-controller"}
    finally:
        applied.remove()


def rules(control_plane: ControlPlane) -> str:
    """Return what a controller of Kubernetes has put into the aggregated ClusterRole."""
    return control_plane.kubectl("get", "clusterrole", "userquota-counted", "--output=jsonpath={.rules}").stdout


def writers(stored: list[dict[str, Any]]) -> set[str]:
    return {entry["manager"] for each in stored for entry in each["metadata"]["managedFields"]}
