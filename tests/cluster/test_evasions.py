"""
Ways to make a colleague pay, to escape paying, or to stand in a colleague's way, tried on a real API server.

docs/evasions.md lists them with those that other tests show. All tests share a namespace and a policy; each has people
of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_who_pays import OWNER, run, stamped
from tests.cluster.workloads import deployment, listed, read

POLICY = """version: 1
defaults:
  user:
    hard:
      pods: 2
      cpu: 2
      persistentvolumeclaims: 3
      storage: 10Gi
      gpu: 1
      x.example.com.deviceclass.resource.k8s.io/devices: 2
  serviceAccount: {hard: {pods: 1}}
  unattributed: {hard: {pods: 2}}
attribution: {restorers: [velero/velero]}
exempt: [{group: "system:masters", reason: administrators mend what others own}]
"""
GROUPS = "userquota.dev/groups"
FULL = "requested: pods=1, used: pods=2, limited: pods=2"
Named = Callable[[str], Person]


@pytest.fixture(scope="module")
def here(running: RunningWebhook, common_place: str) -> str:
    """The namespace of all tests, under the policy."""
    running.set_policy(POLICY)
    return common_place


@pytest.fixture
def named(running: RunningWebhook, here: str, request: pytest.FixtureRequest) -> Named:
    """Return people whom no other test knows, by their first names."""
    return lambda name: Person(running, here, f"{name}-of-{request.node.originalname[5:]}")


def stamp_of(body: dict[str, Any]) -> str:
    return str(body["metadata"].get("annotations", {}).get(OWNER, ""))


def owners(running: RunningWebhook, place: str, kinds: str, prefix: str) -> dict[str, str]:
    """Return who pays for each object whose name begins with *prefix*, by kind and name."""
    found = listed(running, place, kinds)
    mine = [each for each in found if each["metadata"]["name"].startswith(prefix)]
    return {f"{each['kind']} {each['metadata']['name']}": stamp_of(each) for each in mine}


def events(running: RunningWebhook, place: str, name: str) -> str:
    """Return the messages of the Events about the object of this *name*."""
    words = ("get", "events", "-n", place, f"--field-selector=involvedObject.name={name}")
    return running.cluster.kubectl(*words, "-o", "jsonpath={.items[*].message}").stdout


def a_pod(name: str, **spec: object) -> dict[str, Any]:
    containers = [{"name": "main", "image": "example/x"}]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
    return {**body, "spec": {"containers": containers, **spec}}


def of_stateful_set(name: str, metadata: dict[str, Any], *, replicas: int = 1, **spec: object) -> str:
    """Return a StatefulSet with one claim template, `data` with this *metadata*."""
    labels = {"app": name}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "example/x"}]}}
    whole = {
        "replicas": replicas,
        "serviceName": name,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels},
        "template": pods,
        "volumeClaimTemplates": [{"metadata": {"name": "data", **metadata}, "spec": claim}],
        **spec,
    }
    return json.dumps({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": whole})


def device_template(name: str, count: int, metadata: dict[str, Any] | None = None) -> str:
    device = {"name": "one", "exactly": {"deviceClassName": "x.example.com", "count": count}}
    spec = {"metadata": metadata or {}, "spec": {"devices": {"requests": [device]}}}
    kind = "ResourceClaimTemplate"
    return json.dumps({"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})


def test_no_template_names_who_pays(running: RunningWebhook, here: str, named: Named) -> None:
    """Controllers copy the annotations of a template into what they make, also of one that somebody else wrote."""
    alice, bob = named("alice"), named("bob")
    forged = {"annotations": {OWNER: bob.name, GROUPS: "[]"}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volume = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"metadata": forged, "spec": claim}}}
    spec = a_pod("", volumes=[volume], resourceClaims=[{"name": "g", "resourceClaimTemplateName": "forged"}])["spec"]
    pods = {"metadata": {"labels": {"app": "tpl"}, **forged}, "spec": spec}
    assert " created\n" in bob.create(device_template("forged", 1, forged))

    assert " created\n" in alice.create(of_stateful_set("tpl", forged, template=pods, ordinals={"start": 7}))

    def made() -> dict[str, str]:
        kinds = "pods,persistentvolumeclaims,resourceclaims"
        found = owners(running, here, kinds, "tpl") | owners(running, here, "persistentvolumeclaims", "data-tpl")
        return {kind.rpartition("-g-")[0] or kind: payer for kind, payer in found.items()}

    kinds = ("Pod tpl-7", "PersistentVolumeClaim tpl-7-v", "PersistentVolumeClaim data-tpl-7", "ResourceClaim tpl-7")
    eventually(lambda: made() == dict.fromkeys(kinds, alice.name), what=lambda: str(made()))


@pytest.mark.parametrize("kind", ["StatefulSet", "Pod"])
def test_no_reference_in_a_claim_template_leads_to_another_payer(
    running: RunningWebhook, here: str, named: Named, kind: str
) -> None:
    """The controller of StatefulSets keeps the ownerReferences that a person wrote into a claim template."""
    alice, bob = named("alice"), named("bob")
    his, hers = f"his-{kind.lower()}", f"hers-{kind.lower()}"
    body = of_stateful_set(his, {}, replicas=0) if kind == "StatefulSet" else pod(his)
    assert " created\n" in bob.create(body)
    uid = read(running, here, kind.lower(), his)["metadata"]["uid"]
    version = "apps/v1" if kind == "StatefulSet" else "v1"
    reference = {"apiVersion": version, "kind": kind, "name": his, "uid": uid, "controller": True}

    assert " created\n" in alice.create(of_stateful_set(hers, {"ownerReferences": [reference]}))

    eventually(lambda: bool(owners(running, here, "pods", hers)))
    assert owners(running, here, "persistentvolumeclaims", f"data-{hers}") == {
        f"PersistentVolumeClaim data-{hers}-0": alice.name
    }


def test_a_set_pays_for_claims_of_its_own_size_though_a_colleagues_will_have_such_names(
    running: RunningWebhook, here: str, named: Named
) -> None:
    """Claims of a set whose pods start one after the other do not exist yet when another makes some of their names."""
    alice, bob = named("alice"), named("bob")
    his = json.loads(of_stateful_set("long-tail", {}, replicas=2, podManagementPolicy="OrderedReady"))
    hers = json.loads(of_stateful_set("tail", {"name": "data-long", "labels": {"role": "his"}}, replicas=2))
    his["spec"]["selector"] = {"matchLabels": {"role": "his"}}
    his["spec"]["template"]["metadata"] = {"labels": {"role": "his"}}
    hers["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = "5Gi"

    def claims() -> list[str]:
        return list(owners(running, here, "persistentvolumeclaims", "data-long-tail").values())

    assert " created\n" in bob.create(json.dumps(his))
    eventually(lambda: len(claims()) == 1)
    assert " created\n" in alice.create(json.dumps(hers))
    eventually(lambda: len(claims()) == 2)

    assert sorted(claims()) == [alice.name, bob.name]


def test_who_raises_what_an_administrator_made_is_bound_by_a_limit(
    running: RunningWebhook, here: str, named: Named
) -> None:
    alice = named("alice")
    running.cluster.kubectl("create", "-n", here, "-f", "-", stdin=json.dumps(deployment("by-admin")))
    eventually(lambda: len(owners(running, here, "pods", "by-admin")) == 1)

    alice.run("set", "image", "deployment/by-admin", "main=example/hers")
    said = alice.run("scale", "deployment", "by-admin", "--replicas=5")

    def is_refused() -> bool:
        return " scaled\n" not in said or "exceeded quota" in events(running, here, name)

    eventually(lambda: len(owners(running, here, "replicasets", "by-admin")) == 2)
    name = list(owners(running, here, "replicasets", "by-admin"))[-1].partition(" ")[2]
    eventually(lambda: is_refused() or len(owners(running, here, "pods", "by-admin")) >= 5)
    run(running, here, "delete", "deployment", "by-admin", user="admin")
    assert is_refused()


def test_a_gpu_written_on_a_colleagues_pod_is_bound_by_the_colleagues_limit(named: Named) -> None:
    """Who may change a colleague's pod can fill the colleague's limit so, and delete the pod as well."""
    alice, bob = named("alice"), named("bob")
    for name in ("annotated", "spared"):
        assert " created\n" in bob.create(pod(name))
    assert " annotated\n" in alice.run("annotate", "pod", "annotated", "gpu-fraction=1")
    assert f"for user/{bob.name}" in alice.run("annotate", "pod", "spared", "gpu-fraction=1")


def test_a_login_like_the_name_for_nobody_is_bound_as_a_person(running: RunningWebhook, here: str) -> None:
    nobody = Person(running, here, "system:unattributed")
    said = nobody.run("create", "--dry-run=server", "-f", "-", stdin=pod("x", cpu="3"))
    assert "created" not in said


def test_no_kind_of_patch_takes_the_stamp_away(running: RunningWebhook, here: str, named: Named) -> None:
    alice, bob = named("alice"), named("bob")
    assert " created\n" in alice.create(json.dumps(deployment("patched", replicas=0)))
    before = stamped(running, here, "deployment", "patched")
    away = {"op": "move", "from": "/metadata/annotations/userquota.dev~1owner", "path": "/metadata/annotations/x"}
    patches: list[tuple[str, object]] = [
        ("json", [{"op": "remove", "path": "/metadata/annotations"}]),
        ("json", [away]),
        ("merge", {"metadata": {"annotations": None}}),
        ("merge", {"metadata": {"annotations": {OWNER: bob.name, GROUPS: None}}}),
        ("strategic", {"metadata": {"annotations": {"$patch": "delete"}}}),
        ("strategic", {"metadata": {"annotations": {"$patch": "replace", OWNER: bob.name}}}),
    ]
    for form, patch in patches:
        assert "patched" in bob.run("patch", "deployment", "patched", f"--type={form}", "-p", json.dumps(patch))
        assert stamped(running, here, "deployment", "patched") == before, (form, patch)


def test_an_apply_that_drops_the_last_annotation_keeps_the_stamp(
    running: RunningWebhook, here: str, named: Named
) -> None:
    """Where the applier owned the only other annotation, the API server takes away all of them."""
    alice, bob = named("alice"), named("bob")
    body = deployment("applied", replicas=0)
    noted = {**body, "kind": "ReplicaSet", "metadata": {"name": "applied", "annotations": {"note": "x"}}}
    plain = {**noted, "metadata": {"name": "applied"}}
    claimed = {**noted, "metadata": {"name": "applied", "annotations": {OWNER: alice.name}}}
    for who, manifest in ((alice, noted), (alice, plain), (bob, claimed), (bob, plain)):
        assert "serverside-applied" in who.run("apply", "--server-side", "-f", "-", stdin=json.dumps(manifest))
        assert stamped(running, here, "replicaset", "applied") == {OWNER: alice.name, GROUPS: '["people"]'}


def test_no_field_manager_changes_an_owner_or_groups_without_the_right(
    running: RunningWebhook, here: str, named: Named
) -> None:
    alice, bob = named("alice"), named("bob")
    assert " created\n" in alice.create(json.dumps(deployment("managed", replicas=0)))
    before = stamped(running, here, "deployment", "managed")
    own = ("annotate", "--overwrite", "deployment", "managed", f"{GROUPS}=[]")

    assert "annotated" in alice.run(*own, "--field-manager=userquota-adopt-groups")
    assert stamped(running, here, "deployment", "managed") == before
    given = {"apiVersion": "apps/v1", "kind": "Deployment"}
    given["metadata"] = {"name": "managed", "annotations": {OWNER: bob.name}}  # type: ignore[assignment]
    words = ("apply", "--server-side", "--force-conflicts", "--field-manager=userquota-adopt", "-f", "-")
    assert "may not hand objects over" in alice.run(*words, stdin=json.dumps(given))
    assert stamped(running, here, "deployment", "managed") == before


def test_nothing_that_calls_itself_part_of_the_system_is_free(running: RunningWebhook, here: str, named: Named) -> None:
    alice = named("alice")
    labels = dict.fromkeys(("control-plane", "userquota.dev/exempt", "kubernetes.io/cluster-service"), "true")
    gated = a_pod("gated", schedulingGates=[{"name": "example.com/wait"}], priorityClassName="system-node-critical")
    gated["metadata"]["labels"] = labels
    mirrored = a_pod("mirrored", nodeName="n1")
    mirrored["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x", "kubernetes.io/config.source": "file"}

    for body in (gated, mirrored):
        assert " created\n" in alice.create(json.dumps(body))
        assert stamped(running, here, "pod", body["metadata"]["name"])[OWNER] == alice.name
    assert FULL in alice.create(json.dumps(a_pod("placed", nodeName="n1")))


def test_a_namespace_cannot_call_itself_exempt(running: RunningWebhook, here: str, named: Named) -> None:
    """The API server writes the label of the name, whatever a label, the status or a finalization says."""
    kubectl, alice = running.cluster.kubectl, named("alice")
    name, exempt = f"kube-system-{here}", {"kubernetes.io/metadata.name": "kube-system"}
    kubectl("create", "namespace", name)
    body = read(running, here, "namespace", name)
    body["metadata"]["labels"] = exempt
    path = f"/api/v1/namespaces/{name}/finalize"
    ways = (
        ("label", "namespace", name, "--overwrite", "kubernetes.io/metadata.name=kube-system"),
        ("patch", "namespace", name, "--subresource=status", "-p", json.dumps({"metadata": {"labels": exempt}})),
        ("replace", "--raw", path, "-f", "-"),
    )
    for words in ways:
        kubectl(*words, stdin=json.dumps(body))
        assert read(running, here, "namespace", name)["metadata"]["labels"] == {"kubernetes.io/metadata.name": name}
    said = Person(running, name, alice.name).run("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=pod("x"))
    kubectl("delete", "namespace", name, "--wait=false")
    assert stamp_of(json.loads(said)) == alice.name


def test_an_object_without_room_for_a_stamp_is_not_stored(named: Named) -> None:
    body = a_pod("full")
    body["metadata"]["annotations"] = {"a": "x" * (256 * 1024 - 1)}
    assert "metadata.annotations: Too long" in named("alice").create(json.dumps(body))


def test_a_key_given_twice_names_no_payer(running: RunningWebhook, here: str, named: Named) -> None:
    """The API server takes the last one if it is asked not to mind; what it has taken is what is judged."""
    alice, bob = named("alice"), named("bob")
    first, last = (json.dumps({OWNER: each}) for each in ("somebody", bob.name))
    keys = f'"metadata": {{"annotations": {first}, "annotations": {last}, '
    twice = json.dumps(a_pod("twice")).replace('"metadata": {', keys)
    path = f"--raw=/api/v1/namespaces/{here}/pods?fieldValidation=Ignore"
    words = ("create", path, "-f", "-", f"--as={alice.name}", "--as-group=people")
    running.cluster.kubectl(*words, stdin=twice)
    assert stamped(running, here, "pod", "twice")[OWNER] == alice.name


def test_groups_of_any_spelling_are_stamped_and_break_nothing(running: RunningWebhook, here: str, named: Named) -> None:
    alice = named("alice")
    groups = ['say "ml"', "[]", '","', "back\\slash", "a,b", "null", "ü", "{}"]
    said = alice.run("create", "-f", "-", *(f"--as-group={each}" for each in groups), stdin=pod("grouped"))
    assert said == "pod/grouped created\n"
    assert json.loads(stamped(running, here, "pod", "grouped")[GROUPS]) == sorted([*groups, "people"])


def test_who_acts_as_an_account_cannot_say_that_a_colleagues_pod_does(
    running: RunningWebhook, here: str, named: Named
) -> None:
    """The role `edit` lets people act as accounts of the namespace: those share one allowance, and no pod is named."""
    kubectl = running.cluster.kubectl
    everybody = ("--user=alice", f"--group=system:serviceaccounts:{here}")
    kubectl("create", "rolebinding", "editors", "-n", here, "--clusterrole=edit", *everybody)
    assert " created\n" in named("bob").create(pod("of-bob"))
    uid = read(running, here, "pod", "of-bob")["metadata"]["uid"]

    def acting(account: str, new: str, **pod_of_token: str) -> str:
        extra = "--as-user-extra=authentication.kubernetes.io/pod-"
        extras = (f"{extra}{key}={value}" for key, value in pod_of_token.items())
        # What validates at the client takes other rights.
        words = ("create", "--validate=false", "-f", "-", f"--as=system:serviceaccount:{here}:{account}", *extras)
        return run(running, here, *words, user="alice", stdin=pod(new))

    eventually(lambda: " created\n" in acting("default", "by-account"))
    assert stamped(running, here, "pod", "by-account")[OWNER] == f"system:serviceaccount:{here}:default"
    assert "cannot impersonate resource" in acting("default", "by-bobs-pod", name="of-bob", uid=uid)
    assert f"for serviceaccounts/{here}" in acting("other", "by-other")


def test_who_may_act_for_one_person_by_constrained_impersonation_makes_that_person_pay(
    running: RunningWebhook, here: str, named: Named
) -> None:
    """The rights say for whom; the groups of that person do not come with it."""
    bob, kubectl = named("bob"), running.cluster.kubectl
    rules = [
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["users"],
            "verbs": ["impersonate:user-info"],
            "resourceNames": [bob.name],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["impersonate-on:user-info:create"]},
    ]
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": here}}
    kubectl("create", "-f", "-", stdin=json.dumps({**head, "rules": rules}))
    kubectl("create", "clusterrolebinding", here, f"--clusterrole={here}", "--user=alice")
    kubectl("create", "rolebinding", "bob-works", "-n", here, "--clusterrole=edit", f"--user={bob.name}")
    words = ("create", "--validate=false", "-f", "-")  # what validates at the client takes other rights

    def acting() -> str:
        return run(running, here, *words, f"--as={bob.name}", user="alice", stdin=pod("constrained"))

    eventually(lambda: acting() == "pod/constrained created\n", what=acting)
    other = run(running, here, *words, "--as=somebody", user="alice", stdin=pod("other"))
    kubectl("delete", "clusterrole,clusterrolebinding", here)

    assert stamped(running, here, "pod", "constrained") == {OWNER: bob.name, GROUPS: "[]"}
    assert "cannot impersonate" in other


@pytest.fixture
def injecting(running: RunningWebhook, here: str) -> Iterator[None]:
    """A MutatingAdmissionPolicy that gives pods with a label a sidecar of 100m, and others a stamp."""
    sidecar = "Object.spec.containers{name: 'proxy', image: 'x', resources: Object.spec.containers.resources{"
    sidecar += "requests: {'cpu': '100m'}}}"
    added = f"[JSONPatch{{op: 'add', path: '/spec/containers/-', value: {sidecar}}}]"
    path = "/metadata/annotations/userquota.dev~1owner"
    forged = f"[JSONPatch{{op: 'replace', path: '{path}', value: 'vic'}}]"
    is_stamped = f"object.?metadata.?annotations[?'{OWNER}'].hasValue()"
    is_new = "!object.spec.containers.exists(c, c.name == 'proxy')"
    label = "object.?metadata.?labels[?'inject'].orValue('')"
    mutations = (f"{label} == 'cpu' && {is_new} ? {added} : []", f"{label} == 'owner' && {is_stamped} ? {forged} : []")
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
    spec = {
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "here", "expression": f"request.namespace == '{here}'"}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": each}} for each in mutations],
    }
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": here}}
    for body in (
        {**head, "kind": "MutatingAdmissionPolicy", "spec": spec},
        {**head, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": here}},
    ):
        running.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
    yield
    running.cluster.kubectl("delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", here)


@pytest.mark.needs("MutatingAdmissionPolicies beside us")
@pytest.mark.usefixtures("injecting")
def test_what_others_put_into_a_pod_is_paid_and_names_no_payer(
    running: RunningWebhook, here: str, named: Named
) -> None:
    alice = named("alice")
    large = pod("injected", cpu="2", labels=["inject=cpu"])

    def injected(server: int) -> bool:
        words = ("create", "-n", here, "--dry-run=server", "-o", "json", "-f", "-")
        said = running.cluster.kubectl(*words, server=server, stdin=pod("x", labels=["inject=cpu"]))
        return len(json.loads(said.stdout)["spec"]["containers"]) > 1

    eventually(lambda: all(injected(each + 1) for each in range(len(running.cluster.server_urls))))
    refused = alice.create(large)
    assert "requested: requests.cpu=2100m, used: requests.cpu=0" in refused
    assert "would fit: requests.cpu=1900m; proxy, added to what was sent, asks for requests.cpu=100m more; " in refused
    assert " created\n" in alice.create(pod("injected", cpu="1900m", labels=["inject=cpu"]))
    assert " created\n" in alice.create(pod("renamed", labels=["inject=owner"]).replace("100m", "0"))
    assert stamped(running, here, "pod", "renamed")[OWNER] == alice.name


def test_claims_that_a_set_takes_over_keep_their_payer(running: RunningWebhook, here: str, named: Named) -> None:
    """With this policy for retention the controller writes the set, or the pod, into a claim that exists."""
    alice, bob = named("alice"), named("bob")
    retention = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    assert " created\n" in alice.create(of_stateful_set("kept", {}))
    eventually(lambda: len(owners(running, here, "pods", "kept")) == 1)
    assert "deleted" in bob.run("delete", "statefulset", "kept", "--cascade=orphan")

    assert " created\n" in bob.create(
        of_stateful_set("kept", {}, replicas=2, persistentVolumeClaimRetentionPolicy=retention)
    )

    def references(name: str) -> object:
        return read(running, here, "persistentvolumeclaim", name)["metadata"].get("ownerReferences")

    eventually(lambda: len(owners(running, here, "persistentvolumeclaims", "data-kept")) == 2)
    eventually(lambda: references("data-kept-0") is not None)
    payers = {"PersistentVolumeClaim data-kept-0": alice.name, "PersistentVolumeClaim data-kept-1": bob.name}
    assert owners(running, here, "persistentvolumeclaims", "data-kept") == payers


def test_a_claim_costs_what_it_asks_for_whatever_it_is_made_from_or_bound_to(
    running: RunningWebhook, here: str, named: Named
) -> None:
    """As in a ResourceQuota. Who makes large volumes before they are asked for, an administrator, gives them away."""
    alice = named("alice")
    spec = {"capacity": {"storage": "10Ti"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": here}, "spec": spec}
    running.cluster.kubectl("create", "-f", "-", stdin=json.dumps(volume))

    def claim(name: str, size: str, **spec: object) -> str:
        whole = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
        body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}}
        return alice.create(json.dumps({**body, "spec": whole}))

    assert " created\n" in claim("bound", "1Gi", storageClassName="", volumeName=here)
    eventually(lambda: read(running, here, "pvc", "bound")["status"].get("phase") == "Bound")
    source = {"kind": "PersistentVolumeClaim", "name": "bound"}
    refused = claim("clone", "10Gi", storageClassName="plain", dataSource=source)
    running.cluster.kubectl("delete", "persistentvolume", here, "--wait=false")
    assert "requested: requests.storage=10Gi, used: requests.storage=1Gi, limited: requests.storage=10Gi" in refused


def test_devices_are_paid_by_the_owner_of_the_pod_and_never_above_their_limit(
    running: RunningWebhook, here: str, named: Named
) -> None:
    """Who makes a template of a colleague anew decides what the colleague's pods ask for, as with their workloads."""
    alice, bob = named("alice"), named("bob")
    assert " created\n" in bob.create(device_template("swapped", 1))
    assert "deleted" in alice.run("delete", "resourceclaimtemplate", "swapped")
    assert " created\n" in alice.create(device_template("swapped", 8))

    wants = a_pod("wants", resourceClaims=[{"name": "g", "resourceClaimTemplateName": "swapped"}])
    assert " created\n" in bob.create(json.dumps(wants))

    refused = f"for user/{bob.name}"
    eventually(lambda: refused in events(running, here, "wants"))
    assert owners(running, here, "resourceclaims", "wants") == {}


def test_a_claim_made_for_a_colleagues_pod_is_paid_by_who_made_it(
    running: RunningWebhook, here: str, named: Named
) -> None:
    """Its controller takes a claim that a person made for the pod, and makes none of its own."""
    alice, bob = named("alice"), named("bob")
    waits = a_pod("waits", resourceClaims=[{"name": "g", "resourceClaimTemplateName": "comes-later"}])
    assert " created\n" in bob.create(json.dumps(waits))
    uid = read(running, here, "pod", "waits")["metadata"]["uid"]
    body = json.loads(device_template("forged-for-waits", 2))
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "waits", "uid": uid, "controller": True}
    annotations = {"resource.kubernetes.io/pod-claim-name": "g"}
    body |= {"kind": "ResourceClaim", "spec": body["spec"]["spec"]}
    body["metadata"] |= {"annotations": annotations, "ownerReferences": [reference]}

    assert " created\n" in alice.create(json.dumps(body))

    eventually(lambda: "resourceClaimStatuses" in read(running, here, "pod", "waits")["status"])
    claims = owners(running, here, "resourceclaims", "")
    assert claims["ResourceClaim forged-for-waits"] == alice.name
    assert not [each for each in claims if each.startswith("ResourceClaim waits")]
    del body["metadata"]["ownerReferences"]
    body["metadata"]["name"] = "one-more"
    assert f"for user/{alice.name}" in alice.create(json.dumps(body))


def test_an_autoscaler_makes_nobody_exceed_their_limit(running: RunningWebhook, here: str, named: Named) -> None:
    """Of a Deployment of bob's he pays; one that nobody owns may grow, up to the limit of what nobody owns."""
    alice, bob = named("alice"), named("bob")
    for name in ("bobs", "nobodys"):
        assert " created\n" in bob.create(json.dumps(deployment(name, replicas=0)))
    eventually(lambda: len(owners(running, here, "replicasets", "nobodys")) == 1)
    [replica_set] = [each.partition(" ")[2] for each in owners(running, here, "replicasets", "nobodys")]
    nobody = (f"{OWNER}=system:unattributed", "--overwrite", "--field-manager=userquota-adopt")
    for each in ("deployment/nobodys", f"replicaset/{replica_set}"):
        running.cluster.kubectl("annotate", "-n", here, each, *nobody)

    for name in ("bobs", "nobodys"):
        assert "scaled" in run(running, here, "scale", "deployment", name, "--replicas=1", user="admin")
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        spec = {"minReplicas": 4, "maxReplicas": 4, "scaleTargetRef": target}
        body = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}}
        run(running, here, "create", "-f", "-", user="admin", stdin=json.dumps({**body, "spec": spec}))
    said = alice.run("scale", "deployment", "nobodys", "--replicas=5")
    assert "nobody is known to own" in said

    def is_asked(name: str) -> bool:
        return bool(read(running, here, "deployment", name)["spec"]["replicas"] == 4)

    def payers(name: str) -> list[str]:
        return list(owners(running, here, "pods", name).values())

    eventually(lambda: is_asked("bobs") and is_asked("nobodys"))
    eventually(lambda: payers("bobs") == [bob.name] * 2, what=lambda: str(payers("bobs")))
    eventually(lambda: payers("nobodys") == ["system:unattributed"] * 2)
    assert FULL in bob.create(pod("one-more"))


def test_a_job_that_is_suspended_relabelled_and_raised_is_paid_by_its_owner(
    running: RunningWebhook, here: str, named: Named
) -> None:
    alice, bob = named("alice"), named("bob")
    spec = {
        "suspend": True,
        "completionMode": "Indexed",
        "completions": 9,
        "parallelism": 9,
        "backoffLimitPerIndex": 3,
        "podReplacementPolicy": "TerminatingOrFailed",
        "successPolicy": {"rules": [{"succeededCount": 9}]},
        "template": {"spec": a_pod("", restartPolicy="Never")["spec"]},
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "steps"}, "spec": spec}
    large = [{"name": "main", "image": "example/x", "resources": {"requests": {"cpu": "3"}}}]
    assert " created\n" in alice.create(json.dumps(job))

    assert "annotated" in alice.run("annotate", "job", "steps", "--overwrite", f"{OWNER}={bob.name}")
    for change in ({"template": {"spec": {"containers": large}}}, {"suspend": False}):
        assert "patched" in alice.run("patch", "job", "steps", "-p", json.dumps({"spec": change}))

    eventually(lambda: f"for user/{alice.name}" in events(running, here, "steps"))
    assert owners(running, here, "pods", "steps") == {}


def test_a_job_started_by_hand_from_a_colleagues_schedule_is_paid_by_who_starts_it(
    running: RunningWebhook, here: str, named: Named
) -> None:
    alice, bob = named("alice"), named("bob")
    forged = {"annotations": {OWNER: bob.name, GROUPS: "[]"}}
    pods = {"metadata": forged, "spec": a_pod("", restartPolicy="Never")["spec"]}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"metadata": forged, "spec": {"template": pods}}}
    body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "yearly"}, "spec": spec}
    assert " created\n" in bob.create(json.dumps(body))

    assert " created\n" in alice.run("create", "job", "by-hand", "--from=cronjob/yearly")

    eventually(lambda: list(owners(running, here, "pods", "by-hand").values()) == [alice.name])
    assert stamped(running, here, "job", "by-hand")[OWNER] == alice.name


def test_workloads_made_empty_and_scaled_at_once_get_what_fits(
    running: RunningWebhook, here: str, named: Named
) -> None:
    alice = named("alice")
    names = ("first", "second", "third")
    for name in names:
        assert " created\n" in alice.create(json.dumps(deployment(f"empty-{name}", replicas=0)))
    assert "scaled" in alice.run("scale", "deployment", *(f"empty-{name}" for name in names), "--replicas=2")
    eventually(lambda: len(owners(running, here, "pods", "empty-")) == 2)
    assert FULL in alice.create(pod("one-more"))
    assert "scaled" in alice.run("scale", "deployment", *(f"empty-{name}" for name in names), "--replicas=0")


def test_a_pod_that_is_evicted_and_made_anew_is_counted_all_the_while(
    running: RunningWebhook, here: str, named: Named
) -> None:
    alice, bob = named("alice"), named("bob")
    assert " created\n" in bob.create(json.dumps(deployment("evicted", replicas=2)))
    eventually(lambda: len(owners(running, here, "pods", "evicted")) == 2)
    before = owners(running, here, "pods", "evicted")
    name = next(iter(before)).partition(" ")[2]
    forged = {"name": name, "annotations": {OWNER: alice.name}}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": forged}
    path = f"--raw=/api/v1/namespaces/{here}/pods/{name}/eviction"

    assert "Success" in run(running, here, "create", path, "-f", "-", user="admin", stdin=json.dumps(eviction))

    def after() -> dict[str, str]:
        return owners(running, here, "pods", "evicted")

    eventually(lambda: len(after()) == 2 and after() != before)
    assert set(after().values()) == {bob.name}
    assert FULL in bob.create(pod("one-more"))


def test_a_restorer_brings_owners_back_and_no_room(running: RunningWebhook, here: str, named: Named) -> None:
    alice, velero = named("alice"), Person(running, here, "system:serviceaccount:velero:velero")
    bodies = [a_pod(f"restored-{number}") for number in range(3)]
    for body in bodies:
        body["metadata"]["annotations"] = {OWNER: alice.name, GROUPS: '["ml"]'}
    said = velero.create(json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}))
    assert said.count(" created\n") == 2
    assert f"{FULL}, reserved: pods=0, free: pods=0 for user/{alice.name}" in said
    assert stamped(running, here, "pod", "restored-0") == {OWNER: alice.name, GROUPS: '["ml"]'}


def test_a_kind_of_the_same_name_in_another_group_is_another_kind(
    running: RunningWebhook, here: str, named: Named
) -> None:
    alice, kubectl = named("alice"), running.cluster.kubectl
    names = {"plural": "pods", "singular": "pod", "kind": "Pod"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "odd.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    crd = {**head, "metadata": {"name": "pods.odd.example.com"}, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(crd))
    kubectl("wait", "--for=condition=Established", "crd/pods.odd.example.com", "--timeout=20s")
    odd = {**a_pod("odd"), "apiVersion": "odd.example.com/v1"}
    path = f"--raw=/apis/odd.example.com/v1/namespaces/{here}/pods"

    def stored() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(kubectl("get", f"{path}/odd").stdout)
        return found

    def is_created() -> bool:
        words = ("create", path, "-f", "-", f"--as={alice.name}", "--as-group=system:masters")
        return kubectl(*words, stdin=json.dumps(odd), check=False).returncode == 0

    eventually(is_created)
    reference = {"apiVersion": "odd.example.com/v1", "kind": "Pod", "name": "odd", "uid": stored()["metadata"]["uid"]}
    referring = a_pod("referring")
    referring["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
    said = [alice.create(json.dumps(each)) for each in (referring, a_pod("second"), a_pod("third"))]
    is_ours = stamp_of(stored())
    kubectl("delete", "crd", "pods.odd.example.com", "--wait=false")

    assert is_ours == ""
    assert [" created\n" in each for each in said] == [True, True, False]
    assert FULL in said[2]
    assert stamped(running, here, "pod", "second")[OWNER] == alice.name


NOT_OURS = {
    # They change no field of the pod: they talk to it, or show or evict it.
    "pods/attach",
    "pods/exec",
    "pods/portforward",
    "pods/proxy",
    "pods/eviction",
}


def test_every_subresource_that_can_be_written_is_known(running: RunningWebhook) -> None:
    """A new version of Kubernetes may bring another way to change a pod or a workload."""
    configuration = json.loads(
        running.cluster.kubectl("get", "validatingwebhookconfiguration", "userquota", "-o", "json").stdout
    )
    # Without those for custom kinds, which an earlier test may have limited: they need not be served any more.
    webhooks = [each for each in configuration["webhooks"] if not each["name"].startswith("counts.")]
    rules = [rule for webhook in webhooks for rule in webhook["rules"]]
    known = {(group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]}
    served = set()
    for group in sorted({group for group, _ in known}):
        path = f"/apis/{group}/v1" if group else "/api/v1"
        for each in json.loads(running.cluster.kubectl("get", "--raw", path).stdout)["resources"]:
            plural, _, subresource = each["name"].partition("/")
            if subresource and (group, plural) in known and {"create", "update", "patch"} & set(each["verbs"]):
                served.add((group, each["name"]))
    assert {name for _, name in served - known} == NOT_OURS


def test_a_policy_elsewhere_says_nothing_and_a_lost_entry_frees_nothing(
    running: RunningWebhook, here: str, named: Named
) -> None:
    """Last of the module: it changes the policy."""
    alice = named("alice")
    own = f"users: {{{alice.name}: {{hard: {{pods: 3}}}}}}\n"
    running.set_policy(POLICY + own)
    for number in range(3):
        assert " created\n" in alice.create(pod(f"raised-{number}"))
    for place, label in ((here, {"userquota.dev/policy": "true"}), ("userquota-system", {})):
        metadata = {"name": "decoy", "labels": label}
        decoy = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"p": f"version: 1\n{own}"}}
        running.cluster.kubectl("create", "-n", place, "-f", "-", stdin=json.dumps(decoy))

    running.set_policy(POLICY)
    refused = [alice.create(pod("x"))]
    alice.delete("pod", "raised-0", "--grace-period=0", "--force")
    eventually(lambda: FULL in alice.create(pod("x")))
    running.cluster.kubectl("delete", "configmap", "decoy", "-n", "userquota-system")
    assert "requested: pods=1, used: pods=3, limited: pods=2" in refused[0]
