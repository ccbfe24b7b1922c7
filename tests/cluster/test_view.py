"""People see their quotas through a real API server, which says who asks; and by no other way."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.cluster.conftest import emptied
from tests.cluster.running import NAMESPACE, RunningWebhook, eventually, pod
from webhook.registration import manifest_files

BASE = "/apis/view.userquota.dev/v1alpha1"
POLICY = """version: 1
defaults: {user: {hard: {pods: 10, cpu: 4}}}
groups:
  ml: {pool: {hard: {cpu: 16}}}
tenants:
  research: {namespaces: {matchLabels: {team: view}}, hard: {cpu: 200}}
"""
RED = {"apiVersion": "view.userquota.dev/v1alpha1", "kind": "SelfQuota"}


@pytest.fixture(scope="module")
def place(running: RunningWebhook) -> Iterator[str]:
    """A namespace with a pod of alice and one of bob; API servers pass what is asked of the view on to the replica."""
    cluster = running.cluster
    listed = manifest_files.view()
    api_service = next(each["spec"] for each in listed if each["kind"] == "APIService")
    api_service["caBundle"] = base64.b64encode(running.ca.read_bytes()).decode()
    api_service["service"]["port"] = running.view_port
    spec = {"type": "ExternalName", "externalName": "localhost"}
    meta = {"name": "userquota", "namespace": NAMESPACE}
    listed.append({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": listed})
    cluster.kubectl("apply", "-f", "-", stdin=manifest)
    for name in emptied(running):
        running.set_policy(POLICY)
        cluster.kubectl("label", "namespace", name, "team=view")
        cluster.kubectl("create", "-n", name, "-f", "-", user="alice", stdin=pod("of-alice", cpu="1500m"))
        cluster.kubectl("create", "-n", name, "-f", "-", user="bob", stdin=pod("of-bob", cpu="2"))
        for server in (1, 2):
            eventually(partial(knows_bob, running, server))
        yield name
    cluster.kubectl("delete", "-f", "-", stdin=manifest)


def knows_bob(running: RunningWebhook, server: int) -> bool:
    path = ("get", "--raw", f"{BASE}/quotas/user:bob")
    return '"used":"2"' in running.cluster.kubectl(*path, server=server, check=False).stdout


def own(running: RunningWebhook, user: str, namespace: str = "", *options: str) -> dict[str, Any]:
    asked = json.dumps({**RED, "spec": {"namespace": namespace} if namespace else {}})
    answer = running.cluster.kubectl("create", "-f", "-", "-o", "json", *options, user=user, stdin=asked)
    status: dict[str, Any] = json.loads(answer.stdout)["status"]
    return status


def cpu(status: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    rows = [each for each in status["limits"] if each["resource"] == "requests.cpu"]
    return {each["subject"]: (each["hard"], each["used"], each["free"]) for each in rows}


def test_everybody_sees_their_own_numbers_and_sums_of_what_they_share(running: RunningWebhook, place: str) -> None:
    status = own(running, "alice")

    assert cpu(status) == {"user/alice": ("4", "1500m", "2500m"), "group/ml": ("16", "3500m", "12500m")}
    assert [(each["namespace"], each["name"]) for each in status["holders"]] == [(place, "of-alice")]
    assert "bob" not in json.dumps(status)


def test_a_namespace_has_its_tenants_limits_for_those_who_may_create_there(running: RunningWebhook, place: str) -> None:
    assert cpu(own(running, "alice", place))["tenant/research"] == ("200", "3500m", "196500m")

    asked = json.dumps({**RED, "spec": {"namespace": place}})
    refused = running.cluster.kubectl(
        "create", "-f", "-", "--as=stranger", user="admin", stdin=asked, check=False
    ).stderr
    assert f"you may not create pods in namespace {place}" in refused


def test_whom_somebody_acts_for_is_who_sees(running: RunningWebhook, place: str) -> None:
    status = own(running, "admin", "", "--as=bob", "--as-group=ml")

    assert (status["user"], cpu(status)["user/bob"]) == ("bob", ("4", "2", "2"))


def test_only_those_with_the_right_see_others(running: RunningWebhook, place: str) -> None:
    kubectl = running.cluster.kubectl
    quotas = json.loads(kubectl("get", "--raw", f"{BASE}/quotas").stdout)["items"]
    holders = json.loads(kubectl("get", "--raw", f"{BASE}/holders?limit=2").stdout)["items"]

    assert {"user:alice", "user:bob", "group:ml", "tenant:research"} <= {each["metadata"]["name"] for each in quotas}
    assert [(each["metadata"]["name"], each["status"]["owner"]) for each in holders] == [
        ("of-bob", "bob"),
        ("of-alice", "alice"),
    ]
    for path in ("quotas", "quotas/user:alice", "holders"):
        refused = kubectl("get", "--raw", f"{BASE}/{path}", user="alice", check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "Forbidden" in refused.stderr


def test_headers_that_no_api_server_has_sent_are_not_believed(running: RunningWebhook, place: str) -> None:
    forged = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
    request = urllib.request.Request(f"https://127.0.0.1:{running.view_port}{BASE}/quotas", headers=forged)
    trusted = ssl.create_default_context(cafile=str(running.ca))

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, context=trusted, timeout=5)  # noqa: S310
    with caught.value as answer:
        assert (answer.code, b"bob" in answer.read()) == (401, False)
