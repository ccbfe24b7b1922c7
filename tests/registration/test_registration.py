"""Our webhook configurations on a real API server, by the manifests as they are but for a name and who they match."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import yaml

from webhook.kube.api import ForbiddenError, KubernetesApi
from webhook.registration import Registration, RegistrationError, ServiceForm, UrlForm, read_manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from localcluster.controlplane import ControlPlane

MANIFESTS = Path(__file__).parents[2] / "manifests"
KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
WEBHOOKS = ["mutate.userquota.dev", "validate.userquota.dev", "stamps.userquota.dev"]
BUNDLE = b"the first bundle"
URL = "https://192.0.2.1:8443/hooks"
# Nobody answers: whatever is left over by a failed test must not stop others.
NOWHERE = {"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}}


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[KubernetesApi]:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    yield api
    await api.close()


class Cluster:
    """The two configurations under a name of the test, and what became of them."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.control_plane = control_plane
        self.name = f"registration-{secrets.token_hex(4)}"
        self.bundle = BUNDLE
        self.drifted: list[str] = []
        self.bodies = [self._body(kind) for kind in KINDS]
        self.manifests = [read_manifest(body) for body in self.bodies]

    def _body(self, kind: str) -> dict[str, Any]:
        body: dict[str, Any] = yaml.safe_load((MANIFESTS / f"{kind.lower()}.yaml").read_text())
        webhooks = [{**item, "namespaceSelector": NOWHERE} for item in body["webhooks"]]
        return {**body, "metadata": {"name": self.name}, "webhooks": webhooks}

    def install(self, *options: str) -> None:
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": self.bodies})
        self.control_plane.kubectl("apply", "--filename=-", *options, stdin=listed)

    def remove(self) -> None:
        self.control_plane.kubectl("delete", ",".join(KINDS), self.name, "--ignore-not-found")

    def live(self, kind: str) -> dict[str, Any]:
        answer = self.control_plane.kubectl("get", kind, self.name, "--output=json", "--show-managed-fields")
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def bundles(self) -> dict[str, bytes]:
        webhooks = [item for kind in KINDS for item in self.live(kind)["webhooks"]]
        return {item["name"]: base64.b64decode(item["clientConfig"].get("caBundle", "")) for item in webhooks}

    def patch(self, kind: str, patch: list[dict[str, Any]]) -> None:
        self.control_plane.kubectl("patch", kind, self.name, "--type=json", f"--patch={json.dumps(patch)}")

    def by_service(self, api: KubernetesApi, *, check_seconds: float = 30) -> Registration:
        form = ServiceForm(self.manifests, lambda: self.bundle)
        return Registration(api, form, on_drift=self.drifted.append, check_seconds=check_seconds)

    def by_url(self, api: KubernetesApi, url: str = URL) -> Registration:
        form = UrlForm(self.manifests, lambda: self.bundle, url)
        return Registration(api, form, on_drift=self.drifted.append)


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[Cluster]:
    cluster = Cluster(control_plane)
    yield cluster
    cluster.remove()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - seen in the API server, which tells no event
            await asyncio.sleep(0.05)


class TestServiceForm:
    async def test_every_webhook_gets_the_bundle_and_keeps_the_service(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        cluster.install()
        registration = cluster.by_service(api)
        assert not registration.registered
        await registration.register()
        assert registration.registered
        assert cluster.bundles() == dict.fromkeys(WEBHOOKS, BUNDLE)
        assert [item["clientConfig"]["service"]["path"] for item in cluster.live(KINDS[1])["webhooks"]] == [
            "/validate",
            "/validate",
        ]
        assert cluster.drifted == []

    async def test_the_bundle_is_all_that_it_owns(self, api: KubernetesApi, cluster: Cluster) -> None:
        cluster.install()
        await cluster.by_service(api).register()
        managers = {item["manager"]: item for item in cluster.live(KINDS[0])["metadata"]["managedFields"]}
        ours = managers["userquota-ca"]
        assert ours["operation"] == "Apply"
        assert ours["fieldsV1"] == {
            "f:webhooks": {
                'k:{"name":"mutate.userquota.dev"}': {"f:clientConfig": {"f:caBundle": {}}, ".": {}, "f:name": {}}
            }
        }

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param([], id="client side"),
            pytest.param(["--server-side"], id="server side"),
        ],
    )
    async def test_applying_the_manifests_again_leaves_the_bundle(
        self, api: KubernetesApi, cluster: Cluster, options: list[str]
    ) -> None:
        cluster.install(*options)
        registration = cluster.by_service(api)
        await registration.register()
        cluster.install(*options)
        assert cluster.bundles() == dict.fromkeys(WEBHOOKS, BUNDLE)
        await registration.register()
        assert cluster.drifted == []

    async def test_what_is_right_is_not_written_again(self, api: KubernetesApi, cluster: Cluster) -> None:
        cluster.install()
        await cluster.by_service(api).register()
        before = [cluster.live(kind) for kind in KINDS]
        await cluster.by_service(api).register()
        assert [cluster.live(kind) for kind in KINDS] == before

    async def test_a_bundle_of_ours_that_changed_is_no_drift(self, api: KubernetesApi, cluster: Cluster) -> None:
        cluster.install()
        registration = cluster.by_service(api)
        await registration.register()
        cluster.bundle = b"the second bundle"
        await registration.register()
        assert cluster.bundles() == dict.fromkeys(WEBHOOKS, b"the second bundle")
        assert cluster.drifted == []

    async def test_an_emptied_bundle_is_put_back_and_others_fields_stay(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        cluster.install()
        registration = cluster.by_service(api, check_seconds=0.1)
        task = asyncio.create_task(registration.keep_registered())
        await until(lambda: registration.registered)
        empty = {"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": ""}
        slower = {"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 7}
        await asyncio.to_thread(cluster.patch, KINDS[0], [empty, slower])
        await until(lambda: cluster.bundles() == dict.fromkeys(WEBHOOKS, BUNDLE))
        task.cancel()
        assert cluster.drifted == [KINDS[0]]
        assert cluster.live(KINDS[0])["webhooks"][0]["timeoutSeconds"] == 7

    async def test_a_poke_does_not_wait_for_the_next_look(self, api: KubernetesApi, cluster: Cluster) -> None:
        cluster.install()
        registration = cluster.by_service(api, check_seconds=600)
        task = asyncio.create_task(registration.keep_registered())
        await until(lambda: registration.registered)
        cluster.bundle = b"the second bundle"
        registration.poke()
        await until(lambda: cluster.bundles() == dict.fromkeys(WEBHOOKS, b"the second bundle"))
        task.cancel()

    async def test_what_is_not_installed_is_told_and_awaited(self, api: KubernetesApi, cluster: Cluster) -> None:
        registration = cluster.by_service(api, check_seconds=0.1)
        missing = f"MutatingWebhookConfiguration {cluster.name} is not in the cluster: apply the manifests"
        with pytest.raises(RegistrationError) as refusal:
            await registration.register()
        assert str(refusal.value) == missing
        with structlog.testing.capture_logs() as logs:
            task = asyncio.create_task(registration.keep_registered())
            await asyncio.sleep(0.5)
            await asyncio.to_thread(cluster.install)
            await until(lambda: registration.registered)
            task.cancel()
        assert [entry["reason"] for entry in logs].count(missing) == 1

    async def test_a_configuration_that_is_deleted_is_no_longer_registered(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        cluster.install()
        registration = cluster.by_service(api)
        await registration.register()
        cluster.remove()
        with pytest.raises(RegistrationError):
            await registration.register()
        assert not registration.registered

    async def test_a_webhook_that_is_missing_is_told(self, api: KubernetesApi, cluster: Cluster) -> None:
        cluster.install()
        cluster.patch(KINDS[1], [{"op": "remove", "path": "/webhooks/1"}])
        with pytest.raises(RegistrationError) as refusal:
            await cluster.by_service(api).register()
        assert str(refusal.value) == (
            f"ValidatingWebhookConfiguration {cluster.name} lacks stamps.userquota.dev: "
            "apply the manifests of this version again"
        )

    async def test_without_a_bundle_of_ours_that_of_others_stays(self, api: KubernetesApi, cluster: Cluster) -> None:
        cluster.install()
        others = base64.b64encode(b"cert-manager").decode()
        cluster.patch(KINDS[0], [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": others}])
        cluster.bundle = b""
        registration = cluster.by_service(api)
        await registration.register()
        assert registration.registered
        assert cluster.bundles()["mutate.userquota.dev"] == b"cert-manager"

    async def test_an_api_server_that_refuses_changes_nothing_about_what_was_seen(
        self, control_plane: ControlPlane, cluster: Cluster
    ) -> None:
        cluster.install()
        right = [f"--resource={','.join(kind.lower() + 's' for kind in KINDS)}", "--verb=get,patch"]
        control_plane.kubectl("create", "clusterrole", cluster.name, *right)
        control_plane.kubectl(
            "create", "clusterrolebinding", cluster.name, f"--clusterrole={cluster.name}", "--user=dave"
        )
        api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig("dave"))
        registration = cluster.by_service(api)
        await registration.register()
        control_plane.kubectl("delete", "clusterrolebinding,clusterrole", cluster.name)
        with pytest.raises(ForbiddenError):
            await until_refused(registration)
        assert registration.registered
        await api.close()


async def until_refused(registration: Registration) -> None:
    """Look until it raises: the API server takes note of a withdrawn right by a watch of its own."""
    for _ in range(100):
        await registration.register()
        await asyncio.sleep(0.05)


class TestUrlForm:
    async def test_the_whole_configuration_is_written_with_the_url(self, api: KubernetesApi, cluster: Cluster) -> None:
        registration = cluster.by_url(api)
        await registration.register()
        assert registration.registered
        bundle = base64.b64encode(BUNDLE).decode()
        for kind, body in zip(KINDS, cluster.bodies, strict=True):
            for written, wanted in zip(cluster.live(kind)["webhooks"], body["webhooks"], strict=True):
                path = wanted["clientConfig"]["service"]["path"]
                assert written["clientConfig"] == {"url": f"{URL}{path}", "caBundle": bundle}
                assert written["failurePolicy"] == "Fail"
                assert written["matchConditions"] == wanted["matchConditions"]
        assert cluster.drifted == []

    async def test_one_that_is_deleted_is_written_again(self, api: KubernetesApi, cluster: Cluster) -> None:
        registration = cluster.by_url(api)
        await registration.register()
        cluster.remove()
        await registration.register()
        assert cluster.bundles() == dict.fromkeys(WEBHOOKS, BUNDLE)
        assert cluster.drifted == list(KINDS)

    async def test_a_url_that_is_changed_is_put_back(self, api: KubernetesApi, cluster: Cluster) -> None:
        registration = cluster.by_url(api)
        await registration.register()
        other = {"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": "https://192.0.2.9/mutate"}
        cluster.patch(KINDS[0], [other])
        await registration.register()
        assert cluster.live(KINDS[0])["webhooks"][0]["clientConfig"]["url"] == f"{URL}/mutate"
        assert cluster.drifted == [KINDS[0]]

    async def test_replicas_that_share_a_url_agree(self, api: KubernetesApi, cluster: Cluster) -> None:
        replicas = [cluster.by_url(api) for _ in range(3)]
        await asyncio.gather(*(replica.register() for replica in replicas))
        for replica in replicas:
            await replica.register()
        assert cluster.drifted == []

    async def test_one_that_was_installed_for_a_service_is_told(self, api: KubernetesApi, cluster: Cluster) -> None:
        cluster.install()
        registration = cluster.by_url(api)
        with pytest.raises(RegistrationError) as refusal:
            await registration.register()
        text = str(refusal.value)
        assert text.startswith(f"MutatingWebhookConfiguration {cluster.name} is refused (")
        assert text.endswith("): if it was installed to be called through a Service, delete it first")
        assert not registration.registered

    async def test_a_slash_at_the_end_is_not_doubled(self, api: KubernetesApi, cluster: Cluster) -> None:
        await cluster.by_url(api, f"{URL}/").register()
        assert cluster.live(KINDS[0])["webhooks"][0]["clientConfig"]["url"] == f"{URL}/mutate"

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            pytest.param("http://host/", "is not https://HOST[:PORT][/PATH]", id="without TLS"),
            pytest.param("host:8443", "is not https://HOST[:PORT][/PATH]", id="without a scheme"),
            pytest.param("https:///x", "is not https://HOST[:PORT][/PATH]", id="without a host"),
            pytest.param("https://me@host", "may have no user, query or fragment", id="with a user"),
            pytest.param("https://host?a=b", "may have no user, query or fragment", id="with a query"),
            pytest.param("https://host#a", "may have no user, query or fragment", id="with a fragment"),
        ],
    )
    def test_a_url_that_the_api_server_would_refuse_is_told(self, url: str, problem: str) -> None:
        with pytest.raises(RegistrationError) as refusal:
            UrlForm([], lambda: BUNDLE, url)
        assert str(refusal.value) == f"the advertised URL {url} {problem}"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param({}, "Object missing required field `metadata`", id="nothing"),
        pytest.param({"kind": "Pod", "metadata": {"name": "p"}}, "its kind is 'Pod'", id="a pod"),
    ],
)
def test_what_is_no_configuration_is_told(body: dict[str, Any], problem: str) -> None:
    with pytest.raises(RegistrationError) as refusal:
        read_manifest(body)
    assert str(refusal.value) == f"no manifest of a webhook configuration: {problem}"
