"""What a policy means for the objects that exist: tables of clusters, and what is said of each."""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec
import pytest
import yaml

from tests.preflight.clusters import NOW, Cluster, over, policy, used
from webhook.cli.preflight_document import document_of
from webhook.kinds.evaluator import UncountableError
from webhook.kinds.registry import KINDS
from webhook.preflight.report import Gap, Unreadable
from webhook.preflight.traces import TracedMeta
from webhook.quota.policy import Mode
from webhook.quota.quantity import NANOS

OVER = {
    "a namespace": (
        "namespaces: {red: {hard: {pods: 1, cpu: 3}}}",
        ["namespaces.red namespace/red pods 2>1 +1 enforce"],
    ),
    "a tenant, by the labels of its namespaces": (
        "tenants: {a: {namespaces: {matchLabels: {team: a}}, hard: {cpu: 1}, perNamespace: {hard: {memory: 1Gi}}}}",
        [
            "tenants.a.perNamespace namespace/red requests.memory 2Gi>1Gi +1Gi enforce",
            "tenants.a tenant/a requests.cpu 1500m>1 +500m enforce",
        ],
    ),
    "the cluster": ("cluster: {hard: {pods: 2}}", ["cluster cluster pods 3>2 +1 enforce"]),
    "the owner of what carries a stamp": (
        "users: {alice: {hard: {cpu: 250m}}}",
        ["users.alice user/alice requests.cpu 500m>250m +250m enforce"],
    ),
    "the default, which does not bind what nobody owns": (
        "defaults: {user: {hard: {pods: 0}}}",
        ["defaults.user user/alice pods 1>0 +1 enforce"],
    ),
    "everything without an owner": (
        "defaults: {unattributed: {hard: {pods: 1}}}",
        ["defaults.unattributed user/system:unattributed pods 2>1 +1 enforce"],
    ),
    "a pool, by the groups of a stamp": (
        "groups: {ml: {pool: {hard: {pods: 0}}}}",
        ["groups.ml.pool group/ml pods 1>0 +1 enforce"],
    ),
    "a scope": (
        "cluster: {scoped: [{scopes: [NotBestEffort], hard: {pods: 1}}]}",
        ["cluster.scoped[0] [NotBestEffort] cluster pods 3>1 +2 enforce"],
    ),
    "nothing at exactly the limit": ("cluster: {hard: {pods: 3}}", []),
    "what is only recorded, after what is enforced": (
        """
cluster: {hard: {pods: 1}, mode: audit}
namespaces: {red: {hard: {pods: 1}, mode: warn}, blue: {hard: {pods: 0}}}
""",
        [
            "namespaces.blue namespace/blue pods 1>0 +1 enforce",
            "namespaces.red namespace/red pods 2>1 +1 warn",
            "cluster cluster pods 3>1 +2 audit",
        ],
    ),
    "no entry that is over": ("cluster: {hard: {pods: 1}, until: 2026-10-31T00:00:00Z}", []),
}


def three_pods(text: str) -> Cluster:
    """Two pods in `red` of 2Gi and 1500m together, one of them alice's of 500m; one in `blue`."""
    cluster = Cluster(text)
    cluster.pod("old")
    cluster.pod("hers", cpu="500m", owner="alice")
    cluster.pod("other", namespace="blue")
    cluster.pod("exempt", namespace="kube-system")
    return cluster


@pytest.mark.parametrize(("text", "expected"), OVER.values(), ids=OVER.keys())
def test_over_a_limit_is(text: str, expected: list[str]) -> None:
    assert over(three_pods(text).report()) == expected


@pytest.mark.parametrize(("mode", "is_fine"), [("enforce", False), ("warn", True), ("audit", True)])
def test_only_an_enforced_limit_speaks_against_it(mode: str, is_fine: bool) -> None:
    sums = three_pods(f"cluster: {{hard: {{pods: 1}}, mode: {mode}}}").report()
    caps = three_pods(f"cluster: {{perPod: {{cpu: 100m}}, mode: {mode}}}").report()
    assert (sums.is_fine, caps.is_fine) == (is_fine, is_fine)


def test_of_a_limit_on_demand_what_commitments_cover_does_not_count() -> None:
    text = """
nodeClasses: {h100: {nodes: {matchLabels: {gpu: h100}}}}
tenants:
  a:
    namespaces: {matchLabels: {team: a}}
    scoped:
      - scopeSelector: {matchExpressions: [{scopeName: NodeClass, operator: In, values: [h100]}]}
        onDemand: true
        hard: {cpu: 4}
commitments:
  c: {tenant: a, nodeClass: h100, amounts: {cpu: 8}}
"""
    cluster = Cluster(text)
    for name, cpu in (("one", 8), ("two", 5), ("elsewhere", 9)):
        selector = {} if name == "elsewhere" else {"nodeSelector": {"gpu": "h100"}}
        containers = [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]
        cluster.add("pods", name, spec={"containers": containers, **selector})
    assert over(cluster.report()) == [
        "tenants.a.scoped[0] [NodeClass In (h100), on demand] tenant/a requests.cpu 5>4 +1 enforce"
    ]


def test_an_entry_ends_at_its_time() -> None:
    text = "cluster: {hard: {pods: 0}, until: 2026-11-01T00:00:00Z}"
    before = Cluster(text, now=NOW - timedelta(microseconds=1))
    before.pod("a")
    assert len(over(before.report())) == 1
    assert over(three_pods(text).report()) == []


def test_every_subject_has_its_exact_use() -> None:
    cluster = three_pods("cluster: {hard: {gpu: 1}}")
    cluster.claim("data", "10Gi")
    limits = {"nvidia.com/mig-3g.40gb": "1"}
    cluster.add(
        "pods", "mig", spec={"containers": [{"name": "c", "resources": {"limits": limits, "requests": limits}}]}
    )
    report = cluster.report()

    assert [each.subject for each in report.standings.usage] == [
        "cluster",
        "namespace/blue",
        "namespace/red",
        "user/alice",
        "user/system:unattributed",
    ]
    assert used(report, "user/alice") == {
        "count/pods": "1",
        "pods": "1",
        "requests.cpu": "500m",
        "requests.memory": "1Gi",
    }
    assert used(report, "namespace/red")["requests.storage"] == "10Gi"
    assert used(report, "cluster")["gpu"] == "3/7"


def test_a_pod_past_the_grace_period_of_its_deletion_costs_what_the_policy_says() -> None:
    deleted = {"deletionTimestamp": "2026-10-31T00:00:00Z", "deletionGracePeriodSeconds": 30}
    for terminating, expected in (("release", {"count/pods": "1"}), ("hold", {"count/pods": "1", "pods": "1"})):
        cluster = Cluster(f"terminating: {terminating}")
        kind = KINDS.of_resource("pods")
        assert kind is not None
        meta = {"name": "x", "namespace": "red", "uid": "u", "resourceVersion": "1", **deleted}
        pod = json.dumps({"metadata": meta, "spec": {"containers": [{"name": "c"}]}})
        item = msgspec.json.decode(pod, type=kind.shape)
        cluster.census.take(kind, item, TracedMeta(name="x", namespace="red", uid="u", resource_version="1"))
        assert used(cluster.report(), "cluster") == expected


def test_objects_above_a_cap_are_counted_and_the_largest_is_named() -> None:
    cluster = Cluster("defaults: {unattributed: {perPod: {cpu: 1}, perClaim: {storage: 5Gi}}}")
    cluster.pod("fits")
    cluster.pod("large", cpu="3")
    cluster.pod("larger", cpu="4")
    cluster.pod("hers", cpu="8", owner="alice")
    cluster.claim("data", "6Gi")

    found = {
        (each.limit.entry, each.count, each.largest_object.name, each.largest)
        for each in cluster.report().standings.above_caps
    }

    assert found == {
        ("defaults.unattributed.perPod", 2, "larger", 4 * NANOS),
        ("defaults.unattributed.perClaim", 1, "data", 6 * 2**30 * NANOS),
    }


def test_a_cap_on_pods_says_nothing_of_claims() -> None:
    cluster = Cluster("cluster: {perPod: {gpu: 1}}")
    request = {
        "name": "r",
        "exactly": {"deviceClassName": "gpu.nvidia.com", "allocationMode": "ExactCount", "count": 2},
    }
    cluster.add("resourceclaims.resource.k8s.io", "two", spec={"devices": {"requests": [request]}})
    report = cluster.report()
    assert (used(report, "cluster")["gpu"], report.standings.above_caps) == ("2", ())


def test_limits_that_are_kept_stand_below_with_the_fullest_first() -> None:
    report = three_pods("cluster: {hard: {pods: 30, cpu: 3, count/pods: 2, gpu: 0}}").report()
    assert [each.limit.resource for each in report.standings.limits] == ["count/pods", "requests.cpu", "pods", "gpu"]


def test_what_cannot_be_counted_is_told_and_counts_as_one() -> None:
    cluster = Cluster()
    broken = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "much"}}}]}
    with pytest.raises(UncountableError, match="cpu"):
        cluster.add("pods", "broken", spec=broken)
    kind = KINDS.of_resource("pods")
    assert kind is not None
    cluster.census.take_unreadable(kind, TracedMeta(name="worse", namespace="red", uid="u", resource_version="7"))
    assert used(cluster.report(), "user/system:unattributed") == {"count/pods": "2", "pods": "2"}


def test_workloads_are_counted_by_number_where_the_policy_limits_it() -> None:
    cluster = Cluster()
    cluster.add("deployments.apps", "web")
    assert used(cluster.report(), "cluster") == {}


def test_an_incomplete_report_says_so_and_a_server_that_is_too_old_speaks_against_it() -> None:
    cluster = three_pods("")
    fatal, other = Gap("Kubernetes v1.29.1", "too old", is_fatal=True), Gap("resource.k8s.io/v1", "not served")
    assert (cluster.report(gaps=[other]).is_fine, cluster.report(gaps=[other, fatal]).is_fine) == (True, False)
    assert not cluster.report(unreadable=[Unreadable("pods", "you may not list pods")]).is_complete


def test_the_document_is_one_value_in_a_stable_order() -> None:
    def document(names: list[str]) -> str:
        cluster = Cluster(
            "defaults: {unattributed: {hard: {pods: 1}}}\ncluster: {hard: {cpu: 1, memory: 1Gi, pods: 2}}"
        )
        for name in names:
            cluster.pod(name, namespace=name, managers=[name])
        return json.dumps(document_of(cluster.report()))

    assert document(["red", "blue", "x"]) == document(["x", "blue", "red"])
    assert list(json.loads(document(["red"]))) == [
        "serverVersion",
        "exemptNamespaces",
        "complete",
        "unreadable",
        "missing",
        "overLimits",
        "aboveCaps",
        "limits",
        "usage",
        "withoutOwner",
        "madeAnew",
        "overLimitsAnew",
        "suggestedPolicy",
        "writers",
        "daemonSets",
        "systemNamespaces",
    ]


def test_the_document_tells_entry_and_place() -> None:
    document = document_of(three_pods("namespaces:\n  red: {hard: {cpu: 1}, mode: warn}").report())
    assert document["overLimits"] == [
        {
            "subject": "namespace/red",
            "entry": "namespaces.red",
            "place": "policy.yaml:3",
            "mode": "warn",
            "resource": "requests.cpu",
            "used": "1500m",
            "limit": "1",
            "over": "500m",
        }
    ]


def test_the_suggested_entry_allows_exactly_what_is_there() -> None:
    cluster = three_pods("")
    cluster.claim("data", "10Gi")
    suggested = document_of(cluster.report())["suggestedPolicy"]
    assert suggested == {
        "defaults": {"unattributed": {"hard": {"pods": "2", "cpu": "2", "memory": "2Gi", "storage": "10Gi"}}}
    }

    text = yaml.safe_dump(suggested)
    followed = three_pods(text)
    followed.claim("data", "10Gi")
    assert over(followed.report()) == []
    assert document_of(followed.report())["suggestedPolicy"] is None  # it has that entry now
    followed.pod("one-more", cpu="1m", memory="1")
    assert len(over(followed.report())) == 3
    entry = policy(text).defaults.unattributed
    assert entry is not None
    assert entry.mode is Mode.ENFORCE
