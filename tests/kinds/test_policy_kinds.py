"""The kinds of each new policy: found, watched and intercepted in this order, or told with the reason."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tests.fakes import FakePolicies
from tests.ledger.test_audit_loop import until
from webhook.kinds.autoscalers import AUTOSCALERS, AutoscalerEvaluator, Scaled
from webhook.kinds.counted import counted
from webhook.kinds.evaluator import AnyKind, Effect
from webhook.kinds.pods import PodEvaluator
from webhook.kinds.registry import KINDS, Registry
from webhook.kinds.session_kind import SessionEvaluator
from webhook.kube.discovery import UnsuitableKindError
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectKey, OwnerReference
from webhook.quota.policy import Policy
from webhook.registration import CountedResources
from webhook.wiring.policy_kinds import PolicyKinds

SERVICES = counted("services", "v1", "Service")


class Workloads:
    """The workloads that autoscalers scale."""

    def __init__(self) -> None:
        self.known: dict[ObjectKey, Scaled] = {}
        self.followed: list[Policy] = []
        self.is_complete = False

    def follow(self, policy: Policy) -> None:
        self.followed.append(policy)

    def unknown(self) -> list[str]:
        return [] if self.is_complete else ["deployments.apps"]


class Cluster:
    """What the API serves, what is watched, and whose objects are all known."""

    def __init__(self) -> None:
        self.served: dict[str, AnyKind] = {}
        self.error: Exception = UnsuitableKindError("the API serves no such kind")
        self.watched: list[str] = []
        self.known: set[str] = set()
        self.told = 0
        self.unsuitable: list[tuple[str, str]] = []
        self.kinds = Registry(*KINDS)
        self.pods = PodEvaluator()
        self.recounted: list[str] = []
        self.relists = 0
        self.gone: set[str] = set()
        self.workloads = Workloads()
        self.counted = PolicyKinds(self.kinds, self.pods, discover=self.discover, workloads=self.workloads)
        self.counted.connect(self, on_known=self.hear)
        self.counted.report_to(lambda entry, why: self.unsuitable.append((entry.path, why)))

    def add(self, kind: AnyKind) -> None:
        self.watched.append(kind.resource)

    def is_known(self, resource: str) -> bool:
        return resource in self.known

    def is_removed_from_api(self, resource: str) -> bool:
        return resource in self.gone

    def recount(self, resource: str) -> None:
        self.recounted.append(resource)

    def relist_all(self) -> None:
        self.relists += 1

    async def discover(self, resource: str) -> AnyKind:
        if resource not in self.served:
            raise self.error
        return self.served[resource]

    def hear(self) -> None:
        self.told += 1

    def limit(self, *resources: str) -> None:
        hard = ", ".join(f"count/{each}: 1" for each in resources)
        self.counted.limit(FakePolicies.reading(f"version: 1\ncluster: {{hard: {{{hard}}}}}\n").current())

    def read(self, sessions: str) -> None:
        self.counted.limit(FakePolicies.reading(f"version: 1\nsessions: {sessions}\n").current())


AUTOSCALED = counted(AUTOSCALERS, "autoscaling/v2", "HorizontalPodAutoscaler")
NOTEBOOKS = counted("notebooks.kubeflow.org", "kubeflow.org/v1", "Notebook")
RAY = counted("rayclusters.ray.io", "ray.io/v1", "RayCluster")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster()
    task = asyncio.create_task(cluster.counted.run())
    yield cluster
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_kind_is_intercepted_only_once_all_its_objects_are_known(cluster: Cluster) -> None:
    cluster.served["services"] = SERVICES

    cluster.limit("services")

    assert cluster.kinds.effect("services", "CREATE", "") is Effect.CHARGE, "others may have registered it already"
    await until(lambda: cluster.watched == ["services"])
    assert cluster.kinds.of_resource("services") is SERVICES
    assert cluster.counted.resources() == CountedResources(kept=frozenset({"services"}))
    assert cluster.counted.condition().message == (
        "count/services (cluster at policy.yaml:2): not all objects are known yet: "
        "userquota has to list and watch them, and allows no other before"
    )
    told = cluster.told

    cluster.known.add("services")

    await until(lambda: cluster.told > told)
    assert cluster.counted.resources() == CountedResources(frozenset({"services"}), frozenset({"services"}))
    assert cluster.counted.condition().ok


async def test_before_a_policy_is_known_nothing_is_said_of_what_has_to_be_intercepted(cluster: Cluster) -> None:
    assert cluster.counted.resources() is None

    cluster.limit("pods")

    assert cluster.counted.resources() == CountedResources()


async def test_what_has_a_row_is_watched_at_once_and_is_none_of_the_rules(cluster: Cluster) -> None:
    cluster.limit("deployments.apps", "pods")

    assert cluster.watched == ["deployments.apps"]
    assert cluster.counted.resources() == CountedResources()
    assert cluster.counted.condition().message == (
        "count/deployments.apps (cluster at policy.yaml:2): not all objects are known yet: "
        "userquota has to list and watch them, and allows no other before"
    )
    cluster.known.add("deployments.apps")
    assert cluster.counted.condition().ok


async def test_what_cannot_be_counted_is_told_until_no_policy_limits_it(cluster: Cluster) -> None:
    cluster.limit("gizmos.example.com", "bindings")

    await until(lambda: cluster.counted.condition().message.count("no such kind") == 2)

    assert cluster.counted.condition().message == (
        "count/bindings (cluster at policy.yaml:2): the API serves no such kind; the limit has no effect; "
        "count/gizmos.example.com (cluster at policy.yaml:2): the API serves no such kind; the limit has no effect"
    )
    assert sorted(cluster.unsuitable) == [
        ("cluster", f"cluster.hard[count/{each}]: the API serves no such kind; the limit has no effect")
        for each in ("bindings", "gizmos.example.com")
    ]
    cluster.limit("bindings")
    assert "gizmos" not in cluster.counted.condition().message
    cluster.limit("pods")
    assert cluster.counted.condition().ok


@pytest.mark.parametrize("error", [UnsuitableKindError("no such kind"), UnavailableError("api-server", "no answer")])
async def test_a_kind_is_looked_for_again(cluster: Cluster, error: Exception) -> None:
    cluster.error = error
    cluster.limit("services")
    await until(lambda: str(error) in cluster.counted.condition().message)
    cluster.served["services"] = SERVICES

    cluster.limit("services")  # as after half a minute

    await until(lambda: cluster.watched == ["services"])
    assert str(error) not in cluster.counted.condition().message


async def test_a_limit_that_is_gone_asks_for_no_rule_and_comes_back_without_another_watch(cluster: Cluster) -> None:
    cluster.served["services"] = SERVICES
    cluster.known.add("services")
    cluster.limit("services")
    await until(lambda: cluster.watched == ["services"])

    cluster.limit("pods")
    assert cluster.counted.resources() == CountedResources()
    cluster.limit("services")

    assert cluster.counted.resources() == CountedResources(frozenset({"services"}), frozenset({"services"}))
    await asyncio.sleep(0.05)
    assert cluster.watched == ["services"]


def evaluator_of(cluster: Cluster, resource: str) -> SessionEvaluator:
    kind = cluster.kinds.of_resource(resource)
    assert kind is not None
    assert isinstance(kind.evaluator, SessionEvaluator)
    return kind.evaluator


async def test_what_a_preset_reads_is_a_session_with_makers(cluster: Cluster) -> None:
    cluster.served[NOTEBOOKS.resource] = NOTEBOOKS

    cluster.read("{presets: [kubeflow-notebook]}")

    await until(lambda: cluster.watched == [NOTEBOOKS.resource])
    kind = cluster.kinds.of_resource(NOTEBOOKS.resource)
    assert kind is not None
    assert kind.cap == "perSession"
    assert kind.makers == {"system:serviceaccount:kubeflow:notebook-controller-service-account"} <= cluster.kinds.makers
    reference = OwnerReference("kubeflow.org/v1", "Notebook", "n", "u", controller=True)
    assert cluster.kinds.is_session(reference)
    cluster.known.add(NOTEBOOKS.resource)
    assert cluster.counted.resources() == CountedResources(
        frozenset({NOTEBOOKS.resource}), frozenset({NOTEBOOKS.resource}), frozenset({NOTEBOOKS.resource})
    )


async def test_sessions_are_awaited_until_they_are_looked_up(cluster: Cluster) -> None:
    cluster.error = UnavailableError("unreachable", "no answer")

    cluster.read("{presets: [kubeflow-notebook, raycluster]}")

    assert set(cluster.kinds.awaited) == {"notebooks.kubeflow.org", "rayclusters.ray.io"}
    notebook = OwnerReference(api_version="kubeflow.org/v1beta1", kind="Notebook", name="n", uid="u")
    assert cluster.kinds.awaits(notebook)
    cluster.served["notebooks.kubeflow.org"] = NOTEBOOKS
    cluster.error = UnsuitableKindError("the API serves no such kind")
    cluster.read("{presets: [kubeflow-notebook, raycluster]}")
    await until(lambda: set(cluster.kinds.awaited) == {"rayclusters.ray.io"})
    assert not cluster.kinds.awaits(notebook)
    await until(lambda: cluster.kinds.unserved == {"rayclusters.ray.io"})
    ray = OwnerReference(api_version="ray.io/v1", kind="RayCluster", name="r", uid="u")
    assert not cluster.kinds.awaits(ray), "nothing has such a controller"
    assert "rayclusters.ray.io" in cluster.kinds.awaited, "who asks about one knows that it is served by now"


async def test_pods_that_are_sessions_are_counted_anew_when_that_changes(cluster: Cluster) -> None:
    cluster.read("{presets: [jupyterhub]}")
    assert cluster.recounted == ["pods"]
    assert [each.name for each in cluster.pods.presets] == ["jupyterhub"]
    cluster.counted.require_sessions()

    cluster.read("{presets: [jupyterhub], count: running}")
    assert cluster.recounted == ["pods"]
    cluster.read("{presets: []}")
    assert cluster.recounted == ["pods", "pods"]


async def test_a_preset_of_a_kind_that_is_not_served_is_told_as_such(cluster: Cluster) -> None:
    cluster.read("{presets: [kubeflow-notebook]}")
    message = (
        "sessions.presets kubeflow-notebook (notebooks.kubeflow.org): the API serves no such kind; that has no effect"
    )
    await until(lambda: cluster.counted.condition().message == message)


async def test_sessions_are_counted_anew_when_they_are_read_otherwise(cluster: Cluster) -> None:
    cluster.served[NOTEBOOKS.resource] = NOTEBOOKS
    cluster.read("{presets: [kubeflow-notebook]}")
    await until(lambda: cluster.watched == [NOTEBOOKS.resource])
    first = evaluator_of(cluster, NOTEBOOKS.resource)
    generations = [first.generation]

    for sessions in (
        "{presets: [kubeflow-notebook]}",
        "{presets: [kubeflow-notebook], count: running}",
        "{presets: [{preset: kubeflow-notebook, controllers: [other/account]}], count: running}",
        "{presets: []}",
    ):
        cluster.read(sessions)
        generations.append(first.generation)

    assert generations == [1, 1, 2, 3, 4]
    assert cluster.recounted == [NOTEBOOKS.resource] * 3
    assert evaluator_of(cluster, NOTEBOOKS.resource) is first
    kind = cluster.kinds.of_resource(NOTEBOOKS.resource)
    assert kind is not None
    assert kind.makers == frozenset()


async def test_what_was_limited_by_number_becomes_a_session_when_a_preset_reads_it(cluster: Cluster) -> None:
    cluster.served[NOTEBOOKS.resource] = NOTEBOOKS
    cluster.known.add(NOTEBOOKS.resource)
    cluster.limit(NOTEBOOKS.resource)
    await until(lambda: cluster.watched == [NOTEBOOKS.resource])

    cluster.read("{presets: [kubeflow-notebook]}")

    with pytest.raises(UnavailableError, match=r"the notebooks\.kubeflow\.org are not all known yet"):
        cluster.counted.require_sessions()
    await until(lambda: cluster.watched == [NOTEBOOKS.resource] * 2)
    assert evaluator_of(cluster, NOTEBOOKS.resource).reads_sessions
    cluster.counted.require_sessions()


async def test_a_definition_that_is_deleted_stops_no_other_sessions(cluster: Cluster) -> None:
    cluster.served |= {NOTEBOOKS.resource: NOTEBOOKS, RAY.resource: RAY}
    cluster.known |= {NOTEBOOKS.resource, RAY.resource}
    cluster.read("{presets: [kubeflow-notebook, raycluster]}")
    await until(lambda: len(cluster.watched) == 2)
    cluster.counted.require_sessions()

    cluster.known.remove(RAY.resource)
    with pytest.raises(UnavailableError, match=r"the rayclusters\.ray\.io are not all known yet"):
        cluster.counted.require_sessions()
    cluster.gone.add(RAY.resource)
    cluster.counted.require_sessions()


async def test_another_set_of_kinds_counts_all_sessions_anew(cluster: Cluster) -> None:
    """One may be part of another: a RayCluster of a RayJob, as long as a RayJob is a session."""
    cluster.served |= {NOTEBOOKS.resource: NOTEBOOKS, RAY.resource: RAY}
    cluster.read("{presets: [kubeflow-notebook]}")
    await until(lambda: cluster.watched == [NOTEBOOKS.resource])
    first = evaluator_of(cluster, NOTEBOOKS.resource).generation

    cluster.read("{presets: [kubeflow-notebook, raycluster]}")
    await until(lambda: cluster.watched == [NOTEBOOKS.resource, RAY.resource])
    assert evaluator_of(cluster, NOTEBOOKS.resource).generation == first + 2  # by the policy, and once it was found
    cluster.read("{presets: [kubeflow-notebook]}")

    assert evaluator_of(cluster, NOTEBOOKS.resource).generation == first + 3
    reference = OwnerReference("ray.io/v1", "RayCluster", "n", "u", controller=True)
    assert not cluster.kinds.is_session(reference)


async def test_a_session_waits_until_those_of_all_kinds_are_known(cluster: Cluster) -> None:
    cluster.served[NOTEBOOKS.resource] = NOTEBOOKS
    cluster.error = UnavailableError("api-server", "it does not answer")
    cluster.read("{presets: [kubeflow-notebook, raycluster]}")
    await until(lambda: cluster.watched == [NOTEBOOKS.resource])

    with pytest.raises(UnavailableError, match=r"the notebooks\.kubeflow\.org are not all known yet"):
        cluster.counted.require_sessions()
    cluster.known.add(NOTEBOOKS.resource)
    with pytest.raises(UnavailableError, match=r"the rayclusters\.ray\.io are not all known yet"):
        cluster.counted.require_sessions()
    cluster.error = UnsuitableKindError("the API serves no such kind")
    cluster.read("{presets: [kubeflow-notebook, raycluster], count: running}")
    await asyncio.sleep(0.05)
    cluster.counted.require_sessions()


async def test_autoscalers_are_watched_with_what_they_scale_once_room_is_set_aside(cluster: Cluster) -> None:
    cluster.served[AUTOSCALERS] = AUTOSCALED
    reserving = FakePolicies.reading("version: 1\nreserve: [autoscalers]\n").current()
    cluster.counted.require_autoscalers()

    cluster.counted.limit(reserving)

    assert cluster.workloads.followed == [reserving]
    assert cluster.recounted == ["pods"], "each tells now of which workload it is"
    await until(lambda: cluster.watched == [AUTOSCALERS])
    kind = cluster.kinds.of_resource(AUTOSCALERS)
    assert kind is not None
    assert isinstance(kind.evaluator, AutoscalerEvaluator)
    assert kind.evaluator.reserves
    why = "the workloads that are autoscaled (deployments.apps) are not all known yet"
    with pytest.raises(UnavailableError, match=re.escape(why)):
        cluster.counted.require_autoscalers()
    assert f"reserve: autoscalers: {why}, and nothing may cost more before" in cluster.counted.condition().message
    cluster.workloads.is_complete = True
    with pytest.raises(UnavailableError, match="horizontalpodautoscalers"):
        cluster.counted.require_autoscalers()
    assert "reserve: autoscalers (horizontalpodautoscalers.autoscaling)" in cluster.counted.condition().message
    cluster.known.add(AUTOSCALERS)
    cluster.counted.require_autoscalers()
    assert cluster.counted.condition().ok
    both = frozenset({AUTOSCALERS})
    assert cluster.counted.resources() == CountedResources(both, both, changing=both)

    cluster.counted.limit(FakePolicies.reading("version: 1\n").current())

    assert not kind.evaluator.reserves
    assert cluster.recounted == ["pods", "pods", AUTOSCALERS]
    assert cluster.counted.resources() == CountedResources()


async def test_sessions_are_read_with_what_they_may_grow_to_once_room_is_set_aside(cluster: Cluster) -> None:
    cluster.served[RAY.resource] = RAY
    cluster.read("{presets: [raycluster]}")
    await until(lambda: cluster.watched == [RAY.resource])
    evaluator = evaluator_of(cluster, RAY.resource)
    generation = evaluator.generation

    cluster.counted.limit(
        FakePolicies.reading("version: 1\nreserve: [sessions]\nsessions: {presets: [raycluster]}\n").current()
    )

    assert evaluator.generation > generation
    assert cluster.recounted == [RAY.resource]
    cluster.counted.require_autoscalers()


async def test_other_tags_are_read_of_all_objects_and_nothing_is_counted_anew(cluster: Cluster) -> None:
    def follow(text: str) -> tuple[tuple[str, ...], int]:
        cluster.counted.limit(FakePolicies.reading(f"version: 1\n{text}\n").current())
        return cluster.counted.tagging.keys, cluster.relists

    assert follow("tags: [team]") == (("team",), 1)
    assert follow("tags: [team]\nterminating: hold") == (("team",), 1)
    assert follow("tags: [team, app]") == (("team", "app"), 2)
    assert follow("") == ((), 3)
    assert cluster.recounted == []
