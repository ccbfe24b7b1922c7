"""Our webhook configurations on a real API server, by the manifests as they are but for a name and who they match."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import structlog

from localcluster.controlplane import ControlPlane
from tests.kubeconfigs import connected
from tests.registration.installed import (
    BUNDLE,
    KINDS,
    NOWHERE,
    OPEN,
    OTHERS,
    PATH,
    SECOND,
    URL,
    WEBHOOKS,
    Cluster,
    until,
)
from webhook.kube.api import ForbiddenError, KubernetesApi
from webhook.ports import WebhookError
from webhook.registration import (
    ApiServiceBundle,
    CountedResources,
    Registration,
    RegistrationError,
    ServiceForm,
    read_manifest,
)
from webhook.registration.bundles import OVERLAP_SECONDS


@pytest.fixture
async def dave(control_plane: ControlPlane) -> AsyncIterator[KubernetesApi]:
    """A client that has no rights but those that a test grants."""
    async with connected(control_plane.kubeconfig("dave")) as client:
        yield client


class TestCountedKinds:
    """What only a policy names is intercepted by webhooks of their own, beside those that others install."""

    NAMES = ("counts.mutate.userquota.dev", "counts.validate.userquota.dev")

    def rules(self, cluster: Cluster) -> list[list[str]]:
        webhooks = [item for kind in KINDS for item in cluster.live(kind)["webhooks"] if item["name"] in self.NAMES]
        return [[each for rule in item["rules"] for each in rule["resources"]] for item in webhooks]

    @pytest.mark.parametrize("options", [(), ("--server-side", "--force-conflicts")], ids=["client", "server"])
    async def test_they_are_called_like_the_others_and_outlive_an_apply(
        self, api: KubernetesApi, cluster: Cluster, options: tuple[str, ...]
    ) -> None:
        cluster.install(*options)
        registration = cluster.by_service(api)
        await registration.register()
        assert self.rules(cluster) == []

        cluster.counted = CountedResources(required=frozenset({"services", "widgets.example.com"}))
        await registration.register()
        cluster.install(*options)
        await registration.register()

        assert self.rules(cluster) == [
            ["services", "widgets"],
            ["services", "services/status", "widgets", "widgets/status"],
        ]
        assert cluster.bundles() == dict.fromkeys([*WEBHOOKS, *self.NAMES], BUNDLE)
        validating = {item["name"]: item for item in cluster.live(KINDS[1])["webhooks"]}
        first, counts = validating["validate.userquota.dev"], validating[self.NAMES[1]]
        assert counts["clientConfig"] == first["clientConfig"]
        assert counts["namespaceSelector"] == first["namespaceSelector"] == NOWHERE
        assert cluster.drifted == []

    async def test_they_follow_another_authority_and_go_when_nothing_is_counted(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        cluster.install()
        registration = cluster.by_service(api)
        cluster.counted = CountedResources(required=frozenset({"services"}))
        await registration.register()

        cluster.trust.ca_bundle = SECOND
        cluster.counted = CountedResources()
        await registration.register()
        assert cluster.bundles() == dict.fromkeys([*WEBHOOKS, *self.NAMES], SECOND + BUNDLE)

        cluster.clock.pass_by(OVERLAP_SECONDS)
        await registration.register()
        assert cluster.bundles() == dict.fromkeys(WEBHOOKS, SECOND)

    async def test_they_are_written_soon_after_they_are_known(self, api: KubernetesApi, cluster: Cluster) -> None:
        cluster.install()
        registration = cluster.by_service(api)
        task = asyncio.create_task(registration.keep_registered())
        await until(lambda: registration.registered)

        cluster.counted = CountedResources(required=frozenset({"services"}))
        registration.wake()

        await until(lambda: len(self.rules(cluster)) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def test_a_replica_that_starts_leaves_those_of_sessions_as_they_are(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        cluster.install()
        names = frozenset({"notebooks.kubeflow.org"})
        cluster.counted = CountedResources(required=names, kept=names, changing=names, scaled=names)
        await cluster.by_service(api).register()
        before = [cluster.live(kind)["webhooks"] for kind in KINDS]

        cluster.counted = None
        await cluster.by_service(api).register()

        assert [cluster.live(kind)["webhooks"] for kind in KINDS] == before

    async def test_a_whole_configuration_of_ours_keeps_them(self, api: KubernetesApi, cluster: Cluster) -> None:
        cluster.counted = CountedResources(required=frozenset({"services"}))
        await cluster.by_url(api).register()
        assert len(self.rules(cluster)) == 2

        await cluster.by_url(api, "https://192.0.2.2").register()

        urls = [item["clientConfig"]["url"] for kind in KINDS for item in cluster.live(kind)["webhooks"]]
        assert len(urls) == len(WEBHOOKS) + len(self.NAMES)
        assert all(url.startswith("https://192.0.2.2/") for url in urls)


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
            "/validate",
            "/advise",
            "/policy",
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
        cluster.trust.ca_bundle = SECOND
        await registration.register()
        assert cluster.bundles() == dict.fromkeys(WEBHOOKS, SECOND + BUNDLE)
        cluster.clock.pass_by(OVERLAP_SECONDS + 1)
        await registration.register()
        assert cluster.bundles() == dict.fromkeys(WEBHOOKS, SECOND)
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

    async def test_one_that_is_deleted_before_it_is_read_back_is_told(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        """It used to end every process that was registering at that moment."""
        cluster.install()
        registration = cluster.by_service(api)
        after_each_write(api, cluster.remove)
        with pytest.raises(RegistrationError) as refusal:
            await registration.register()
        assert str(refusal.value) == (
            f"MutatingWebhookConfiguration {cluster.name} is not in the cluster: apply the manifests"
        )
        assert not registration.registered

    async def test_one_that_is_installed_without_a_webhook_before_it_is_read_back_is_told(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        cluster.install()
        without = {"op": "replace", "path": "/webhooks/0/name", "value": "another.userquota.dev"}
        after_each_write(api, lambda: cluster.patch(KINDS[0], [without]))
        with pytest.raises(RegistrationError, match=r"lacks mutate\.userquota\.dev: apply the manifests"):
            await cluster.by_service(api).register()

    async def test_without_a_bundle_of_ours_that_of_others_stays(self, api: KubernetesApi, cluster: Cluster) -> None:
        cluster.install()
        others = base64.b64encode(OTHERS).decode()
        cluster.patch(KINDS[0], [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": others}])
        cluster.trust.ca_bundle = b""
        registration = cluster.by_service(api)
        await registration.register()
        assert registration.registered
        assert cluster.bundles()["mutate.userquota.dev"] == OTHERS

    async def test_an_api_server_that_refuses_changes_nothing_about_what_was_seen(
        self, cluster: Cluster, dave: KubernetesApi
    ) -> None:
        cluster.install()
        cluster.grant("get,patch")
        await until(lambda: cluster.may("patch"))
        registration = cluster.by_service(dave)
        await registration.register()
        cluster.withdraw()
        with pytest.raises(ForbiddenError):
            await until_refused(registration)
        assert registration.registered

    async def test_an_emptied_bundle_that_cannot_be_put_back_is_not_registered(
        self, cluster: Cluster, dave: KubernetesApi
    ) -> None:
        await self.lose_the_right_to_write(cluster, registration := cluster.by_service(dave))
        empty = {"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": ""}
        cluster.patch(KINDS[1], [empty])
        with pytest.raises(ForbiddenError):
            await until_refused(registration)
        assert not registration.registered

    async def test_a_second_certificate_that_cannot_be_added_changes_nothing(
        self, cluster: Cluster, dave: KubernetesApi
    ) -> None:
        """The first one still signs what is served: to be out of service would make every call fail."""
        await self.lose_the_right_to_write(cluster, registration := cluster.by_service(dave))
        cluster.trust.ca_bundle = SECOND + BUNDLE
        with pytest.raises(ForbiddenError):
            await until_refused(registration)
        assert registration.registered

    async def lose_the_right_to_write(self, cluster: Cluster, registration: Registration) -> None:
        cluster.install()
        cluster.grant("get,patch")
        await until(lambda: cluster.may("patch"))
        await registration.register()
        cluster.withdraw()
        cluster.grant("get")
        await until(lambda: cluster.may("get") and not cluster.may("patch"))


def after_each_write(api: KubernetesApi, then: Callable[[], None]) -> None:
    """Have *then* happen in the cluster before what *api* wrote is read back."""
    patch = api.patch

    async def patch_then(path: str, body: bytes, **options: Any) -> bytes:
        answer = await patch(path, body, **options)
        await asyncio.to_thread(then)
        return answer

    api.patch = patch_then  # type: ignore[method-assign]


async def until_refused(registration: Registration) -> None:
    """Look until it raises: the API server takes note of a withdrawn right by a watch of its own."""
    for _ in range(100):
        await registration.register()
        await asyncio.sleep(0.05)


class TestCalls:
    async def test_a_service_of_another_name_than_the_certificate_is_told_and_is_not_registered(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        """An overlay that renames the Service leaves every create to fail, if replicas that are ready hide it."""
        cluster.install()
        registration = cluster.by_service(api)
        await registration.register()
        service = "/webhooks/0/clientConfig/service/name"
        cluster.patch(KINDS[1], [{"op": "replace", "path": service, "value": "quota"}])
        cluster.trust.refused["quota.userquota-system.svc"] = "no such name"
        with pytest.raises(RegistrationError) as refusal:
            await registration.register()
        assert str(refusal.value) == "calls of validate.userquota.dev to quota.userquota-system.svc fail: no such name"
        assert not registration.registered
        assert registration.condition().message == f"the webhook configurations are not in place: {refusal.value}"


class TestPath:
    async def test_one_that_was_removed_is_reported_and_put_back(self, api: KubernetesApi, cluster: Cluster) -> None:
        """Without it the API server calls ``/``; it used to end every process."""
        cluster.install()
        registration = cluster.by_service(api, check_seconds=0.1)
        task = asyncio.create_task(registration.keep_registered())
        await until(lambda: registration.registered)
        await asyncio.to_thread(cluster.patch, KINDS[0], [{"op": "remove", "path": PATH}])
        await until(lambda: task.done() or cluster.paths(KINDS[0]) == ["/mutate"])
        assert not task.done()
        task.cancel()
        assert cluster.drifted == [KINDS[0]]

    @pytest.mark.parametrize("options", [pytest.param([], id="client side"), pytest.param(["--server-side"], id="SSA")])
    async def test_after_that_the_manifests_are_applied_without_a_conflict(
        self, api: KubernetesApi, cluster: Cluster, options: list[str]
    ) -> None:
        cluster.install(*options)
        cluster.patch(KINDS[1], [{"op": "remove", "path": PATH}])
        registration = cluster.by_service(api)
        await registration.register()
        cluster.install(*options)
        await registration.register()
        assert cluster.paths(KINDS[1]) == [*["/validate"] * 3, "/advise", "/policy"]
        assert cluster.bundles() == dict.fromkeys(WEBHOOKS, BUNDLE)
        assert cluster.drifted == []

    async def test_one_that_another_manager_changed_stays_and_is_reported_once(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        cluster.install()
        registration = cluster.by_service(api)
        await registration.register()
        cluster.patch(KINDS[1], [{"op": "replace", "path": PATH, "value": "/elsewhere"}])
        for _ in range(2):
            with pytest.raises(RegistrationError) as refusal:
                await registration.register()
        assert str(refusal.value) == (
            f"ValidatingWebhookConfiguration {cluster.name}: another field manager changed the path of "
            "validate.userquota.dev, and userquota does not answer there: "
            "set /validate, or apply the manifests of this version again"
        )
        assert not registration.registered
        assert cluster.paths(KINDS[1]) == ["/elsewhere", "/validate", "/validate", "/advise", "/policy"]
        assert cluster.drifted == [KINDS[1]]

    async def test_a_url_in_the_place_of_the_service_is_reported(self, api: KubernetesApi, cluster: Cluster) -> None:
        await cluster.by_url(api).register()
        with pytest.raises(RegistrationError, match="if it was registered with --advertise-url, delete it and apply"):
            await cluster.by_service(api).register()


class TestBundle:
    async def test_one_of_others_is_reported_at_once_and_removed_after_the_overlap(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        cluster.install()
        registration = cluster.by_service(api)
        await registration.register()
        both = base64.b64encode(BUNDLE + OTHERS).decode()
        cluster.patch(KINDS[0], [{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": both}])
        await registration.register()
        assert cluster.drifted == [KINDS[0]]
        assert cluster.bundles()["mutate.userquota.dev"] == BUNDLE + OTHERS
        cluster.clock.pass_by(OVERLAP_SECONDS + 1)
        await registration.register()
        assert cluster.bundles() == dict.fromkeys(WEBHOOKS, BUNDLE)
        assert cluster.drifted == [KINDS[0]]

    async def test_nothing_is_removed_by_a_replica_that_cannot_read_its_authority(
        self, api: KubernetesApi, cluster: Cluster
    ) -> None:
        """What it does not know may be what the others serve; and it goes on registering."""
        cluster.install()
        await cluster.by_service(api).register()
        cluster.trust.ca_bundle = SECOND
        cluster.trust.error = WebhookError("no right to read the Secret")
        registration = cluster.by_service(api)
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                cluster.clock.pass_by(OVERLAP_SECONDS + 1)
                await registration.register()
        assert cluster.bundles() == dict.fromkeys(WEBHOOKS, SECOND + BUNDLE)
        assert [entry["reason"] for entry in logs if "reason" in entry] == ["no right to read the Secret"]

    async def test_what_every_caBundle_holds_is_handed_on(self, api: KubernetesApi, cluster: Cluster) -> None:  # noqa: N802
        cluster.install()
        registration = cluster.by_service(api)
        await registration.register()
        some = base64.b64encode(OTHERS + BUNDLE).decode()
        cluster.patch(KINDS[0], [{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": some}])
        await registration.register()
        assert cluster.trust.held == [(), (BUNDLE,)]


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
                assert written["failurePolicy"] == ("Ignore" if written["name"] in OPEN else "Fail")
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

    @pytest.mark.parametrize("bundle", [BUNDLE, b""], ids=["a CA of its own", "one that API servers trust anyway"])
    async def test_once_it_is_written_api_servers_may_have_called(
        self, api: KubernetesApi, cluster: Cluster, bundle: bytes
    ) -> None:
        cluster.trust.ca_bundle = bundle
        assert not await cluster.by_url(api).may_have_been_called()

        await cluster.by_url(api).register()

        assert await cluster.by_url(api).may_have_been_called()

    async def test_a_slash_at_the_end_is_not_doubled(self, api: KubernetesApi, cluster: Cluster) -> None:
        await cluster.by_url(api, f"{URL}/").register()
        assert cluster.live(KINDS[0])["webhooks"][0]["clientConfig"]["url"] == f"{URL}/mutate"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param({}, "Object missing required field `metadata`", id="nothing"),
        pytest.param({"kind": "Pod", "metadata": {"name": "p"}}, "its kind is 'Pod'", id="a pod"),
        pytest.param(
            {"kind": KINDS[0], "metadata": {"name": "c"}, "webhooks": [{"name": "w", "clientConfig": {"service": {}}}]},
            "Object missing required field `path` - at `$.webhooks[0].clientConfig.service`",
            id="one without a path",
        ),
    ],
)
def test_what_is_no_configuration_is_told(body: dict[str, Any], problem: str) -> None:
    with pytest.raises(RegistrationError) as refusal:
        read_manifest(body)
    assert str(refusal.value) == f"no manifest of a webhook configuration: {problem}"


class Unkept(ApiServiceBundle):
    """A caBundle of an APIService that cannot be kept while there is a `reason`."""

    reason = "it is somebody else's"

    async def ensure(self, wanted: Sequence[bytes], *, may_remove: bool) -> None:  # noqa: ARG002
        if self.reason:
            raise RegistrationError(self.reason)


async def test_a_bundle_of_the_view_that_is_not_kept_is_told_until_it_is(cluster: Cluster, api: KubernetesApi) -> None:
    cluster.install()
    view, errors = Unkept(api), 0

    def count() -> None:
        nonlocal errors
        errors += 1

    registration = Registration(
        api,
        ServiceForm(cluster.manifests),
        cluster.trust,
        on_drift=cluster.drifted.append,
        on_view_error=count,
        monotonic=cluster.clock.monotonic,
        view=view,
        check_seconds=0.01,
    )
    keeping = asyncio.create_task(registration.keep_registered())
    await until(lambda: errors > 0)
    assert registration.registered
    assert registration.view_condition().message.endswith("is not kept: it is somebody else's")
    view.reason = ""
    await until(lambda: registration.view_condition().ok)
    keeping.cancel()
