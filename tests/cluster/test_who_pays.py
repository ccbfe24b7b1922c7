"""Attribution on a real API server: every route by which a user could charge another user."""

from __future__ import annotations

import json

import pytest

from tests.cluster.running import RunningWebhook, eventually, pod

POLICY = "version: 1\ndefaults: {user: {hard: {pods: 10}}}\n"
OWNER = "userquota.dev/owner"
LEFT = "Warning: the userquota.dev annotations were left as they are: alice pays"


def stamped(running: RunningWebhook, place: str, kind: str, name: str) -> dict[str, str]:
    annotations = get(running, place, kind, name)["metadata"].get("annotations", {})
    return {key: value for key, value in annotations.items() if key.startswith("userquota.dev/")}


def get(running: RunningWebhook, place: str, kind: str, name: str) -> dict[str, dict[str, dict[str, str]]]:
    answer = running.cluster.kubectl("get", kind, name, "-n", place, "-o", "json")
    read: dict[str, dict[str, dict[str, str]]] = json.loads(answer.stdout)
    return read


def run(running: RunningWebhook, place: str, *words: str, user: str, stdin: str | None = None) -> str:
    answer = running.cluster.kubectl(*words, "-n", place, user=user, stdin=stdin, check=False)
    return answer.stdout + answer.stderr


def test_a_forged_stamp_is_overwritten_on_create(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    forged = pod("forged").replace("metadata: {", f"metadata: {{annotations: {{{OWNER}: bob}}, ")
    assert run(running, place, "create", "-f", "-", user="alice", stdin=forged) == "pod/forged created\n"
    assert stamped(running, place, "pod", "forged") == {
        OWNER: "alice",
        "userquota.dev/groups": '["ml","people","staff"]',
    }


@pytest.mark.parametrize("user", ["alice", "bob", "admin"])
def test_no_user_changes_a_stamp(running: RunningWebhook, place: str, user: str) -> None:
    """The edit goes through, and the stamp is put right with a warning: a manifest may carry anybody's."""
    running.set_policy(POLICY)
    run(running, place, "create", "-f", "-", user="alice", stdin=pod("hers"))
    before = stamped(running, place, "pod", "hers")
    for edit in (f"{OWNER}=bob", f"{OWNER}-", "userquota.dev/groups=[]", "userquota.dev/groups-"):
        said = run(running, place, "annotate", "--overwrite", "pod", "hers", edit, f"edit={user}", user=user)
        assert LEFT in said, edit
        assert "pod/hers annotated" in said
        assert stamped(running, place, "pod", "hers") == before
    assert run(running, place, "annotate", "pod", "hers", "note=mine", user=user) == "pod/hers annotated\n"


def test_a_put_that_lacks_the_stamp_gets_it_back(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    run(running, place, "create", "-f", "-", user="alice", stdin=pod("hers"))
    body = get(running, place, "pod", "hers")
    body["metadata"]["annotations"] = {"note": "new"}
    assert "replaced" in run(running, place, "replace", "-f", "-", user="bob", stdin=json.dumps(body))
    assert stamped(running, place, "pod", "hers")[OWNER] == "alice"


def test_a_stamp_cannot_come_through_the_status_or_a_binding(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    run(running, place, "create", "-f", "-", user="alice", stdin=pod("hers"))
    patch = json.dumps({"metadata": {"annotations": {OWNER: "bob"}}})
    run(running, place, "patch", "pod", "hers", "--subresource=status", "-p", patch, user="admin")
    assert stamped(running, place, "pod", "hers")[OWNER] == "alice"
    accounts_under = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "hers", "annotations": {OWNER: "bob"}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"},
    }
    path = f"/api/v1/namespaces/{place}/pods/hers/binding"
    said = run(running, place, "create", "--raw", path, "-f", "-", user="admin", stdin=json.dumps(accounts_under))
    assert "a binding cannot change who pays for a pod" in said
    assert stamped(running, place, "pod", "hers")[OWNER] == "alice"


def test_every_workload_kind_hands_its_owner_down_to_its_pods(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    template = "{metadata: {labels: {app: x}}, spec: {containers: [{name: main, image: example/x}]}}"
    selector = "selector: {matchLabels: {app: x}}"
    once = template.replace("spec: {", "spec: {restartPolicy: Never, ")
    workloads = {
        "apps/v1 Deployment": f"{selector}, template: {template}",
        "apps/v1 StatefulSet": f"serviceName: x, {selector}, template: {template}",
        "v1 ReplicationController": f"selector: {{app: rc}}, template: {template.replace('app: x', 'app: rc')}",
        "batch/v1 Job": f"template: {once.replace('labels: {app: x}', 'labels: {job: x}')}",
    }
    for kind, spec in workloads.items():
        version, _, name = kind.partition(" ")
        manifest = f"apiVersion: {version}\nkind: {name}\nmetadata: {{name: w-{name.lower()}}}\nspec: {{{spec}}}\n"
        assert " created\n" in run(running, place, "create", "-f", "-", user="carol", stdin=manifest)
    eventually(lambda: len(owners(running, place)) == len(workloads))
    assert {owner for _, owner in owners(running, place)} == {"carol"}


def test_who_made_an_orphan_pays_for_it_after_its_adoption(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    run(running, place, "create", "-f", "-", user="alice", stdin=pod("orphan", labels=["app=adopted"]))
    adopter = (
        "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: adopter}\nspec: {replicas: 2, "
        "selector: {matchLabels: {app: adopted}}, template: {metadata: {labels: {app: adopted}}, "
        "spec: {containers: [{name: main, image: example/x}]}}}\n"
    )
    run(running, place, "create", "-f", "-", user="carol", stdin=adopter)
    eventually(lambda: "ownerReferences" in get(running, place, "pod", "orphan")["metadata"])
    eventually(lambda: sorted(owner for _, owner in owners(running, place)) == ["alice", "carol"])
    assert stamped(running, place, "pod", "orphan")[OWNER] == "alice"


def test_a_user_cannot_make_another_pay_for_a_pod_by_making_it_part_of_their_workload(
    running: RunningWebhook, place: str
) -> None:
    running.set_policy(POLICY)
    run(running, place, "create", "deployment", "hers", "--image=example/x", "--replicas=0", user="alice")
    run(running, place, "create", "-f", "-", user="bob", stdin=pod("his"))
    uid = get(running, place, "deployment", "hers")["metadata"]["uid"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "hers", "uid": uid, "controller": True}
    patch = json.dumps({"metadata": {"ownerReferences": [reference]}})
    assert "patched" in run(running, place, "patch", "pod", "his", "-p", patch, user="bob")
    assert stamped(running, place, "pod", "his")[OWNER] == "bob"


def test_a_resize_is_charged_and_refused_beyond_the_limit(running: RunningWebhook, place: str) -> None:
    running.set_policy("version: 1\ndefaults: {user: {hard: {cpu: 1}}}\n")
    run(running, place, "create", "-f", "-", user="alice", stdin=pod("growing", cpu="500m"))

    def resize(cpu: str) -> str:
        change = [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]
        patch = json.dumps({"spec": {"containers": change}})
        return run(running, place, "patch", "pod", "growing", "--subresource=resize", "-p", patch, user="alice")

    assert "requested: requests.cpu=600m, used: requests.cpu=500m, limited: requests.cpu=1" in resize("1100m")
    assert "pod/growing patched" in resize("1")
    assert "exceeded quota" in run(running, place, "create", "-f", "-", user="alice", stdin=pod("more", cpu="100m"))


def owners(running: RunningWebhook, place: str) -> list[tuple[str, str]]:
    path = '{range .items[*]}{.metadata.name} {.metadata.annotations.userquota\\.dev/owner}{"\\n"}{end}'
    listed = running.cluster.kubectl("get", "pods", "-n", place, "-o", f"jsonpath={path}").stdout
    return [(name, owner) for name, _, owner in (line.partition(" ") for line in listed.splitlines())]


def test_the_old_address_of_bindings_is_guarded_too(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    run(running, place, "create", "-f", "-", user="alice", stdin=pod("hers"))
    accounts_under = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "hers", "annotations": {OWNER: "bob"}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"},
    }
    path = f"/api/v1/namespaces/{place}/bindings"
    said = run(running, place, "create", "--raw", path, "-f", "-", user="admin", stdin=json.dumps(accounts_under))
    assert "a binding cannot change who pays for a pod" in said
    assert stamped(running, place, "pod", "hers")[OWNER] == "alice"
