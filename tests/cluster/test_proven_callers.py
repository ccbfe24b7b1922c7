"""A real API server proves by a client certificate, or by a token, that a review comes from it."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from localcluster.binaries import Binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from tests.admission.asking import a_review, pod, stamped
from tests.cluster.running import RunningWebhook
from tests.cluster.running import pod as manifest
from tests.conftest import run_control_plane
from tests.serving.client_certificates import ClientAuthority

TOKEN = "a-token-of-the-api-server-0123456789"  # noqa: S105 - it is for this test alone
LIMITED = "version: 1\ndefaults: {user: {hard: {pods: 1}}}\n"


@dataclass(frozen=True)
class Proofs:
    """The files of an API server and of userquota that belong together."""

    folder: Path
    authority: ClientAuthority

    @classmethod
    def written(cls, folder: Path) -> Proofs:
        authority = ClientAuthority()
        shown = authority.sign("kube-apiserver")
        for name, content in {
            "client-ca.crt": authority.pem,
            "client.crt": shown.certificate,
            "client.key": shown.key,
            "tokens": TOKEN.encode(),
        }.items():
            (folder / name).write_bytes(content)
        user = {
            "client-certificate": str(folder / "client.crt"),
            "client-key": str(folder / "client.key"),
            "token": TOKEN,
        }
        kubeconfig = {"apiVersion": "v1", "kind": "Config", "users": [{"name": "*", "user": user}]}
        (folder / "webhooks.kubeconfig").write_text(yaml.safe_dump(kubeconfig))
        plugin = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "WebhookAdmissionConfiguration",
            "kubeConfigFile": str(folder / "webhooks.kubeconfig"),
        }
        plugins = ("ValidatingAdmissionWebhook", "MutatingAdmissionWebhook")
        admission = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AdmissionConfiguration",
            "plugins": [{"name": name, "configuration": plugin} for name in plugins],
        }
        (folder / "admission.yaml").write_text(yaml.safe_dump(admission))
        return cls(folder, authority)


@pytest.fixture(scope="module")
def proofs(tmp_path_factory: pytest.TempPathFactory) -> Proofs:
    return Proofs.written(tmp_path_factory.mktemp("proofs"))


@pytest.fixture(scope="module")
def cluster(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory, proofs: Proofs) -> Iterator[ControlPlane]:
    flags = {"kube-apiserver": (f"--admission-control-config-file={proofs.folder / 'admission.yaml'}",)}
    yield from run_control_plane(binaries, tmp_path_factory, Options(flags=flags))


@pytest.mark.parametrize(
    "proof", [("--client-ca", "client-ca.crt"), ("--client-token-file", "tokens")], ids=["certificate", "token"]
)
def test_the_api_server_is_believed_and_a_pod_that_posts_reviews_is_not(
    cluster: ControlPlane, proofs: Proofs, tmp_path: Path, proof: tuple[str, str]
) -> None:
    """Reviews in alice's name held her quota: anybody in the cluster was the API server."""
    option, file = proof
    webhook = RunningWebhook(cluster, tmp_path)
    webhook.install()
    webhook.apply_policy(LIMITED)
    webhook.start(option, str(proofs.folder / file))
    place = f"proof-{file.replace('.', '-')}"
    cluster.create_namespace(place)
    try:
        webhook.wait_until_ready()
        body = stamped(pod("forged"))
        body["metadata"]["namespace"] = place
        forged = a_review(object=body, namespace=place)

        assert posted(webhook.url, forged, ca=tmp_path / "ca.crt") == 401
        created = cluster.kubectl("create", "-n", place, "-f", "-", user="alice", stdin=manifest("hers"))
        refused = cluster.kubectl(
            "create", "-n", place, "-f", "-", user="alice", stdin=manifest("one-more"), check=False
        )

        assert created.stdout == "pod/hers created\n"
        assert "exceeded quota: defaults.user" in refused.stderr
        assert 'userquota_errors_total{reason="unauthenticated"} 1.0' in webhook.metrics()
    finally:
        webhook.stop()
        webhook.uninstall()
        cluster.kubectl("delete", "pods", "--all", "-n", place, "--grace-period=0", "--force")


def posted(url: str, review: object, *, ca: Path) -> int:
    """Post a review as a pod would, without a proof; return the status."""
    body = json.dumps(review).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/validate", body, headers)  # noqa: S310 - ours
    try:
        tls = ssl.create_default_context(cafile=str(ca))
        with urllib.request.urlopen(request, context=tls, timeout=5) as answer:  # noqa: S310 - ours
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
