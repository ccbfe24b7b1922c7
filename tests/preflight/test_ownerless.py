"""The workloads that nobody owns, by the chains of their controllers in memory."""

from __future__ import annotations

from tests.preflight.clusters import Cluster
from webhook.quota.resources import show_list


def found(cluster: Cluster) -> list[tuple[str, str, int, int, str]]:
    wanted = ("requests.cpu", "requests.memory")
    return [
        (each.namespace, each.kind, each.workloads, each.pods, show_list(one for one in each.used if one[0] in wanted))
        for each in cluster.report().ownerless
    ]


def test_a_deployment_stands_for_its_replica_sets_and_pods() -> None:
    cluster = Cluster()
    web = cluster.add("deployments.apps", "web")
    cluster.add("replicasets.apps", "web-old", controller=web)
    new = cluster.add("replicasets.apps", "web-new", controller=web)
    for number in range(3):
        cluster.pod(f"web-new-{number}", controller=new)
    assert found(cluster) == [("red", "Deployment", 1, 3, "requests.cpu=3,requests.memory=3Gi")]


def test_chains_are_found_whatever_is_listed_first() -> None:
    cluster = Cluster()
    job = {"kind": "Job", "name": "nightly-1", "uid": "uid-2"}
    cron_job = {"kind": "CronJob", "name": "nightly", "uid": "uid-3"}
    cluster.pod("nightly-1-x", controller=job)
    cluster.add("jobs.batch", "nightly-1", controller=cron_job)
    cluster.add("cronjobs.batch", "nightly")
    assert found(cluster) == [("red", "CronJob", 1, 1, "requests.cpu=1,requests.memory=1Gi")]


def test_a_controller_that_is_no_workload_is_told_by_its_kind() -> None:
    cluster = Cluster()
    ray = {"kind": "RayCluster", "name": "ray", "uid": "other"}
    cluster.pod("head", controller=ray)
    cluster.pod("worker", controller=ray)
    assert found(cluster) == [("red", "RayCluster", 1, 2, "requests.cpu=2,requests.memory=2Gi")]


def test_what_has_an_owner_is_left_out_and_stands_above_nothing() -> None:
    cluster = Cluster()
    hers = cluster.add("statefulsets.apps", "db", owner="alice")
    cluster.pod("db-0", controller=hers, owner="alice")
    cluster.pod("db-1", controller=hers)  # made past the webhook
    assert found(cluster) == [("red", "Pod", 1, 1, "requests.cpu=1,requests.memory=1Gi")]


def test_a_stamp_that_names_nobody_is_no_owner() -> None:
    cluster = Cluster()
    web = cluster.add("deployments.apps", "web")
    made = cluster.add("replicasets.apps", "web-1", controller=web, owner="system:unattributed")
    cluster.pod("web-1-x", controller=made, owner="system:unattributed")
    assert found(cluster) == [("red", "Deployment", 1, 1, "requests.cpu=1,requests.memory=1Gi")]


def test_the_largest_come_first_and_those_without_pods_last() -> None:
    cluster = Cluster()
    cluster.add("cronjobs.batch", "idle")
    cluster.pod("small", cpu="100m", namespace="blue")
    cluster.pod("large", cpu="2")
    cluster.pod("same", cpu="2")
    assert found(cluster) == [
        ("red", "Pod", 2, 2, "requests.cpu=4,requests.memory=2Gi"),
        ("blue", "Pod", 1, 1, "requests.cpu=100m,requests.memory=1Gi"),
        ("red", "CronJob", 1, 0, ""),
    ]


def test_references_in_a_circle_end() -> None:
    cluster = Cluster()
    cluster.add("jobs.batch", "a", controller={"kind": "Job", "name": "b", "uid": "uid-2"})
    cluster.add("jobs.batch", "b", controller={"kind": "Job", "name": "a", "uid": "uid-1"})
    assert [(each.kind, each.pods) for each in cluster.report().ownerless] == [("Job", 0)]
