"""What a look at a cluster says of answers that a working API server seldom gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.kube.scripted import server, stream
from tests.preflight.clusters import NOW, policy, used
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.kinds.pods import PODS
from webhook.kinds.resource_claims import RESOURCE_CLAIMS
from webhook.preflight.census import Census
from webhook.preflight.made_anew import MadeAnew
from webhook.preflight.report import Gap, Unreadable, report_on
from webhook.wiring.cluster_look import ClusterLook

NOTHING = MadeAnew((), {})
REFUSAL = b'\r\nConnection: close\r\nContent-Length: 18\r\n\r\n{"kind": "Status"}'
NOT_FOUND, GONE, FORBIDDEN = (b"HTTP/1.1 " + status + REFUSAL for status in (b"404 Not Found", b"410 Gone", b"403 No"))


def answer(body: bytes) -> bytes:
    """Return the answer after which the server closes the connection: a client sends no POST again by itself."""
    return stream(body).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


ALLOWED = answer(b'{"status":{"allowed":true}}')


def page(*items: Any, following: str = "") -> bytes:
    return answer(json.dumps({"metadata": {"resourceVersion": "9", "continue": following}, "items": items}).encode())


def pod(name: str, spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "red", "uid": name, "resourceVersion": "5"}, "spec": spec}


def census() -> Census:
    return Census(policy(""), labels={}, exempt=frozenset(), now=NOW)


async def test_pods_that_do_not_fit_are_counted_as_one_and_named(tmp_path: Path) -> None:
    much = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "much"}}}]}
    counted = census()
    first = page(pod("good", {"containers": [{"name": "c"}]}), pod("amount", much), following="more")
    second = page(pod("shape", {"containers": 7}), {"metadata": 8})
    async with server([ALLOWED, first, second], tmp_path) as (api, scripted):
        look = ClusterLook(api)
        await look.count(PODS, counted)

    assert [request.split()[1] for request in scripted.requests[1:]] == [
        "/api/v1/pods?limit=500",
        "/api/v1/pods?limit=500&continue=more",
    ]
    assert [each.what for each in look.unreadable] == ["pods red/amount", "pods red/shape", "pods"]
    report = report_on(counted, anew=NOTHING, server="", exempt=(), gaps=look.gaps, unreadable=look.unreadable)
    assert used(report, "cluster") == {"count/pods": "3", "pods": "3"}
    assert not report.is_complete


async def test_a_list_that_breaks_off_is_told(tmp_path: Path) -> None:
    async with server([ALLOWED, page(following="more"), GONE], tmp_path) as (api, _):
        look = ClusterLook(api)
        await look.count(PODS, census())
    [told] = look.unreadable
    assert (told.what, told.why.startswith("pods could not be listed: ")) == ("pods", True)


async def test_a_question_for_a_right_that_is_refused_is_told(tmp_path: Path) -> None:
    async with server([FORBIDDEN], tmp_path) as (api, _):
        look = ClusterLook(api)
        await look.count(PODS, census())
    [told] = look.unreadable
    assert told.why.startswith("whether we may list pods in the whole cluster could not be asked: ")


async def test_an_api_without_device_claims_lacks_them_once(tmp_path: Path) -> None:
    async with server([ALLOWED, NOT_FOUND, ALLOWED, NOT_FOUND], tmp_path) as (api, _):
        look = ClusterLook(api)
        assert await look.second_names() == {}
        await look.count(RESOURCE_CLAIMS, census())
    assert look.gaps == [Gap("resource.k8s.io/v1", "the API does not serve it: no ResourceClaim is counted")]
    assert look.unreadable == []


ASKING = read_policy([PolicyText("p", "version: 1\nattribution: {groupObjects: openshift}\n")]).policy


async def test_groups_are_read_if_the_policy_takes_members_from_them(tmp_path: Path) -> None:
    assert ASKING is not None
    groups = page({"metadata": {"name": "ml"}, "users": ["alice", None]}, {"metadata": {"name": "old"}, "users": None})
    async with server([ALLOWED, groups, ALLOWED, NOT_FOUND], tmp_path) as (api, scripted):
        look = ClusterLook(api)
        assert await look.groups(policy("")) == {}
        assert scripted.requests == []
        assert await look.groups(ASKING) == {"alice": {"ml"}}
        assert (look.gaps, look.unreadable) == ([], [])
        assert await look.groups(ASKING) == {}
    [gap] = look.gaps
    assert gap.what == "groups.user.openshift.io"
    assert gap.consequence.endswith(": they list nobody")


SESSIONS = "sessions: {presets: [kubeflow-notebook]}"
SERVED = (
    answer(b'{"versions":[{"groupVersion":"kubeflow.org/v1"}]}'),
    answer(
        b'{"resources":[{"name":"notebooks","kind":"Notebook","namespaced":true,"verbs":["create","list","watch"]}]}'
    ),
)
NOTEBOOKS = "notebooks.kubeflow.org"


async def test_sessions_of_a_preset_are_counted(tmp_path: Path) -> None:
    notebook = {"apiVersion": "kubeflow.org/v1", "kind": "Notebook", "spec": {"template": {"spec": {}}}}
    listed = page({**notebook, "metadata": {"name": "one", "namespace": "red", "uid": "one", "resourceVersion": "5"}})
    counted = Census(policy(SESSIONS), labels={}, exempt=frozenset(), now=NOW)
    async with server([*SERVED, ALLOWED, listed], tmp_path) as (api, scripted):
        look = ClusterLook(api)
        kind = (await look.kinds(policy(SESSIONS))).of_resource(NOTEBOOKS)
        assert kind is not None
        await look.count(kind, counted)
    assert scripted.requests[-1].split()[1] == "/apis/kubeflow.org/v1/notebooks?limit=500"
    assert (look.gaps, look.unreadable) == ([], [])
    report = report_on(counted, anew=NOTHING, server="", exempt=(), gaps=(), unreadable=())
    assert used(report, "cluster") == {f"count/{NOTEBOOKS}": "1", "sessions": "1"}


async def test_sessions_that_may_not_be_listed_are_told(tmp_path: Path) -> None:
    async with server([*SERVED, answer(b'{"status":{"allowed":false}}')], tmp_path) as (api, _):
        look = ClusterLook(api)
        kind = (await look.kinds(policy(SESSIONS))).of_resource(NOTEBOOKS)
        assert kind is not None
        await look.count(kind, census())
    assert look.unreadable == [Unreadable(NOTEBOOKS, f"you may not list {NOTEBOOKS} in the whole cluster")]


async def test_sessions_of_a_kind_that_is_not_served_or_not_known_are_told(tmp_path: Path) -> None:
    async with server([NOT_FOUND], tmp_path) as (api, _):
        look = ClusterLook(api)
        assert (await look.kinds(policy(SESSIONS))).of_resource(NOTEBOOKS) is None
    why = "the API serves no such kind: preset kubeflow-notebook reads nothing, and there are no such sessions"
    assert look.gaps == [Gap(NOTEBOOKS, why)]

    async with server([FORBIDDEN], tmp_path) as (api, _):
        look = ClusterLook(api)
        assert (await look.kinds(policy(SESSIONS))).of_resource(NOTEBOOKS) is None
    assert [each.what for each in look.unreadable] == [NOTEBOOKS]


async def test_a_404_of_the_core_group_says_nothing_about_what_exists(tmp_path: Path) -> None:
    async with server([ALLOWED, NOT_FOUND], tmp_path) as (api, _):
        look = ClusterLook(api)
        await look.count(PODS, census())
    assert [each.what for each in look.unreadable] == ["pods"]


async def test_an_old_server_is_fatal_and_no_lease_is_not(tmp_path: Path) -> None:
    old = answer(b'{"major":"1","minor":"29","gitVersion":"v1.29.4"}')
    async with server([old, ALLOWED, answer(b'{"items":[]}')], tmp_path) as (api, _):
        look = ClusterLook(api)
        assert await look.version() == "v1.29.4"
        await look.find_leases()
    assert [(each.what, each.is_fatal) for each in look.gaps] == [
        ("Kubernetes v1.29.4", True),
        ("identity Leases in kube-system", False),
    ]


async def test_a_version_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    async with server([FORBIDDEN], tmp_path) as (api, _):
        look = ClusterLook(api)
        assert await look.version() == ""
    assert [each.what for each in look.unreadable] == ["version"]


async def test_what_may_not_be_listed_is_not_asked_for(tmp_path: Path) -> None:
    async with server([answer(b'{"status":{"allowed":false}}')], tmp_path) as (api, scripted):
        look = ClusterLook(api)
        await look.count(PODS, census())
    assert len(scripted.requests) == 1
    assert look.unreadable == [Unreadable("pods", "you may not list pods in the whole cluster")]
