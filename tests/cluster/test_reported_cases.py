"""
Cases that people who enforce quotas have reported, tried on a real API server with small inputs.

docs/evasions.md lists them with those that other tests show.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.people import Person
from tests.cluster.running import NAMESPACE, RunningWebhook, eventually, pod
from tests.cluster.test_main_job import events
from tests.cluster.test_who_pays import run, stamped
from tests.cluster.workloads import deployment, listed, pod_owners, read
from tests.replicated.asking import Answer, Asking

Named = Callable[[str], Person]


@pytest.fixture
def somebody(running: RunningWebhook, common_place: str, request: pytest.FixtureRequest) -> Named:
    """Return people whom no other test knows, in a namespace for tests that make no workloads."""
    return lambda name: Person(running, common_place, f"{name}-of-{request.node.originalname[5:]}")


@pytest.fixture
def second(running: RunningWebhook) -> Iterator[Callable[[dict[str, object]], str]]:
    """Return what writes the data of another policy ConfigMap beside the first one; it is deleted afterwards."""

    def write(data: dict[str, object]) -> str:
        metadata = {"name": "second-7h2k8m9b2c", "labels": {"userquota.dev/policy": "true"}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **data}
        words = ("apply", "--server-side", "-n", NAMESPACE, "-f", "-")
        return running.cluster.kubectl(*words, stdin=json.dumps(body), check=False).stderr

    yield write
    running.cluster.kubectl("delete", "configmap", "second-7h2k8m9b2c", "-n", NAMESPACE, "--ignore-not-found")


def test_a_policy_that_went_to_binary_data_lifts_no_limit(
    running: RunningWebhook, somebody: Named, second: Callable[[dict[str, object]], str]
) -> None:
    """So kubectl writes a file that is not UTF-8: one letter of a comment is enough."""
    mallory = somebody("mallory")
    text = f"version: 1 # f\xfcr alle\nusers: {{{mallory.name}: {{hard: {{pods: 0}}}}}}\n"
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 5}}}\n")
    second({"data": {"p.yaml": text}})
    eventually(lambda: "limited: pods=0" in mallory.create(pod("x")))

    said = second({"binaryData": {"p.yaml": base64.b64encode(text.encode("latin-1")).decode()}})

    assert "p.yaml: it is in binaryData, where no policy is read: it is not UTF-8 at byte 14" in said
    assert "limited: pods=0" in mallory.create(pod("x"))
    assert "userquota_policy_valid 1.0" in running.metrics()


def test_the_generated_policy_of_before_is_named(
    running: RunningWebhook, second: Callable[[dict[str, object]], str]
) -> None:
    text = "version: 1\nusers: {somebody: {hard: {pods: 3}}}\n"
    second({"data": {"p.yaml": text}})
    metadata = {"name": "second-99d4fbt6mh", "labels": {"userquota.dev/policy": "true"}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"p.yaml": text.replace("3", "4")}}
    said = running.cluster.kubectl("create", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(body), check=False).stderr
    assert "one of the two is left over from before" in said


def test_leaving_a_group_lifts_only_what_lists_no_members(running: RunningWebhook, somebody: Named) -> None:
    alice, bob = somebody("alice"), somebody("bob")
    running.set_policy(
        "version: 1\ndefaults: {user: {hard: {cpu: 4}}}\ngroups:\n"
        "  ml: {perMember: {hard: {cpu: 1}}}\n"
        f"  listed: {{members: [{bob.name}], perMember: {{hard: {{cpu: 1}}}}}}\n"
    )
    words = ("create", "-f", "-")
    assert "groups.ml.perMember" in alice.run(*words, "--as-group=ml", stdin=pod("large", cpu="3"))
    assert " created\n" in alice.create(pod("large", cpu="3"))
    assert "groups.listed.perMember" in bob.create(pod("x", cpu="3"))


def test_who_is_in_thousands_of_groups_works_as_others_do(
    running: RunningWebhook, common_place: str, somebody: Named
) -> None:
    """All their names would not fit into the annotations of a pod."""
    alice = somebody("alice")
    running.set_policy("version: 1\ngroups: {team-1500: {perMember: {hard: {cpu: 1}}}}\n")
    groups = [f"--as-group=team-{number}" for number in range(3000)]

    assert "groups.team-1500.perMember" in alice.run("create", "-f", "-", *groups, stdin=pod("x", cpu="3"))
    assert " created\n" in alice.run("create", "-f", "-", *groups, stdin=pod("small", cpu="1"))
    assert stamped(running, common_place, "pod", "small")["userquota.dev/groups"] == '["team-1500"]'


ACCELERATORS = {
    "nvidia.com/gpu",
    "nvidia.com/gpu.shared",
    "nvidia.com/mig-3g.40gb.me",
    "nvidia.com/mig-1c.3g.40gb",
    "nvidia.com/GRID_T4-2Q",
    "amd.com/cpx_nps4",
    "volcano.sh/vgpu-number",
    "huawei.com/Ascend910",
    "google.com/tpu",
}


def test_no_accelerator_passes_a_limit_of_zero_by_its_name(running: RunningWebhook, somebody: Named) -> None:
    running.set_policy("version: 1\ndefaults: {user: {hard: {gpu: 0, accelerator: 0}}}\n")
    pods = []
    for number, name in enumerate(sorted(ACCELERATORS)):
        container = {"name": "main", "image": "example/x", "resources": {"limits": {name: "1"}}}
        metadata, spec = {"name": f"p{number}"}, {"containers": [container]}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    said = somebody("alice").create(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    assert said.count("larger than quota: defaults.user, requested: ") == len(pods), said


@pytest.fixture
def nodes(running: RunningWebhook, place: str) -> Iterator[list[str]]:
    names = [f"{place}-{number}" for number in range(3)]
    bodies = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in names]
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies})
    running.cluster.kubectl("create", "-f", "-", stdin=items)
    yield names
    running.cluster.kubectl("delete", "daemonsets", "--all", "-n", place)
    running.cluster.kubectl("delete", "nodes", *names)


def test_an_operator_that_is_exempt_runs_on_every_node_and_so_do_administrators(
    running: RunningWebhook, place: str, nodes: list[str]
) -> None:
    exempt = f"[{{serviceAccount: {place}/operator, reason: x}}, {{group: 'system:masters', reason: x}}]"
    one = "hard: {pods: 1}"
    running.set_policy(f"version: 1\ndefaults: {{user: {{{one}}}, serviceAccount: {{{one}}}}}\nexempt: {exempt}\n")
    for namespace, name in ((place, "operator"), (f"{place}-x", "other")):
        body = deployment(name)
        body["kind"] = "DaemonSet"
        del body["spec"]["replicas"]
        account = Person(running, place, f"system:serviceaccount:{namespace}:{name}")
        assert " created\n" in account.create(json.dumps(body))
    by_admin = json.dumps(deployment("by-admin", replicas=3))
    assert " created\n" in run(running, place, "create", "-f", "-", user="admin", stdin=by_admin)

    def counts() -> dict[str, int]:
        found = [name.rpartition(":")[2] for name in pod_owners(running, place)]
        return {name: found.count(name) for name in set(found)}

    expected = {"operator": len(nodes), "admin": 3, "other": 1}
    eventually(lambda: counts() == expected, what=lambda: str(counts()))


def test_a_rollout_at_a_full_limit_stays_below_it_and_goes_on_once_it_is_raised(
    running: RunningWebhook, place: str, named: Named
) -> None:
    alice = named("alice")
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 2}}}\n")
    body = deployment("web", replicas=2)
    body["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert " created\n" in alice.create(json.dumps(body))
    eventually(lambda: len(pod_owners(running, place)) == 2)

    assert "image updated" in alice.run("set", "image", "deployment/web", "main=example/two")

    def told() -> str:
        status = read(running, place, "deployment", "web")["status"]
        return next((each["message"] for each in status["conditions"] if each["type"] == "ReplicaFailure"), "")

    eventually(lambda: "exceeded quota: defaults.user, requested: pods=1, used: pods=2" in told())
    assert "a rolling update needs no further pod with maxSurge: 0 and maxUnavailable: 1; charged to " in told()
    assert len(listed(running, place, "pods")) == 2
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 3}}}\n")
    eventually(lambda: len(pod_owners(running, place)) == 3)


def test_a_job_whose_pod_fails_at_a_full_limit_tries_again_and_loses_no_attempt(
    running: RunningWebhook, place: str, named: Named
) -> None:
    """Creates that are refused do not count for its backoffLimit."""
    alice = named("alice")
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 1}}}\n")
    container = {"name": "main", "image": "example/x"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"backoffLimit": 1, "template": template}
    assert " created\n" in alice.create(
        json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"}, "spec": spec})
    )

    def runs() -> list[str]:
        found = listed(running, place, "pods")
        return [each["metadata"]["name"] for each in found if each["status"]["phase"] == "Pending"]

    def ends(name: str, phase: str) -> None:
        told = json.dumps({"status": {"phase": phase}})
        run(running, place, "patch", "pod", name, "--subresource=status", "-p", told, user="admin")

    eventually(lambda: len(runs()) == 1)
    [first] = runs()
    ends(first, "Failed")
    eventually(lambda: " created\n" in alice.create(pod("taker")))  # before the Job tries again, after ten seconds

    eventually(lambda: "exceeded quota: defaults.user, requested: pods=1" in events(running, place))
    status = read(running, place, "job", "work")["status"]
    assert (status["failed"], status.get("active", 0), status.get("conditions", [])) == (1, 0, [])
    assert runs() == ["taker"]

    alice.delete("pod", "taker", "--grace-period=0")
    eventually(lambda: len(runs()) == 1)
    ends(runs()[0], "Succeeded")
    eventually(lambda: read(running, place, "job", "work")["status"].get("succeeded") == 1)
    assert read(running, place, "job", "work")["status"]["failed"] == 1


def posted(running: RunningWebhook, path: str, body: object, *, acting_as: str) -> Answer:
    """Return what an API server answers, of which kubectl shows a part."""

    async def ask() -> Answer:
        async with Asking(running.cluster) as asking:
            return await asking.ask("POST", path, body=body, acting_as=acting_as, in_groups=["people"])

    return asyncio.run(ask())


def is_waited_for(answer: Answer) -> bool:
    """Whether a program asks again: it looks for the code and the words of ResourceQuota in the whole answer."""
    return answer.status == 403 and "exceeded quota" in answer.text


def test_programs_wait_for_what_has_room_later_and_for_nothing_else(running: RunningWebhook, somebody: Named) -> None:
    alice = somebody("alice")
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 2, cpu: 4, gpu: 0}, perPod: {cpu: 3}}}\n")
    assert " created\n" in alice.create(pod("taken", cpu="3"))

    def refused(cpu: str, **limits: str) -> tuple[Answer, list[str]]:
        resources = {"requests": {"cpu": cpu}, "limits": limits}
        container = {"name": "main", "image": "example/x", "resources": resources}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "next"}, "spec": {"containers": [container]}}
        path = f"/api/v1/namespaces/{alice.place}/pods"
        answer = posted(running, path, body, acting_as=alice.name)
        status = json.loads(answer.text)
        assert (answer.status, status["reason"]) == (403, "Forbidden"), answer.text
        return answer, [each["reason"] for each in status["details"]["causes"]]

    later, reasons = refused("2")
    assert (is_waited_for(later), reasons) == (True, ["QuotaExceeded"])
    for answer, reasons in (refused("3500m"), refused("5"), refused("1", **{"nvidia.com/gpu": "1"})):
        assert (is_waited_for(answer), reasons[0]) == (False, "NeverFits"), answer.text

    assert " created\n" in alice.create(pod("last", cpu="1"))
    both, reasons = refused("3500m")
    assert (is_waited_for(both), reasons[0]) == (False, "NeverFits")
    assert "would fit: nothing until a pod ends, and never more than requests.cpu=3000m; " in both.text


def test_stored_pods_that_have_finished_are_to_be_deleted(running: RunningWebhook, somebody: Named) -> None:
    alice = somebody("alice")
    running.set_policy("version: 1\ndefaults: {user: {hard: {count/pods: 1}}}\n")
    assert " created\n" in alice.create(pod("done"))
    words = ("patch", "pod", "done", "--subresource=status", "-p", '{"status": {"phase": "Succeeded"}}')
    assert "patched" in run(running, alice.place, *words, user="admin")

    advice = "would fit: nothing until a pod is deleted: delete finished pods (1 of 1 no longer run)"
    eventually(lambda: advice in alice.create(pod("next")))


def test_a_pod_that_fails_again_and_again_is_made_until_those_that_failed_are_to_be_deleted(
    running: RunningWebhook, place: str, named: Named
) -> None:
    """A ReplicaSet makes another one at once, and the failed ones cost no `pods`: only `count/pods` bounds them."""
    alice = named("alice")
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 5, count/pods: 8}}}\n")
    assert " created\n" in alice.create(json.dumps(deployment("web")))
    failed = json.dumps({"status": {"phase": "Failed"}})

    def fails() -> int:
        """Let each pod fail; return how many there are."""
        found = listed(running, place, "pods")
        for each in found:
            if each["status"]["phase"] != "Failed":
                name = each["metadata"]["name"]
                run(running, place, "patch", "pod", name, "--subresource=status", "-p", failed, user="admin")
        return len(found)

    eventually(lambda: fails() == 8)
    advice = "would fit: nothing until a pod is deleted: delete finished pods (8 of 8 no longer run)"
    eventually(lambda: advice in events(running, place))
    assert len(listed(running, place, "pods")) == 8

    alice.run("delete", "pods", "--field-selector=status.phase=Failed", "--grace-period=0", "--force")
    eventually(lambda: any(each["status"]["phase"] == "Pending" for each in listed(running, place, "pods")))


def test_a_refused_resize_says_what_the_pod_may_have_in_all(running: RunningWebhook, somebody: Named) -> None:
    alice = somebody("alice")
    running.set_policy("version: 1\ndefaults: {user: {hard: {cpu: 4}}}\n")
    assert " created\n" in alice.create(pod("web", cpu="3"))

    resources = {"requests": {"cpu": "5", "memory": "64Mi"}}
    patch = json.dumps({"spec": {"containers": [{"name": "main", "resources": resources}]}})
    said = alice.run("patch", "pod", "web", "--subresource=resize", "-p", patch)
    assert "requested: requests.cpu=2, used: requests.cpu=3, limited: requests.cpu=4, reserved: requests.cpu=0" in said
    assert "free: requests.cpu=1 for user/" in said
    assert "would fit: requests.cpu=4 in all (now requests.cpu=3); " in said


def test_an_edit_of_the_largest_config_map_is_judged(
    running: RunningWebhook, second: Callable[[dict[str, object]], str]
) -> None:
    """
    The API server writes `<` as six bytes, and sends both versions: about 15 MB of review for 1 MiB of data.

    It lets an edit pass whose review is refused for its size.
    """
    second({"data": {"p.yaml": "version: 1\n"}})
    words = ("get", "configmap", "second-7h2k8m9b2c", "-n", NAMESPACE, "-o", "json", "--show-managed-fields")
    stored = json.loads(running.cluster.kubectl(*words).stdout)
    del stored["metadata"]["resourceVersion"]
    stored["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "<" * 200_000}
    lines = "# " + "<" * 97 + "\n"

    def replaced(end: str) -> str:
        """Send it as it is: in kubectl's own JSON `<` would be six bytes already, and more than a request may have."""
        stored["data"] = {"p.yaml": "version: 1\n" + lines * 10_400 + end}
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/second-7h2k8m9b2c"
        return run(running, NAMESPACE, "replace", "--raw", path, "-f", "-", user="admin", stdin=json.dumps(stored))

    assert '"kind":"ConfigMap"' in replaced("")[:100]
    said = replaced("defaults: {user: {hard: {pods: 3x}}}\n")
    assert "second-7h2k8m9b2c/p.yaml:10402:" in said
    assert "defaults.user.hard.pods: invalid quantity '3x'" in said
