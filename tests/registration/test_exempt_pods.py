"""Pods of namespaces that an admin exempts in the live configurations, on a real API server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from localcluster.controlplane import ControlPlane
from tests.fakes import FakeClock
from tests.kube.test_object_list import create_pod
from tests.registration.installed import KINDS, Cluster, FakeTrust, until
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS as CHARGED
from webhook.kube.api import KubernetesApi
from webhook.kube.object_list import ObjectList
from webhook.kube.object_sink import ObjectSink
from webhook.kube.reflector import Reflector
from webhook.quota.reservation import Reservation
from webhook.quota.subject import user
from webhook.quota.usage import UsageIndex
from webhook.registration import Exemptions, Registration, ServiceForm

# There is no such resource, so that the API server calls no webhook and other tests do not wait for one.
NOTHING = [
    {"operations": ["CREATE"], "apiGroups": ["nothing.example"], "apiVersions": ["v1"], "resources": ["nothings"]}
]


def _ignore_settled(reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
    """Nothing is in flight here."""


class Watching:
    """A watch of all pods that leaves out what the live configurations exempt."""

    def __init__(self, api: KubernetesApi, cluster: Cluster) -> None:
        self.index = UsageIndex(lambda account, _: (user(account.payer.owner),))
        self.unadmitted: list[str] = []
        self.exemptions = Exemptions(frozenset(), on_change=lambda: self.pods.relist(anew=True))
        self.sink: ObjectSink[Pod] = ObjectSink(
            PODS,
            self.index,
            exempt=self.exemptions,
            now=lambda: None,
            on_settled=_ignore_settled,
            on_reached=lambda: None,
            on_uncountable=lambda: None,
            on_unadmitted=lambda key: self.unadmitted.append(key.namespace),
        )
        self.pods = Reflector(api, "/api/v1/pods", Pod, self.sink, resource="pods")
        self.listed = ObjectList(api, kinds=CHARGED, exempt=self.exemptions)
        self.registration = Registration(
            api,
            ServiceForm(cluster.manifests),
            FakeTrust(),
            on_drift=lambda _: None,
            on_read=self.exemptions.update,
            monotonic=FakeClock().monotonic,
            check_seconds=0.1,
        )

    def counted(self, *namespaces: str) -> set[str]:
        """Return those of *namespaces* whose pods count."""
        return {path.split("/")[0] for path in self.index.snapshot(PODS.resource)} & {*namespaces}


@pytest.fixture
def namespaces(control_plane: ControlPlane) -> Iterator[tuple[str, str]]:
    """Two namespaces with a pod each that was not admitted."""
    names = f"red-{secrets.token_hex(4)}", f"blue-{secrets.token_hex(4)}"
    for name in names:
        control_plane.create_namespace(name)
        create_pod(control_plane, name, "pod", {})
    yield names
    control_plane.kubectl("delete", "namespace", *names, "--wait=false")


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[Cluster]:
    cluster = Cluster(control_plane)
    for body in cluster.bodies:
        for item in body["webhooks"]:
            item["rules"] = NOTHING
    yield cluster
    cluster.remove()


def exempt(cluster: Cluster, *names: str, kinds: tuple[str, ...] = KINDS) -> None:
    """Have the webhooks of *kinds* leave out the namespaces with these *names*, as an overlay does."""
    selector: dict[str, Any] = {
        "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [*names]}]
    }
    for body in cluster.bodies:
        if body["kind"] in kinds:
            for item in body["webhooks"]:
                item["namespaceSelector"] = selector
    cluster.install()


async def test_pods_count_as_the_live_configurations_say_and_are_listed_anew_when_that_changes(
    api: KubernetesApi, cluster: Cluster, namespaces: tuple[str, str]
) -> None:
    red, blue = namespaces
    await asyncio.to_thread(exempt, cluster, "kube-system", red)
    watching = Watching(api, cluster)
    await watching.registration.wait_until_read()
    assert watching.exemptions.is_known
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(watching.pods.run()), tasks.create_task(watching.registration.keep_registered())]
        await until(lambda: watching.pods.synced)
        assert watching.counted(red, blue) == {blue}
        unadmitted = watching.sink.unadmitted

        await asyncio.to_thread(exempt, cluster, "kube-system", red, blue)
        await until(lambda: watching.counted(red, blue) == set())
        await until(lambda: watching.sink.unadmitted == unadmitted - 1)

        await asyncio.to_thread(exempt, cluster, "kube-system")
        await until(lambda: watching.counted(red, blue) == {red, blue})
        assert {red, blue} <= set(watching.unadmitted)

        await asyncio.to_thread(exempt, cluster, "kube-system", red, kinds=KINDS[:1])
        await until(lambda: not watching.exemptions.condition().ok)
        assert watching.counted(red, blue) == {red, blue}, "one webhook still asks for it"
        stored = (await watching.listed.listing(PODS.resource)).stored
        assert {key.namespace for key in stored} >= {red, blue}
        for task in running:
            task.cancel()
