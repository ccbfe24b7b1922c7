"""What others change in our webhook configurations is told, and written back where that is asked for."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localcluster.controlplane import ControlPlane
from tests.registration.installed import BUNDLE, KINDS, OTHERS, Cluster, until
from webhook.kube.api import ForbiddenError, KubernetesApi
from webhook.registration import CountedResources, Registration, ServiceForm, UrlForm, watches
from webhook.registration.fields import STANDS_SECONDS

MUTATING, VALIDATING = KINDS
IGNORED = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
NARROWED: list[dict[str, Any]] = [
    {"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["DELETE"]},
    {"op": "add", "path": "/webhooks/0/matchConditions/-", "value": {"name": "never", "expression": "false"}},
    {"op": "replace", "path": "/webhooks/0/objectSelector", "value": {"matchLabels": {"quota": "yes"}}},
    {"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 1},
]


def told_of(cluster: Cluster, api: KubernetesApi, told: list[str], *, repairs: bool, url: str = "") -> Registration:
    return Registration(
        api,
        UrlForm(cluster.manifests, url) if url else ServiceForm(cluster.manifests),
        cluster.trust,
        on_drift=cluster.drifted.append,
        counted=lambda: cluster.counted,
        monotonic=cluster.clock.monotonic,
        repairs=repairs,
        on_change=told.append,
    )


async def test_what_others_change_is_told_once_and_left_alone(api: KubernetesApi, cluster: Cluster) -> None:
    cluster.install()
    told: list[str] = []
    registration = told_of(cluster, api, told, repairs=False)
    await registration.register()
    assert (told, registration.fields_condition().ok) == ([], True)
    cluster.patch(VALIDATING, IGNORED)
    for _ in range(2):
        cluster.clock.seconds += STANDS_SECONDS
        await registration.register()
    line = (
        "the webhook configurations are not those of this version: "
        f"ValidatingWebhookConfiguration {cluster.name}, validate.userquota.dev: failurePolicy is Ignore, not Fail"
    )
    assert told == [line]
    condition = registration.fields_condition()
    assert (condition.ok, condition.reason, condition.message) == (False, "registration-drift", line)
    assert registration.registered  # it is called all the same
    assert cluster.live(VALIDATING)["webhooks"][0]["failurePolicy"] == "Ignore"
    cluster.install()
    await registration.register()
    assert registration.fields_condition().ok


async def test_what_others_change_is_written_back_once_it_has_stood(api: KubernetesApi, cluster: Cluster) -> None:
    cluster.install()
    told: list[str] = []
    registration = told_of(cluster, api, told, repairs=True)
    await registration.register()
    before = {kind: cluster.live(kind)["webhooks"] for kind in KINDS}
    cluster.patch(VALIDATING, [*IGNORED, *NARROWED])
    cluster.patch(MUTATING, [{"op": "remove", "path": "/webhooks/0/reinvocationPolicy"}])
    await registration.register()
    assert cluster.live(VALIDATING)["webhooks"] != before[VALIDATING]
    cluster.clock.seconds += STANDS_SECONDS
    await registration.register()
    assert {kind: cluster.live(kind)["webhooks"] for kind in KINDS} == before
    assert len(told) == 1
    assert "; and 1 more" in told[0]
    generation = cluster.live(VALIDATING)["metadata"]["generation"]
    cluster.clock.seconds += STANDS_SECONDS
    await registration.register()
    assert cluster.live(VALIDATING)["metadata"]["generation"] == generation
    assert registration.fields_condition().ok


async def test_what_cannot_be_written_back_keeps_no_webhook_of_a_counted_kind_away(
    api: KubernetesApi, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another admission plugin may refuse the write, at every look."""
    cluster.install()
    registration = told_of(cluster, api, [], repairs=True)
    await registration.register()
    cluster.patch(VALIDATING, IGNORED)
    await registration.register()
    cluster.clock.seconds += STANDS_SECONDS
    patch = api.patch

    async def refused(path: str, body: bytes, **options: Any) -> bytes:
        if options["content_type"] == "application/json-patch+json":
            raise ForbiddenError("refused", request=path, status=403)
        return await patch(path, body, **options)

    monkeypatch.setattr(api, "patch", refused)
    cluster.counted = CountedResources(required=frozenset({"services"}))
    await registration.register()
    assert registration.registered
    assert not registration.fields_condition().ok
    assert "counts.validate.userquota.dev" in [each["name"] for each in cluster.live(VALIDATING)["webhooks"]]


async def test_namespaces_that_an_administrator_exempts_stay_exempt(api: KubernetesApi, cluster: Cluster) -> None:
    """What nodes need to start may be in one of them."""
    values = ["kube-system", "userquota-system"]
    selector = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": values}]}
    for manifest in cluster.manifests:
        for webhook in manifest.body["webhooks"]:
            webhook["namespaceSelector"] = {**selector, "matchLabels": {"kubernetes.io/metadata.name": "nowhere"}}
    cluster.install()
    registration = told_of(cluster, api, [], repairs=True)
    path = "/webhooks/0/namespaceSelector"
    changed = [{**selector["matchExpressions"][0], "values": ["kube-system", "kube-flannel"]}]
    cluster.patch(VALIDATING, [{"op": "replace", "path": path, "value": {"matchExpressions": changed}}])
    for _ in range(2):
        await registration.register()
        cluster.clock.seconds += STANDS_SECONDS
    live = cluster.live(VALIDATING)["webhooks"][0]["namespaceSelector"]
    assert live["matchExpressions"][0]["values"] == ["kube-system", "userquota-system", "kube-flannel"]
    assert live["matchLabels"] == {"kubernetes.io/metadata.name": "nowhere"}


async def test_a_configuration_that_was_deleted_is_told_once(api: KubernetesApi, cluster: Cluster) -> None:
    cluster.install()
    told: list[str] = []
    registration = told_of(cluster, api, told, repairs=True)
    await registration.register()
    cluster.control_plane.kubectl("delete", VALIDATING, cluster.name)
    for _ in range(2):
        await until_it_fails(registration)
    assert told == [f"ValidatingWebhookConfiguration {cluster.name} is not in the cluster: apply the manifests"]
    cluster.install()
    await registration.register()
    assert registration.registered


async def test_fields_under_a_url_are_told_and_written_back_too(api: KubernetesApi, cluster: Cluster) -> None:
    told: list[str] = []
    registration = told_of(cluster, api, told, repairs=True, url="https://192.0.2.1:8443/hooks")
    await registration.register()
    cluster.patch(VALIDATING, IGNORED)
    await registration.register()
    cluster.clock.seconds += STANDS_SECONDS
    await registration.register()
    assert len(told) == 1
    assert cluster.live(VALIDATING)["webhooks"][0]["failurePolicy"] == "Fail"


async def until_it_fails(registration: Registration) -> None:
    try:
        await registration.register()
    except Exception:  # noqa: BLE001 - which one it is: see `told`
        return
    raise AssertionError("it is registered")


@asynccontextmanager
async def watching(cluster: Cluster, api: KubernetesApi) -> AsyncIterator[Registration]:
    """Keep registered with the watches, and without a regular look for as long as a test takes."""
    registration = cluster.by_service(api, check_seconds=600)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(registration.keep_registered())]
        tasks += [group.create_task(each.run()) for each in watches(api, cluster.manifests, registration.wake)]
        yield registration
        for task in tasks:
            task.cancel()


async def test_an_emptied_bundle_is_put_back_as_soon_as_the_watch_shows_it(
    api: KubernetesApi, cluster: Cluster
) -> None:
    """Within 5 seconds, as often as it happens: the regular look comes only every 30."""
    cluster.install()
    empty = [{"op": "replace", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": ""} for index in range(5)]
    async with watching(cluster, api):
        for _ in range(3):
            async with asyncio.timeout(5):
                await until(lambda: set(cluster.bundles().values()) == {BUNDLE})
            await asyncio.to_thread(cluster.patch, VALIDATING, empty)


async def test_a_program_that_writes_what_we_write_is_answered_once_a_second(
    api: KubernetesApi, cluster: Cluster, control_plane: ControlPlane
) -> None:
    cluster.install()
    config = {"caBundle": base64.b64encode(OTHERS).decode()}
    other = json.dumps({"webhooks": [{"name": "validate.userquota.dev", "clientConfig": config}]})
    async with watching(cluster, api):
        await asyncio.to_thread(until_bundled, cluster)
        before = cluster.live(VALIDATING)["metadata"]["generation"]
        loop = asyncio.get_running_loop()
        begun, written = loop.time(), 0
        while loop.time() - begun < 4:
            await asyncio.to_thread(
                control_plane.kubectl, "patch", VALIDATING, cluster.name, "--type=strategic", f"--patch={other}"
            )
            written += 1
        ours = cluster.live(VALIDATING)["metadata"]["generation"] - before - written
        assert ours <= 6


def until_bundled(cluster: Cluster) -> None:
    while set(cluster.bundles().values()) != {BUNDLE}:
        pass
