"""
A new kind needs one file and one line: everything else follows the registry.

Two are made up here: `widgets`, which are charged by number, and `gadgets`, which have an evaluator of their own
(tests/kinds/gadgets.py).
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Self

import pytest

from localcluster.controlplane import ControlPlane
from tests.admission.asking import Json, Webhook, a_review, request_of, stamped
from tests.fakes import FakeClock
from tests.kinds.gadgets import GADGETS
from tests.ledger.test_audit_loop import until
from webhook.kinds.counted import counted
from webhook.kinds.evaluator import Effect
from webhook.kinds.registry import KINDS, Registry
from webhook.kube.api import KubernetesApi
from webhook.kube.events import EventWriter
from webhook.kube.object_list import ObjectList
from webhook.kube.object_reads import ObjectReads
from webhook.ledger.codec import read_ledger, write_ledger
from webhook.ledger.protocol import Ledger
from webhook.ports import UnavailableError
from webhook.quota import subject
from webhook.quota.objects import ObjectKey
from webhook.quota.quantity import NANOS
from webhook.quota.reservation import Reservation
from webhook.quota.subject import Payer, user
from webhook.quota.tags import Tagging
from webhook.quota.usage import UsageIndex
from webhook.serving.metrics import Metrics
from webhook.wiring.charged_objects import ChargedObjects

MORE = Registry(*KINDS, counted("widgets.example.com", "example.com/v1", "Widget"), GADGETS)

POLICY = "version: 1\ndefaults: {user: {hard: {count/widgets.example.com: 1, cpu: 4}}}\n"


def a_custom_object(kind: str, name: str = "one", **spec: object) -> Json:
    metadata = {"name": name, "namespace": "red", "uid": f"uid-of-{name}", "resourceVersion": "5"}
    return {"apiVersion": "example.com/v1", "kind": kind, "metadata": metadata, "spec": spec}


def creation(kind: str, name: str = "one", **spec: object) -> Json:
    return a_review(f"{kind.lower()}s.example.com", object=a_custom_object(kind, name, **spec))


async def test_objects_are_stamped_counted_and_refused() -> None:
    webhook = Webhook(POLICY, kinds=MORE)

    first = await webhook.ask(creation("Widget"))
    second = await webhook.ask(creation("Widget", "two"))

    assert first.stamp == {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"}
    assert not second.allowed
    assert second.message.startswith(
        "exceeded quota: defaults.user, requested: count/widgets.example.com=1, used: count/widgets.example.com=0, "
        "limited: count/widgets.example.com=1"
    )


async def test_an_evaluator_of_its_own_decides_what_an_object_costs() -> None:
    webhook = Webhook(POLICY, kinds=MORE)

    answers = [await webhook.ask(creation("Gadget", f"g{seats}", seats=seats)) for seats in (3, 2, 1, -1)]

    assert [answer.allowed for answer in answers] == [True, False, True, False]
    assert webhook.held(user("alice"), "requests.cpu") == 4 * NANOS
    assert answers[3].message == "cannot be charged: spec.seats: it must not be negative"


async def test_kinds_share_a_limit() -> None:
    webhook = Webhook(POLICY, kinds=MORE)
    webhook.shows("pod", {"requests.cpu": 3 * NANOS})

    assert not (await webhook.ask(creation("Gadget", seats=2))).allowed
    assert (await webhook.ask(creation("Gadget", seats=1))).allowed


async def test_what_is_in_flight_is_written_down_and_read_again() -> None:
    webhook = Webhook(POLICY, kinds=MORE)
    await webhook.ask(creation("Gadget", seats=2))
    [held] = webhook.index.reservations()

    text = write_ledger(Ledger("e", is_open=True, reservations={"t": held}), uid="u")

    assert read_ledger(text, uid="u").reservations == {"t": held}


def test_a_kind_that_is_not_in_the_registry_is_none_of_ours() -> None:
    assert KINDS.of_resource("widgets.example.com") is None
    assert MORE.of_object("example.com/v2", "Gadget") is GADGETS


def test_no_resource_has_two_kinds() -> None:
    with pytest.raises(ValueError, match="two kinds"):
        Registry(*MORE, GADGETS)


# On a real API server, which serves them as custom resources.


def definition(kind: str) -> Json:
    plural = f"{kind.lower()}s"
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[KubernetesApi]:
    for kind in ("Widget", "Gadget"):
        control_plane.kubectl("apply", "--filename=-", stdin=json.dumps(definition(kind)))
        control_plane.kubectl("wait", "--for=condition=Established", f"crd/{kind.lower()}s.example.com")
    client = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    yield client
    await client.close()
    control_plane.kubectl("delete", "crd", "widgets.example.com", "gadgets.example.com")


def ignore(reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
    """Do nothing: no reservation is made here."""


@dataclass
class Watched:
    """The objects of a registry, watched on a real API server."""

    api: KubernetesApi
    kinds: Registry
    namespace: str

    def __post_init__(self) -> None:
        self.tagging = Tagging()
        self.index = UsageIndex(lambda account, place: (user(account.payer.owner), subject.namespace(place)))
        self.objects = ChargedObjects(
            self.api,
            self.kinds,
            self.index,
            exempt=frozenset(),
            now=lambda: None,
            sessions_of=lambda _: (),
            tagging=self.tagging,
            may_start=lambda: True,
            store_version=ObjectReads(self.api, self.kinds).store_version,
            metrics=Metrics(dict),
            events=EventWriter(self.api, namespace=self.namespace, clock=FakeClock()),
        )
        self.objects.connect(on_settled=ignore, on_reached=lambda: None)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(task()) for task in self.objects.tasks]
        await until(lambda: self.objects.condition().ok)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def count(self, resource: str) -> None:
        """Limit the number of these objects, as a policy does."""
        for kind in self.kinds.count([resource]):
            self.objects.add(kind)


async def test_they_are_watched_listed_and_read(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    async with Watched(api, MORE, namespace) as watched:
        index = watched.index
        stamped = {"annotations": {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"}}
        for document in (a_custom_object("Widget"), a_custom_object("Gadget", seats=3)):
            document["metadata"] = {"name": "one", **stamped}
            control_plane.kubectl("create", "--filename=-", f"--namespace={namespace}", stdin=json.dumps(document))

        await until(lambda: index.used(user("alice"), "requests.cpu") == 3 * NANOS)
        await until(lambda: index.used(user("alice"), "count/widgets.example.com") == NANOS)
        listing = await ObjectList(api, kinds=MORE, exempt=()).listing("gadgets.example.com")
        key = ObjectKey("gadgets.example.com", namespace, "one")
        assert listing.stored[key] == await ObjectReads(api, MORE).version_of(key)
        row = index.row(key)
        assert row is not None
        assert row.payer == Payer("alice")


async def test_a_kind_that_a_policy_limits_later_is_counted_once_all_its_objects_are_known(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    control_plane.kubectl("create", "deployment", "web", "--image=example/x", "--replicas=0", f"-n={namespace}")
    async with Watched(api, Registry(*KINDS), namespace) as watched:
        objects = watched.objects
        watched.count("deployments.apps")

        with pytest.raises(UnavailableError, match=r"the deployments\.apps are not all known yet"):
            objects.require_known("deployments.apps")
        with pytest.raises(UnavailableError, match="not all known"):
            objects.require_known("widgets.example.com")  # not even found yet
        assert objects.condition().ok, "a new limit must stop nothing else"
        assert "deployments.apps" not in objects.resources, "a decision would wait for its watch"
        await until(lambda: "deployments.apps" in objects.resources)
        objects.require_known("deployments.apps")
        assert objects.resources.count("deployments.apps") == 1
        row = watched.index.row(ObjectKey("deployments.apps", namespace, "web"))
        assert row is not None
        assert row.amounts == (("count/deployments.apps", NANOS),)


async def test_other_tags_are_read_of_all_that_is_watched_while_decisions_go_on(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    control_plane.kubectl("create", "deployment", "web", "--image=example/x", "--replicas=0", f"-n={namespace}")
    async with Watched(api, Registry(*KINDS), namespace) as watched:
        objects, key = watched.objects, ObjectKey("deployments.apps", namespace, "web")
        watched.count("deployments.apps")
        await until(lambda: objects.is_known("deployments.apps"))
        assert objects.tagged_condition().ok

        watched.tagging.read_by(["app"])
        assert "deployments.apps" in objects.tagged_condition().message
        objects.relist_all()
        assert objects.is_known("deployments.apps")
        await until(lambda: objects.tagged_condition().ok)

        row = watched.index.row(key)
        assert row is not None
        assert row.tags == (("app", "web"),)


# By number, where a policy says so.

COUNTS = "version: 1\ndefaults: {user: {hard: {count/deployments.apps: 1}}}\n"


def a_deployment(name: str, **spec: Any) -> Json:
    metadata = {"name": name, "namespace": "red", "uid": f"uid-of-{name}", "resourceVersion": "5"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


async def test_a_workload_costs_its_number_where_a_policy_limits_it() -> None:
    limited, free = Webhook(COUNTS), Webhook("version: 1\ndefaults: {user: {hard: {pods: 1}}}\n")

    for webhook in (limited, free):
        assert (await webhook.ask(a_review("deployments.apps", object=a_deployment("first")))).allowed
    refused = await limited.ask(a_review("deployments.apps", object=a_deployment("second")))
    allowed = await free.ask(a_review("deployments.apps", object=a_deployment("second")))

    assert allowed.allowed
    assert refused.message.startswith("exceeded quota: defaults.user, requested: count/deployments.apps=1")
    assert limited.held(user("alice"), "count/deployments.apps") == NANOS
    assert not free.held(user("alice"), "count/deployments.apps")


async def test_a_workload_is_changed_and_scaled_at_its_limit() -> None:
    webhook = Webhook(COUNTS)
    first = await webhook.ask(a_review("deployments.apps", object=a_deployment("first", replicas=1)))
    assert first.object is not None
    scaled = {**first.object, "spec": {"replicas": 9}}

    for sub in ("", "/scale", "/status"):
        review = a_review(f"deployments.apps{sub}", operation="UPDATE", object=scaled, oldObject=first.object)
        assert (await webhook.ask(review)).allowed, sub
    assert webhook.held(user("alice"), "count/deployments.apps") == NANOS


async def test_without_a_policy_nothing_is_said_of_a_kind_that_only_a_policy_names() -> None:
    webhook = Webhook("version: 1\ncluster: {hard: {count/widgets.example.com: 0}}\n")
    started = Webhook()  # while other replicas have asked for such reviews
    started.policies.policy = None

    assert not (await webhook.ask(creation("Widget"))).allowed
    for call in (started.mutate, started.validate):
        with pytest.raises(UnavailableError, match="no policy is loaded yet"):
            await call(request_of(creation("Widget")))


async def test_nobody_creates_more_of_a_kind_before_all_its_objects_are_known() -> None:
    webhook = Webhook("version: 1\ndefaults: {user: {hard: {count/replicasets.apps: 1}}}\n")
    webhook.names.unknown.add("replicasets.apps")
    metadata = {"name": "orphan", "namespace": "red", "uid": "uid-of-orphan", "resourceVersion": "5"}
    old = stamped({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata}, "system:unattributed")
    made_for = webhook.owners.put("Deployment", "web", owner="bob")
    adopted, labelled = copy.deepcopy(old), copy.deepcopy(old)
    adopted["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": made_for.uid, "controller": True}
    ]
    labelled["metadata"]["labels"] = {"a": "b"}
    by = "system:serviceaccount:kube-system:deployment-controller"

    with pytest.raises(UnavailableError, match="not all known yet"):
        await webhook.ask(a_review("replicasets.apps", object=old))
    assert (await webhook.ask(a_review("replicasets.apps", "UPDATE", by, object=adopted, oldObject=old))).allowed
    assert (await webhook.ask(a_review("replicasets.apps", "UPDATE", by, object=labelled, oldObject=old))).allowed


def test_only_kinds_that_cost_nothing_otherwise_become_countable() -> None:
    kinds = Registry(*KINDS)

    new = kinds.count(["deployments.apps", "pods", "widgets.example.com"])

    assert [each.resource for each in new] == ["deployments.apps"]
    assert kinds.count(["deployments.apps"]) == (), "it is charged already"
    assert kinds.of_object("apps/v1", "Deployment") is kinds.of_resource("deployments.apps") is new[0]
    assert KINDS.of_resource("deployments.apps") is not new[0], "other registries stay as they are"


def test_a_kind_without_a_row_is_judged_before_it_is_known_what_it_is() -> None:
    kinds = Registry(*KINDS)

    kinds.count(["widgets.example.com"])

    assert kinds.effect("widgets.example.com", "CREATE", "") is Effect.CHARGE
    assert kinds.of_object("example.com/v1", "Widget") is None
    kinds.add(found := counted("widgets.example.com", "example.com/v1", "Widget"))
    assert kinds.of_object("example.com/v1", "Widget") is kinds.of_resource("widgets.example.com") is found


@pytest.mark.parametrize("resource", ["deployments.apps", "widgets.example.com", "pods"])
def test_any_number_may_be_limited_but_not_in_scopes_that_its_objects_are_never_in(resource: str) -> None:
    assert KINDS.counts(f"count/{resource}")
    assert KINDS.counts(f"count/{resource}", scopes=["BestEffort"]) is (resource == "pods")
