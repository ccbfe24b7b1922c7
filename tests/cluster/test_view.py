"""People see their quotas through a real API server, which says who asks; and by no other way."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import IN_A_TERMINAL, USERQUOTA, Ended, in_process
from tests.cluster.conftest import emptied
from tests.cluster.running import RunningWebhook, ask, eventually, pod

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
def place(running: RunningWebhook, view: None) -> Iterator[str]:
    """A namespace with a pod of alice and one of bob, and the view of both."""
    cluster = running.cluster
    for name in emptied(running):
        running.set_policy(POLICY)
        cluster.kubectl("label", "namespace", name, "team=view")
        cluster.kubectl("create", "-n", name, "-f", "-", user="alice", stdin=pod("of-alice", cpu="1500m"))
        cluster.kubectl("create", "-n", name, "-f", "-", user="bob", stdin=pod("of-bob", cpu="2"))
        for server in (1, 2):
            eventually(partial(knows_bob, running, server))
        yield name


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


def test_everybody_sees_their_own_allocations_and_those_with_the_right_all(running: RunningWebhook, place: str) -> None:
    kubectl = running.cluster.kubectl
    asked = json.dumps({**RED, "kind": "SelfAllocation", "spec": {"namespace": place}})
    mine = json.loads(kubectl("create", "-f", "-", "-o", "json", user="alice", stdin=asked).stdout)["status"]
    uid = kubectl("get", "pod", "-n", place, "of-alice", "-o", "jsonpath={.metadata.uid}").stdout

    [found] = mine["allocations"]
    assert (found["name"], found["uid"], found["owner"], found["state"]) == ("of-alice", uid, "alice", "used")
    assert (found["committed"]["requests.cpu"], found["reserved"]) == ("1500m", {})
    assert "bob" not in json.dumps(mine)
    for path in ("allocations", f"namespaces/{place}/allocations"):
        refused = kubectl("get", "--raw", f"{BASE}/{path}", user="alice", check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
    listed = json.loads(kubectl("get", "--raw", f"{BASE}/namespaces/{place}/allocations").stdout)
    assert [each["metadata"]["name"] for each in listed["items"]] == ["pods:of-alice", "pods:of-bob"]
    [cpus] = [each for each in listed["sums"] if each["resource"] == "requests.cpu"]
    assert (cpus["committed"], cpus["reserved"]) == ("3500m", "0")


def test_the_right_to_allocations_may_be_given_in_one_namespace(running: RunningWebhook, place: str) -> None:
    kubectl = running.cluster.kubectl
    words = ("get", "allocations.view.userquota.dev", "-n", place, "--as=lead", "--as-group=system:authenticated")
    assert "Forbidden" in kubectl(*words, check=False).stderr

    kubectl("create", "role", "lead", "-n", place, "--verb=list", "--resource=allocations.view.userquota.dev")
    kubectl("create", "rolebinding", "lead", "-n", place, "--role=lead", "--user=lead")

    eventually(lambda: kubectl(*words, check=False).returncode == 0)
    shown = [line.split() for line in kubectl(*words).stdout.splitlines()]
    assert shown[0] == ["NAME", "OWNER", "STATE", "COMMITTED", "RESERVED", "CREATED", "AT"]
    assert [line[:3] for line in shown[1:]] == [["pods:of-alice", "alice", "used"], ["pods:of-bob", "bob", "used"]]
    assert "Forbidden" in kubectl(*words[:2], "-A", *words[4:], check=False).stderr
    one = kubectl(*words, "--field-selector", "status.owner=bob", "--chunk-size=1", "-o", "name").stdout
    assert one.split() == ["allocation.view.userquota.dev/pods:of-bob"]


# The command line.


def get(running: RunningWebhook, *words: str, user: str = "alice") -> Ended:
    return in_process(*words, "--kubeconfig", str(running.cluster.kubeconfig(user)))


def rows(ended: Ended) -> list[list[str]]:
    assert (ended.code, ended.err) == (0, ""), ended
    return [line.split() for line in ended.out.splitlines()]


def test_get_shows_ones_own_limits(running: RunningWebhook, place: str) -> None:
    found = rows(get(running, "get"))

    assert found[0] == ["SUBJECT", "RESOURCE", "USED", "RESERVED", "HARD", "FREE", "OVER"]
    assert ["user/alice", "requests.cpu", "1500m", "0", "4", "2500m", "0"] in found
    assert ["group/ml", "requests.cpu", "3500m", "0", "16", "12500m", "0"] in found
    assert [line[:3] for line in found[-1:]] == [["pods", place, "of-alice"]]
    assert rows(get(running, "get", "-n", place, "-o", "name"))[-1] == ["tenant/research"]


def test_get_shows_others_to_those_with_the_right(running: RunningWebhook, place: str) -> None:
    refused = get(running, "get", "user/bob")
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert refused.err.startswith("userquota: quotas.view.userquota.dev ")

    bob = ["user/bob", "requests.cpu", "2", "0", "4", "2", "0"]
    assert bob in rows(get(running, "get", "user/bob", user="admin"))
    assert bob in rows(get(running, "get", "-A", user="admin"))
    assert bob in rows(get(running, "get", "--as", "bob", "--as-group", "people", user="admin"))
    nobody = get(running, "get", "group/none", user="admin")
    assert nobody == Ended(2, "", "userquota: group/none uses nothing and has no entry in the policy\n")


def test_get_prints_the_object_of_the_api(running: RunningWebhook, place: str) -> None:
    listed = json.loads(get(running, "get", "-A", "-o", "json", user="admin").out)

    assert (listed["kind"], listed["apiVersion"]) == ("QuotaList", "view.userquota.dev/v1alpha1")


def test_kubectl_finds_the_plugin_on_the_path(running: RunningWebhook, place: str) -> None:
    environ = os.environ | {
        "PATH": f"{USERQUOTA.parent}{os.pathsep}{os.environ['PATH']}",
        "KUBECONFIG": str(running.cluster.kubeconfig("alice")),
    }
    done = subprocess.run(
        [running.cluster.access.kubectl_binary, "userquota", "get", "-o", "name"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["user/alice", "group/ml"]


def test_kubectl_completes_the_words_of_the_plugin(running: RunningWebhook, tmp_path: Path) -> None:
    run = "from webhook.cli.completion import main; main()"
    for name, line in (
        ("kubectl-userquota", "exit 1"),
        ("kubectl_complete-userquota", f'{sys.executable} -c "{run}" "$@"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [running.cluster.access.kubectl_binary, "__complete", "userquota", "top", "--by", "ten"],
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "tenant\n:4\n"


def test_get_with_w_prints_again_when_something_changes(running: RunningWebhook, place: str) -> None:
    argv = [*IN_A_TERMINAL, str(USERQUOTA), "get", "-w", "--kubeconfig", str(running.cluster.kubeconfig("alice"))]
    with (running.log.parent / "watched").open("w+b") as out:
        watching = subprocess.Popen(argv, stdout=out)
        eventually(lambda: "requests.cpu" in Path(out.name).read_text())
        kubectl = running.cluster.kubectl
        kubectl("create", "-n", place, "-f", "-", user="alice", stdin=pod("another", cpu="1"))
        eventually(lambda: "2500m" in Path(out.name).read_text().partition("\n\nSUBJECT")[2])
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=10) == 0
    kubectl("delete", "pod", "-n", place, "another", "--force", "--grace-period=0", user="alice")
    eventually(lambda: cpu(own(running, "alice"))["user/alice"][1] == "1500m")  # the tests below count what there is


def test_get_allocations_shows_objects_and_sums_that_are_those_of_get(running: RunningWebhook, place: str) -> None:
    mine = rows(get(running, "get", "allocations", "-n", place))
    team = rows(get(running, "get", "allocations", "tenant/research", user="admin"))
    bobs = get(running, "get", "allocations", "--owner", "bob", "--resource", "pods", "-o", "name", user="admin")

    assert mine[0] == ["RESOURCE", "NAMESPACE", "NAME", "OWNER", "STATE", "AGE", "COMMITTED", "RESERVED"]
    assert [line[:5] for line in mine[1 : mine.index([])]] == [["pods", place, "of-alice", "alice", "used"]]
    assert ["requests.cpu", "used", "1500m", "=", "1500m", "committed", "+", "0", "reserved"] in mine
    assert [line[2:5] for line in team[1:3]] == [["of-alice", "alice", "used"], ["of-bob", "bob", "used"]]
    quota = rows(get(running, "get", "tenant/research", user="admin"))
    [used, reserved] = next(line[2:4] for line in quota if line[1] == "requests.cpu")
    assert f"requests.cpu used 3500m = {used} committed + {reserved} reserved".split() in team
    assert bobs == Ended(0, f"pods/{place}/of-bob\n", "")
    refused = [get(running, "get", "allocations", *words) for words in (("-A",), ("user/bob",), ("--owner", "alice"))]
    assert [(each.code, each.out) for each in refused] == [(2, "")] * 3
    wrong = get(running, "get", "allocations", "--resource", "pod")
    assert wrong.code == 2
    assert wrong.err.startswith("userquota: resource: objects of this one are not counted, expected one of ")
    assert ", pods, " in wrong.err  # other tests have more kinds counted


LABELLED = """apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, labels: {example.com/team: ml}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {example.com/team: ml, app: web}}
spec: {ports: [{port: 80}]}
"""


def test_allocations_have_the_labels_that_the_policy_names_and_are_selected_by_them(
    running: RunningWebhook, place: str
) -> None:
    def told(*words: str, user: str = "alice") -> Ended:
        return get(running, "get", "allocations", "-n", place, *words, user=user)

    def eventually_told(*words: str, names: list[str]) -> None:
        expected = [f"{name.replace('/', f'/{place}/')}" for name in names]
        eventually(lambda: told(*words, "-o", "name").out.split() == expected, what=lambda: str(told(*words)))

    kubectl = running.cluster.kubectl
    kubectl("label", "pod", "-n", place, "of-alice", "example.com/team=ml", "app=x", user="alice")
    refused = told("-l", "example.com/team=ml")
    assert (refused.code, refused.out) == (2, "")
    assert "example.com/team is no tag; the policy names none" in refused.err

    running.set_policy(
        POLICY + "tags: [example.com/team, cost-center]\nnamespaces: {elsewhere: {hard: {count/services: 1}}}\n"
    )
    eventually_told("-l", "example.com/team=ml", names=["pods/of-alice"])
    kubectl("create", "-n", place, "-f", "-", user="alice", stdin=LABELLED)
    all_three = ["persistentvolumeclaims/data", "pods/of-alice", "services/web"]
    eventually_told("--selector", "example.com/team=ml,!cost-center", names=all_three)

    found = json.loads(told("-o", "json").out)["status"]["allocations"]
    assert [each["tags"] for each in found] == [{"example.com/team": "ml"}] * 3
    [pods] = [line for line in rows(told("-o", "wide")) if line[:1] == ["pods"] and line[1] == place]
    assert pods[-1] == "example.com/team=ml"
    selector = ("--selector", "example.com/team=ml,cost-center!=4711")
    everybody = rows(get(running, "get", "allocations", "-A", *selector, user="admin"))
    assert ["requests.cpu", "used", "1500m", "=", "1500m", "committed", "+", "0", "reserved"] in everybody
    words = ("get", "allocations.view.userquota.dev", "-A", "-l", "example.com/team=ml")
    wide = kubectl(*words, "-o", "wide").stdout.splitlines()
    assert [line.split()[-1] for line in wide] == ["TAGS", *["example.com/team=ml"] * 3]
    columns = kubectl(*words, "-L", "example.com/team").stdout.splitlines()
    assert [line.split()[-1] for line in columns] == ["TEAM", "ml", "ml", "ml"]

    kubectl("label", "pod", "-n", place, "of-alice", "--overwrite", "example.com/team=web", user="alice")
    eventually_told("-l", "example.com/team=web", names=["pods/of-alice"])
    eventually_told("-l", "example.com/team!=web", names=["persistentvolumeclaims/data", "services/web"])
    assert cpu(own(running, "alice"))["user/alice"] == ("4", "1500m", "2500m")

    kubectl("delete", "-n", place, "pvc/data", "service/web", user="alice")
    running.set_policy(POLICY)
    eventually(lambda: "tags" not in told("-o", "json").out)


def test_everybody_is_told_why_they_pay_for_an_object(running: RunningWebhook, place: str) -> None:
    words = ("explain", "pod/of-alice", "-n", place, "-o", "json")
    found = json.loads(get(running, *words).out)
    assert (found["payer"], found["stamp"]["owner"], found["controllers"]) == ("alice", "alice", [])
    assert found["rule"].startswith("its stamp: who made it")
    assert found["chargedTo"] == ["user/alice", "group/ml", "tenant/research", f"namespace/{place}", "cluster"]
    limits = {(each["subject"], each["resource"]): each["entry"] for each in found["limits"]}
    assert limits == {
        ("user/alice", "pods"): "defaults.user",
        ("user/alice", "requests.cpu"): "defaults.user",
        ("group/ml", "requests.cpu"): "groups.ml.pool",
        ("tenant/research", "requests.cpu"): "tenants.research",
    }
    by_admin = json.loads(get(running, *words, user="admin").out)
    assert {key: by_admin[key] for key in ("payer", "chargedTo")} == {key: found[key] for key in ("payer", "chargedTo")}
    assert len(by_admin["limits"]) == len(found["limits"])

    refused = get(running, "explain", "pod/of-bob", "-n", place)
    assert (refused.code, refused.out) == (2, "")
    assert "bob" not in refused.err


def test_top_shows_who_holds_most(running: RunningWebhook, place: str) -> None:
    objects = rows(get(running, "top", "-n", place, user="admin"))
    people = rows(get(running, "top", "--by", "user", "--sort", "cpu", "--limit", "2", user="admin"))
    spaces = rows(get(running, "top", "--by", "namespace", "--sort", "pods", user="admin"))
    refused = [get(running, "top", *words) for words in ((), ("--by", "user"))]

    assert objects[0] == ["OWNER", "RESOURCE", "NAMESPACE", "NAME", "AGE", "REQUESTS.CPU"]
    assert [[*line[:4], line[-1]] for line in objects[1:]] == [
        ["bob", "pods", place, "of-bob", "2"],
        ["alice", "pods", place, "of-alice", "1500m"],
    ]
    assert [line[:3] for line in people[1:]] == [
        ["user/bob", "requests.cpu", "2"],
        ["user/alice", "requests.cpu", "1500m"],
    ]
    assert [f"namespace/{place}", "pods", "2", "0", "-", "-", "-"] in spaces
    assert [(each.code, each.out) for each in refused] == [(2, ""), (2, "")]


def test_explain_names_the_entry_and_its_line(running: RunningWebhook, place: str) -> None:
    own, group = rows(get(running, "explain")), rows(get(running, "explain", "group/ml", user="admin"))

    default = "user/alice requests.cpu 4 default defaults.user userquota-policy/policy.yaml:2 -"
    pool = "group/ml requests.cpu 16 pool shared by all members groups.ml.pool userquota-policy/policy.yaml:4 -"
    assert default.split() in own
    assert pool.split() in own
    assert group[1:] == [pool.split()]
    assert get(running, "explain", "user/bob").code == 2


def test_headers_that_no_api_server_has_sent_are_not_believed(running: RunningWebhook, place: str) -> None:
    forged = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
    request = urllib.request.Request(f"https://127.0.0.1:{running.view_port}{BASE}/quotas", headers=forged)
    trusted = ssl.create_default_context(cafile=str(running.ca))

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, context=trusted, timeout=5)  # noqa: S310
    with caught.value as answer:
        assert (answer.code, b"bob" in answer.read()) == (401, False)


def test_without_a_port_for_it_there_is_no_view_and_all_else_goes_on(running: RunningWebhook, place: str) -> None:
    running.stop()
    running.start(has_view=False)
    try:
        running.wait_until_ready()
        kubectl = running.cluster.kubectl
        for path in (BASE, f"{BASE}/quotas", f"{BASE}/pools", f"{BASE}/namespaces/{place}/allocations"):
            refused = kubectl("get", "--raw", path, check=False)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert "the server is currently unable to handle the request" in refused.stderr
        told = "the API server reaches no replica that has a view (503), see docs/view.md"
        assert get(running, "get") == Ended(2, "", f"userquota: userquota does not answer: {told}\n")
        for path in (f"{BASE}/quotas", "/apis/liquid.userquota.dev/v1/info"):
            assert ask(f"{running.url}{path}", ca_file=running.ca) == "404: Not Found"
        told = kubectl("create", "-n", place, "-f", "-", user="alice", stdin=pod("large", cpu="3"), check=False).stderr
        assert "exceeded quota: defaults.user, requested: requests.cpu=3" in told
    finally:
        running.stop()
        running.start()
        running.wait_until_ready()
