"""Who would pay for what nobody owns: answered by the code of the request path, over a census."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.preflight.clusters import Cluster, over
from webhook.preflight.report import Report
from webhook.quota.resources import show

OWNERS = "attribution: {namespaceOwners: [{preset: openshift}]}\n"
HUB = "system:serviceaccount:hub:api"
DELEGATE = "{serviceAccount: hub/api, sessions: true, never: [admin]}"
SESSIONS = "sessions: {presets: [{preset: kubeflow-notebook, controllers: [kubeflow/notebooks]}]}\n"
OF_CAROL = {"red": {"openshift.io/requester": "carol"}}
CREATOR = "notebooks.kubeflow.org/creator"
BY_HUB = f"named by {HUB} in annotation {CREATOR}"


def notebook(cluster: Cluster, name: str, creator: str = "", **more: Any) -> Mapping[str, str]:
    container = {"name": "main", "resources": {"requests": {"cpu": "3"}}}
    return cluster.add(
        "notebooks.kubeflow.org",
        name,
        annotations={CREATOR: creator} if creator else {},
        spec={"template": {"spec": {"containers": [container]}}},
        **more,
    )


def told(report: Report) -> list[tuple[str, str, str, str, int, str]]:
    """Return kind, maker, payer, reason, number and cpu of each row."""
    return [
        (
            each.kind,
            each.made_by,
            "refused" if each.is_refused else each.payer,
            each.found_by[0],
            each.objects,
            show("requests.cpu", dict(each.used).get("requests.cpu", 0)),
        )
        for each in report.anew
    ]


def with_a_deployment(text: str, annotations: Mapping[str, Mapping[str, str]]) -> Cluster:
    """Have a Deployment with two pods of one core each."""
    cluster = Cluster(text, annotations=annotations)
    made = cluster.add("replicasets.apps", "web-1", controller=cluster.add("deployments.apps", "web"))
    for number in range(2):
        cluster.pod(f"web-{number}", controller=made)
    return cluster


def test_the_owner_of_a_namespace_pays_for_what_accounts_and_controllers_make() -> None:
    by = "owner of namespace red by namespaceAnnotation openshift.io/requester"
    assert told(with_a_deployment(OWNERS, OF_CAROL).report()) == [
        ("Deployment", "a service account", "carol", by, 1, "0"),
        ("Pod", "its controller", "carol", by, 2, "2"),
        ("ReplicaSet", "its controller", "carol", by, 1, "0"),
    ]


def test_without_a_mark_nobody_is_told_to_pay() -> None:
    assert told(with_a_deployment(OWNERS, {}).report()) == []
    assert told(with_a_deployment("", OF_CAROL).report()) == []


def test_an_account_is_no_owner_and_an_exempt_namespace_has_none() -> None:
    assert told(with_a_deployment(OWNERS, {"red": {"openshift.io/requester": HUB}}).report()) == []
    cluster = Cluster(OWNERS, annotations={"kube-system": OF_CAROL["red"]})
    cluster.pod("dns", namespace="kube-system")
    assert told(cluster.report()) == []


def test_what_has_an_owner_hands_it_down_as_in_the_webhook() -> None:
    cluster = Cluster(OWNERS, annotations=OF_CAROL)
    hers = cluster.add("statefulsets.apps", "db", owner="alice")
    cluster.pod("db-0", controller=hers)
    cluster.pod("mine", owner="bob")
    assert told(cluster.report()) == [("Pod", "its controller", "alice", "owner of StatefulSet db", 1, "1")]


def test_what_was_made_for_an_object_that_is_gone_is_left_out() -> None:
    cluster = Cluster(OWNERS, annotations=OF_CAROL)
    gone = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gone", "uid": "other"}
    cluster.pod("left", controller=gone)
    assert told(cluster.report()) == []


def test_limits_are_exceeded_once_all_is_made_anew() -> None:
    entries = "users: {carol: {hard: {cpu: 1}, mode: MODE}}\nnamespaces: {red: {hard: {cpu: 9}}}\n"
    for mode, is_fine in (("enforce", False), ("warn", True)):
        report = with_a_deployment(OWNERS + entries.replace("MODE", mode), OF_CAROL).report()
        assert over(report) == []
        assert [(each.limit.subject, show("requests.cpu", each.used)) for each in report.over_anew] == [
            ("user/carol", "2")
        ]
        assert report.is_fine is is_fine


def test_what_is_exceeded_already_is_not_told_again() -> None:
    report = with_a_deployment(OWNERS + "namespaces: {red: {hard: {cpu: 1}}}\n", OF_CAROL).report()
    assert (len(over(report)), report.over_anew) == (1, ())


def test_a_delegate_names_who_pays_for_a_session_and_for_its_pods() -> None:
    cluster = Cluster(
        f"{SESSIONS}attribution: {{delegates: [{DELEGATE}]}}\nusers: {{alice: {{hard: {{sessions: 0}}}}}}"
    )
    made = cluster.add("statefulsets.apps", "one", controller=notebook(cluster, "one", "alice"))
    cluster.pod("one-0", controller=made)
    report = cluster.report()
    assert told(report) == [
        ("Notebook", HUB, "alice", BY_HUB, 1, "0"),
        ("Pod", "its controller", "alice", "owner of StatefulSet one", 1, "1"),
        ("StatefulSet", "its controller", "alice", "owner of Notebook one", 1, "0"),
    ]
    assert [(each.limit.subject, each.limit.resource) for each in report.over_anew] == [("user/alice", "sessions")]


def test_a_delegate_that_names_nobody_pays_itself_or_the_owner_of_the_namespace_does() -> None:
    for marks, payer in (({}, HUB), (OF_CAROL, "carol")):
        cluster = Cluster(
            f"{SESSIONS}attribution: {{delegates: [{DELEGATE}], namespaceOwners: [{{preset: openshift}}]}}",
            annotations=marks,
        )
        notebook(cluster, "one")
        assert [row[:3] for row in told(cluster.report())] == [("Notebook", HUB, payer)]


def test_a_name_that_a_delegate_must_not_say_would_be_refused() -> None:
    cluster = Cluster(f"{SESSIONS}attribution: {{delegates: [{DELEGATE}]}}")
    notebook(cluster, "one", "admin")
    why = f"{HUB} must not name 'admin' as who pays (annotation {CREATOR})"
    assert told(cluster.report()) == [("Notebook", HUB, "refused", why, 1, "0")]


def test_two_delegates_are_told_each_and_nothing_is_counted_for_either() -> None:
    other = "{user: portal, owner: [{label: user}]}"
    cluster = Cluster(
        f"{SESSIONS}attribution: {{delegates: [{DELEGATE}, {other}]}}\ndefaults: {{user: {{hard: {{sessions: 0}}}}}}"
    )
    notebook(cluster, "one", "alice", labels={"user": "bob"})
    report = cluster.report()
    assert [row[1:4] for row in told(report)] == [
        ("portal", "bob", "named by portal in label user"),
        (HUB, "alice", BY_HUB),
    ]
    assert report.over_anew == ()


def test_a_session_that_no_delegate_makes_is_paid_by_its_creator() -> None:
    cluster = Cluster(SESSIONS)
    notebook(cluster, "one", "alice")
    notebook(cluster, "hers", owner="alice")
    [row] = told(cluster.report())
    assert row == (
        "Notebook",
        "a service account",
        "",
        "no delegate of the policy acts on these: who creates one pays for it",
        1,
        "0",
    )


def test_a_workload_for_which_a_delegate_names_somebody() -> None:
    text = "attribution: {delegates: [{user: portal, kinds: [deployments.apps], owner: [{label: user}]}]}"
    cluster = Cluster(text)
    cluster.add("deployments.apps", "named", labels={"user": "bob"})
    cluster.add("deployments.apps", "other")
    assert [row[:3] for row in told(cluster.report())] == [("Deployment", "portal", "bob")]


def test_a_session_is_measured_with_all_its_pods() -> None:
    cluster = Cluster(
        f"{SESSIONS}defaults: {{unattributed: {{perSession: {{cpu: 2}}}}}}\ncluster: {{perSession: {{cpu: 3}}}}"
    )
    notebook(cluster, "one")
    [above] = cluster.report().standings.above_caps
    assert (above.limit.entry, above.count, show("requests.cpu", above.largest)) == (
        "defaults.unattributed.perSession",
        1,
        "3",
    )


def test_pods_that_are_sessions_have_a_place() -> None:
    cluster = Cluster("sessions: {presets: [jupyterhub]}\ncluster: {hard: {sessions: 0}, perSession: {cpu: 500m}}")
    cluster.pod("server", labels={"component": "singleuser-server"})
    report = cluster.report()
    assert [(each.limit.resource, each.used) for each in report.standings.over] == [("sessions", 10**9)]
    assert [each.limit.cap for each in report.standings.above_caps] == ["perSession"]
