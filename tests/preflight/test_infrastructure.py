"""DaemonSets and namespaces that the webhook would bind, and the programs that wrote what exists."""

from __future__ import annotations

from tests.preflight.clusters import Cluster
from webhook.preflight.infrastructure import SystemNamespace
from webhook.preflight.writers import Writer
from webhook.quota.quantity import NANOS


def test_a_daemon_set_of_more_nodes_than_a_default_allows_pods_is_named() -> None:
    cluster = Cluster("defaults: {user: {hard: {pods: 30}}, serviceAccount: {hard: {pods: 20, count/pods: 25}}}")
    cluster.add("daemonsets.apps", "agent", status={"desiredNumberScheduled": 26})
    cluster.add("daemonsets.apps", "fits", status={"desiredNumberScheduled": 20})
    cluster.add("daemonsets.apps", "new")
    cluster.add("daemonsets.apps", "exempt", namespace="kube-system", status={"desiredNumberScheduled": 99})

    found = [
        (each.name, each.nodes, [(one.entry, one.resource, one.hard // NANOS) for one in each.above])
        for each in cluster.report().daemon_sets
    ]

    assert found == [
        ("agent", 26, [("defaults.serviceAccount", "count/pods", 25), ("defaults.serviceAccount", "pods", 20)]),
        ("fits", 20, []),
        ("new", 0, []),
    ]


def test_an_unlimited_default_and_one_that_is_over_bind_no_daemon_set() -> None:
    cluster = Cluster(
        "defaults: {user: {hard: {pods: unlimited}}, "
        "serviceAccount: {hard: {pods: 1}, until: 2026-01-01T00:00:00Z}, unattributed: {hard: {pods: 1}}}"
    )
    cluster.add("daemonsets.apps", "agent", status={"desiredNumberScheduled": 5})
    assert [each.above for each in cluster.report().daemon_sets] == [()]


def test_a_default_of_pods_in_the_catalogue_is_one_of_people() -> None:
    cluster = Cluster("resources: {pods: {default: 3}}")
    cluster.add("daemonsets.apps", "agent", status={"desiredNumberScheduled": 5})
    assert [[one.entry for one in each.above] for each in cluster.report().daemon_sets] == [["resources.pods"]]


def test_namespaces_of_the_system_that_are_not_exempt_are_told() -> None:
    names = ("kube-system", "kube-public", "openshift-dns", "calico-system", "red", "kubeflow")
    cluster = Cluster(labels={name: {} for name in names})
    cluster.pod("typha", namespace="calico-system")
    assert cluster.report().system_namespaces == (
        SystemNamespace("calico-system", 1),
        SystemNamespace("kube-public", 0),
        SystemNamespace("openshift-dns", 0),
    )


def test_field_managers_are_counted_once_for_an_object_and_not_for_its_status() -> None:
    cluster = Cluster()
    web = cluster.add(
        "deployments.apps", "web", managers=["argocd-controller", "argocd-controller", "kube-controller-manager/status"]
    )
    cluster.add("replicasets.apps", "web-1", controller=web, managers=["kube-controller-manager"])
    cluster.pod("mine", managers=["kubectl-run", "kubelet/status"])
    cluster.pod("other", managers=["argocd-controller"])
    cluster.claim("data", "1Gi", managers=["provisioner"])
    cluster.pod("exempt", managers=["helm"], namespace="kube-system")
    assert cluster.report().writers == (
        Writer("argocd-controller", 2, 2),
        Writer("kubectl-run", 1, 1),
        Writer("kube-controller-manager", 1, 0),
    )
