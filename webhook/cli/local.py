"""
`userquota local`: a real control plane on this machine with the webhook in it, to be tried with kubectl.
"""

from __future__ import annotations

import json
import shlex
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webhook.documents.policy_config_map import FORCE_ANNOTATION, POLICY_LABEL
from webhook.quota.errors import WebhookError
from webhook.registration import manifest_files
from webhook.registration.api_service import NAME as VIEW

if TYPE_CHECKING:
    from localcluster.state import LocalCluster

_NAMESPACE = "userquota-system"
_READY_WITHIN = 30.0
"""Seconds from the start of the webhook to its first `ok`, which takes about two."""


class LocalError(WebhookError):
    """The local cluster did not start."""


class _OfACheckout(click.Group):
    """Turns the errors of the control plane into ours, among them that the wheel does not contain it."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            from localcluster.errors import LocalClusterError  # noqa: PLC0415 - not in the wheel
        except ModuleNotFoundError as error:
            raise LocalError(
                "`userquota local` runs from a checkout only: "
                "the package localcluster, which starts the control plane, is not installed"
            ) from error
        try:
            return super().invoke(ctx)
        except LocalClusterError as error:
            raise LocalError(str(error)) from error


@click.group("local", cls=_OfACheckout)
def command() -> None:
    """Try userquota on a local control plane, without Docker."""


@command.command("up")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The policy. Default: the one that is there, at first that of the manifests.",
)
def up(policy: Path | None) -> None:
    """
    Start etcd, kube-apiserver, kube-controller-manager and the webhook.

    The first time builds them from source, which takes about ten minutes on two cores.
    """
    from localcluster import state  # noqa: PLC0415 - not in the wheel

    cluster = state.up(lambda line: click.echo(line, err=True))
    access = cluster.access
    access.kubectl("apply", "-f", str(manifest_files.folder() / "namespace.yaml"))
    if policy is not None or not _has_policy(cluster):
        _apply_policy(cluster, policy or manifest_files.folder() / "policy.yaml")
    _start_webhook(cluster)
    kubectl = access.kubectl_binary
    click.echo(f"alias kubectl={shlex.quote(str(kubectl))}")
    for user in ("admin", "alice", "bob", "carol"):
        click.echo(f"export {user.upper()}={shlex.quote(str(access.kubeconfig(user)))}")
    click.echo("# as alice, who is in the groups ml and staff:  kubectl --kubeconfig $ALICE apply -f examples/pod.yaml")
    click.echo(f"# the policy:  kubectl --kubeconfig $ADMIN -n {_NAMESPACE} edit configmap userquota-policy")
    click.echo("# stop everything and delete it:  userquota local down")


@command.command("down")
def down() -> None:
    """Stop the local control plane and the webhook, and delete their data."""
    from localcluster import state  # noqa: PLC0415 - not in the wheel

    click.echo("stopped" if state.down() else "nothing was running")


def _has_policy(cluster: LocalCluster) -> bool:
    found = ("get", "configmaps", "-n", _NAMESPACE, "-l", f"{POLICY_LABEL}=true", "-o", "name")
    return bool(cluster.access.kubectl(*found).stdout)


def _apply_policy(cluster: LocalCluster, policy: Path) -> None:
    """Put a policy in force, a text or ConfigMaps, in one write: a webhook that runs already judges each."""
    text = policy.read_text(encoding="utf-8")
    if "kind: ConfigMap" in text:
        cluster.access.kubectl("apply", "-f", str(policy))
        return
    metadata = {
        "name": "userquota-policy",
        "namespace": _NAMESPACE,
        "labels": {POLICY_LABEL: "true"},
        # Each edit that needs one has to give another reason.
        "annotations": {FORCE_ANNOTATION: f"userquota local up, {time.time():.0f}"},
    }
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"policy.yaml": text}}
    cluster.access.kubectl("apply", "-f", "-", stdin=json.dumps(config_map))


def _start_webhook(cluster: LocalCluster) -> None:
    from localcluster.addresses import HeldPort  # noqa: PLC0415 - not in the wheel

    ports = HeldPort(), HeldPort()
    port, view_port = (each.number for each in ports)
    for each in ports:
        each.release()
    _install_view(cluster, view_port)
    url = f"https://127.0.0.1:{port}"
    ca = cluster.data_dir / "userquota-ca.crt"
    options = {"--kubeconfig": str(cluster.access.kubeconfig("admin")), "--advertise-url": url, "--ca-out": str(ca)}
    argv = [sys.executable, "-m", "webhook", "serve", "--listen", f"127.0.0.1:{port}", "--drain", "1"]
    argv += ["--view-listen", f"127.0.0.1:{view_port}"]
    cluster.start_process("userquota", [*argv, *(word for option in options.items() for word in option)])
    _wait_until_ready(f"{url}/readyz", ca, log=cluster.data_dir / "logs" / "userquota.log")
    # It writes the caBundle before it is ready; API servers look at an APIService soon after it has changed.
    cluster.access.kubectl("wait", "--for=condition=Available", f"apiservice/{VIEW}", "--timeout=30s")
    click.echo(f"# userquota answers on {url}", err=True)


def _install_view(cluster: LocalCluster, port: int) -> None:
    """Have the API server ask *port* for the view of quotas: before the webhook starts, which writes the caBundle."""
    items = manifest_files.view()
    api_service = next(each["spec"] for each in items if each["kind"] == "APIService")
    service = api_service["service"]
    service["port"] = port
    name = {"name": service["name"], "namespace": service["namespace"]}
    spec = {"type": "ExternalName", "externalName": "localhost"}
    items.append({"apiVersion": "v1", "kind": "Service", "metadata": name, "spec": spec})
    cluster.access.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _wait_until_ready(url: str, ca: Path, *, log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    reason = "it does not listen"
    while time.monotonic() < deadline:
        try:
            context = ssl.create_default_context(cafile=str(ca))
            with urllib.request.urlopen(url, context=context, timeout=2):  # noqa: S310 - a URL of our own
                return
        except urllib.error.HTTPError as error:
            reason = error.read().decode("utf-8", "replace").strip()
        except (OSError, ssl.SSLError):
            pass  # it does not listen yet
        time.sleep(0.1)
    raise LocalError(f"userquota is not ready after {_READY_WITHIN:.0f} s: {reason}; see {log}")
