"""A userquota process, started by the real console script, beside a real control plane."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from localcluster.addresses import HeldPort
from localcluster.controlplane import ControlPlane
from webhook.registration import manifest_files

NAMESPACE = "userquota-system"
CONFIG_MAP = "userquota-policy"
PATIENCE = 180.0
"""Seconds to wait for what comes some time: a bound on tests that hang, no claim. A test of a time gives its own."""


def is_ok(readiness: str) -> bool:
    """Whether a text of /readyz says `ok` and nothing else, but for notes on the policy and on what it promises."""
    return [line for line in readiness.splitlines() if not line.startswith(("policy-notes: ", "capacity: "))] == ["ok"]


class RunningWebhook:
    """`userquota serve` in URL mode, registered with the API servers of *cluster*."""

    def __init__(self, cluster: ControlPlane, folder: Path) -> None:
        self.cluster = cluster
        self.log = folder / "userquota.log"
        self.ca = folder / "ca.crt"
        held, held_for_views = HeldPort(), HeldPort()
        self.url = f"https://127.0.0.1:{held.number}"
        self._listen = f"127.0.0.1:{held.number}"
        self.view_port = held_for_views.number
        for each in (held, held_for_views):
            each.release()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, has_view: bool = True) -> None:
        argv = serve_argv(self.cluster.kubeconfig("admin"), listen=self._listen, advertise_url=self.url, ca_out=self.ca)
        argv += ["--view-listen", f"127.0.0.1:{self.view_port}", "--liquid"] if has_view else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([*argv, *options], stdout=log, stderr=subprocess.STDOUT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=15)
            self._process = None

    def readiness(self) -> str:
        """Return the body of /readyz: `ok` or the failed conditions, or that nothing listens."""
        return ask(f"{self.url}/readyz", ca_file=self.ca)

    def metrics(self) -> str:
        return ask(f"{self.url}/metrics", ca_file=self.ca)

    def wait_until_ready(self, within: float = PATIENCE) -> float:
        """Wait for `ok` from /readyz; return the seconds it took."""
        begun = time.monotonic()
        eventually(lambda: is_ok(self.readiness()), within=within, what=lambda: f"{self.readiness()}\n{self.output()}")
        return time.monotonic() - begun

    def output(self) -> str:
        return self.log.read_text()[-4000:]

    def set_policy(self, text: str) -> None:
        """Write the policy's ConfigMap, and wait until it is in force or rejected; at once if it is the same."""
        seen = self.log.read_text() if self.log.exists() else ""
        is_changed = self.apply_policy(text)
        if self._process is not None and is_changed:
            eventually(lambda: has_told_of_policy(self.log.read_text()[len(seen) :]), what=self.output)

    def apply_policy(self, text: str) -> bool:
        return apply_policy(self.cluster, text)

    def install(self) -> None:
        install(self.cluster)

    def uninstall(self) -> None:
        uninstall(self.cluster)


def serve_argv(kubeconfig: Path, *, listen: str, advertise_url: str, ca_out: Path) -> list[str]:
    """Return the command line of one replica, to which options can be added."""
    argv = [sys.executable, "-m", "webhook", "serve", "--kubeconfig", str(kubeconfig), "--listen", listen]
    return [*argv, "--advertise-url", advertise_url, "--ca-out", str(ca_out), "--drain", "0"]


def ask(url: str, *, ca_file: Path) -> str:
    """Return the body of a replica's response of any status, or that nothing listens."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
        with urllib.request.urlopen(url, context=context, timeout=2) as answer:  # noqa: S310 - https, ours
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
    except OSError as error:
        return f"nothing listens: {error}"


def install(cluster: ControlPlane) -> None:
    """Create our namespace; `serve` itself registers the webhooks."""
    cluster.kubectl("apply", "-f", str(manifest_files.folder() / "namespace.yaml"))


def uninstall(cluster: ControlPlane) -> None:
    """Delete the webhook configurations, so that the API servers call no webhook."""
    for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration"):
        cluster.kubectl("delete", kind, "userquota", "--ignore-not-found")


def apply_policy(cluster: ControlPlane, text: str) -> bool:
    """
    Write the policy's ConfigMap without waiting; return whether that changed it.

    It is forced, with another reason for each text: tests put people over their limits.
    """
    body = "".join(f"    {line}\n" for line in text.splitlines())
    reason = f"a test: {hashlib.sha256(text.encode()).hexdigest()}"
    answer = cluster.kubectl(
        "apply",
        "-f",
        "-",
        stdin=f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {CONFIG_MAP}\n  namespace: {NAMESPACE}\n"
        f'  labels: {{userquota.dev/policy: "true"}}\n  annotations: {{userquota.dev/force: "{reason}"}}\n'
        f"data:\n  policy.yaml: |\n{body}",
    )
    return "unchanged" not in answer.stdout


def has_told_of_policy(log: str) -> bool:
    """Whether a replica has told that a policy is in force, or rejected; that it was forced is told before."""
    return "policy in force" in log or "policy mistake" in log


def eventually(claim: Callable[[], bool], *, within: float = PATIENCE, what: Callable[[], str] = str) -> float:
    """Wait until *claim* holds; return the seconds it took."""
    begun = time.monotonic()
    while not claim():
        if time.monotonic() - begun > within:
            raise AssertionError(f"not within {within} s: {what()}")
        time.sleep(0.05)
    return time.monotonic() - begun


def pod(name: str, *, cpu: str = "100m", memory: str = "64Mi", labels: Sequence[str] = ()) -> str:
    """Return a pod's manifest as JSON-compatible YAML."""
    written = ", ".join(label.replace("=", ": ") for label in labels)
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{{written}}}}}\n"
        f"spec: {{containers: [{{name: main, image: example/x, resources: "
        f"{{requests: {{cpu: {cpu}, memory: {memory}}}}}}}]}}\n"
    )
