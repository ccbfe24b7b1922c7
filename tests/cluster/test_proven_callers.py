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
from tests.cluster.running import RunningWebhook, eventually
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
    "proof",
    # A user each: a reservation that was not written as settled when the first webhook ended stays for 40 seconds.
    [("--client-ca", "client-ca.crt", "alice"), ("--client-token-file", "tokens", "bob")],
    ids=["certificate", "token"],
)
def test_the_api_server_is_trusted_and_a_pod_that_posts_reviews_is_not(
    cluster: ControlPlane, proofs: Proofs, tmp_path: Path, proof: tuple[str, str, str]
) -> None:
    """Any pod in the cluster could post reviews in alice's name, which reserved her quota."""
    option, file, user = proof
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
        created = cluster.kubectl("create", "-n", place, "-f", "-", user=user, stdin=manifest("first"))
        refused = cluster.kubectl("create", "-n", place, "-f", "-", user=user, stdin=manifest("one-more"), check=False)

        assert created.stdout == "pod/first created\n"
        assert "exceeded quota: defaults.user" in refused.stderr
        assert 'userquota_errors_total{reason="unauthenticated"} 1.0' in webhook.metrics()
    finally:
        webhook.stop()
        webhook.uninstall()
        cluster.kubectl("delete", "pods", "--all", "-n", place, "--grace-period=0", "--force")


@pytest.fixture
def believing(cluster: ControlPlane, tmp_path: Path) -> Iterator[RunningWebhook]:
    """A webhook that a test starts with its own options."""
    webhook = RunningWebhook(cluster, tmp_path)
    webhook.install()
    webhook.apply_policy("version: 1\n")
    yield webhook
    webhook.stop()
    webhook.uninstall()
    cluster.kubectl("delete", "pods", "--all", "--grace-period=0", "--force")


def test_an_api_server_whose_proof_is_refused_fails_the_call_with_the_reason(
    believing: RunningWebhook, cluster: ControlPlane, proofs: Proofs
) -> None:
    believing.start("--client-ca", str(proofs.folder / "client-ca.crt"), "--client-name", "another-name")
    believing.wait_until_ready()

    refused = cluster.kubectl("create", "-f", "-", stdin=manifest("refused"), check=False)

    assert refused.returncode != 0
    assert "only the API server may post reviews: show a client certificate or a token" in refused.stderr


def test_an_authority_that_is_replaced_fails_no_call(
    believing: RunningWebhook, cluster: ControlPlane, proofs: Proofs
) -> None:
    """The API server keeps its connections: those from before the change are closed and their calls repeated."""
    client_ca = proofs.folder / "client-ca.crt"
    believing.start("--client-ca", str(client_ca))
    believing.wait_until_ready()
    cluster.kubectl("create", "-f", "-", stdin=manifest("before"))

    client_ca.write_bytes(ClientAuthority().pem + proofs.authority.pem)
    eventually(lambda: "was reloaded" in believing.output())
    cluster.kubectl("create", "-f", "-", stdin=manifest("after"))

    assert 'userquota_errors_total{reason="outdated-connection"}' in believing.metrics()


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
