"""
Only the routes of docs/attribution.md change the payer: called as by an API server, first /mutate, then /validate.

tests/manifests checks with a real API server which requests reach the webhook.
"""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import dataclass, field, replace

import jsonpatch
import pytest

from tests.admission.asking import Answer, Json, Webhook, a_review, pod, recorded, request_of
from tests.fakes import API_VERSIONS
from webhook.kinds import workloads
from webhook.kinds.evaluator import AnyKind
from webhook.ports import Denial
from webhook.quota.subject import UNATTRIBUTED, user

WORKLOADS = {kind.resource: kind for kind in workloads.WORKLOADS}

OWNER, GROUPS = "userquota.dev/owner", "userquota.dev/groups"
ALICES = {OWNER: "alice", GROUPS: "[]"}
BOBS = {OWNER: "bob", GROUPS: "[]"}
RS_CONTROLLER = "system:serviceaccount:kube-system:replicaset-controller"
NODE = {"user": "system:node:n1", "groups": ("system:nodes", "system:authenticated")}
MIRROR = {"kubernetes.io/config.mirror": "abc"}

CANNOT = "the userquota.dev annotations say who pays and cannot be changed: alice pays (stamped when it was created)"
ANOTHER = "the request does not carry the userquota.dev annotations of who pays:"
AGAIN = (
    "If that has just changed, try again; otherwise the mutating webhook of userquota was not asked, or another one "
    "changes its annotations"
)
NOT_ADDED = "userquota.dev annotations cannot be added to an object that was never attributed"
NOT_BOUND = "a binding cannot change who pays for a pod: it carries userquota.dev annotations"


def noted(document: Json, annotations: dict[str, str] | None) -> Json:
    """Return *document* with exactly these annotations."""
    return {**document, "metadata": {**document["metadata"], "annotations": annotations}}


def changed(
    annotations: dict[str, str] | None,
    *,
    by: str = "alice",
    resource: str = "pods",
    old: dict[str, str] | None = ALICES,
) -> Json:
    """Return an update of an object that carries the stamp *old* to one that carries *annotations*."""
    return a_review(resource, "UPDATE", by, object=noted(pod(), annotations), oldObject=noted(pod(), old), name="pod")


def created(document: Json, *, resource: str = "pods", user: str = "alice", groups: tuple[str, ...] = ()) -> Json:
    return a_review(resource, "CREATE", user, groups, object=document)


@dataclass(frozen=True)
class Ends:
    """The result of a request: the stamp on the stored object, or the call that denied it."""

    stamp: dict[str, str] = field(default_factory=dict)
    denied_by: str = ""
    message: str = ""


def ends(answer: Answer) -> Ends:
    return Ends({} if answer.denied_by else answer.stamp, answer.denied_by, answer.message)


ALICE_PAYS, BOB_PAYS, UNSTAMPED = Ends(ALICES), Ends(BOBS), Ends()
WITHOUT = {"example.com/note": "x"}

EDITS = {
    # Creating.
    "created plainly": (created(pod()), ALICE_PAYS),
    "created with a forged stamp": (created(noted(pod(), BOBS)), ALICE_PAYS),
    "created with half a forged stamp": (created(noted(pod(), {OWNER: "bob"})), ALICE_PAYS),
    "created with other annotations": (created(noted(pod(), WITHOUT)), ALICE_PAYS),
    "created by an admin": (
        created(pod(), user="admin", groups=("system:masters",)),
        Ends({OWNER: "admin", GROUPS: '["system:masters"]'}),
    ),
    # The plain update.
    "nothing of ours is changed": (changed({**ALICES, **WITHOUT}), ALICE_PAYS),
    "the owner is edited": (changed(BOBS), ALICE_PAYS),
    "the owner is edited by the one named": (changed(BOBS, by="bob"), ALICE_PAYS),
    "the owner is edited by an admin": (changed(BOBS, by="admin"), ALICE_PAYS),
    "the owner is edited by a service account of kube-system": (
        changed(BOBS, by="system:serviceaccount:kube-system:default"),
        ALICE_PAYS,
    ),
    "the owner is emptied": (changed({**ALICES, OWNER: ""}), ALICE_PAYS),
    "the groups are edited": (changed({**ALICES, GROUPS: '["ml"]'}), ALICE_PAYS),
    "the groups are spelled otherwise": (changed({**ALICES, GROUPS: "[ ]"}), ALICE_PAYS),
    "the owner alone is removed": (changed({GROUPS: "[]"}), ALICE_PAYS),
    "the groups alone are removed": (changed({OWNER: "alice"}), ALICE_PAYS),
    "the stamp is removed, and comes back": (changed(WITHOUT), ALICE_PAYS),
    "all annotations are removed, and the stamp comes back": (changed(None), ALICE_PAYS),
    "a controller edits the owner, and it comes back": (changed(BOBS, by=RS_CONTROLLER), ALICE_PAYS),
    "a controller removes half of the stamp, and it comes back": (
        changed({OWNER: "alice"}, by=RS_CONTROLLER),
        ALICE_PAYS,
    ),
    "the controller-manager without accounts edits the owner, and it comes back": (
        changed(BOBS, by="system:kube-controller-manager"),
        ALICE_PAYS,
    ),
    # Objects older than the installation.
    "an unstamped object is changed": (changed(WITHOUT, old=None), UNSTAMPED),
    "an unstamped object is given another owner": (changed(BOBS, old=None), UNSTAMPED),
    "an unstamped object is given the name of who changes it": (changed({OWNER: "alice"}, old=None), ALICE_PAYS),
    "an unstamped object is given an owner by a controller": (
        changed(ALICES, old=None, by=RS_CONTROLLER),
        UNSTAMPED,
    ),
    "an unstamped object is given half a stamp": (changed({GROUPS: "[]"}, old=None), UNSTAMPED),
    "half a stamp is completed": (changed(BOBS, old={OWNER: "bob"}), UNSTAMPED),
    "half a stamp is removed": (changed(None, old={OWNER: "bob"}), UNSTAMPED),
    # Mirror pods of a kubelet.
    "a node creates a mirror pod": (a_review(**NODE, object=noted(pod(), MIRROR)), UNSTAMPED),  # type: ignore[arg-type]
    "a person makes a mirror pod": (created(noted(pod(), MIRROR)), ALICE_PAYS),
    "a node makes another pod": (
        a_review(**NODE, object=pod()),  # type: ignore[arg-type]
        Ends({OWNER: "system:node:n1", GROUPS: '["system:nodes"]'}),
    ),
    # Objects that are not charged.
    "another kind of object": (created(noted(pod(), BOBS), resource="configmaps"), BOB_PAYS),
    "a pod of another group": (created(noted(pod(), BOBS), resource="pods.example.com"), BOB_PAYS),
}


@pytest.mark.parametrize(("body", "end"), EDITS.values(), ids=EDITS.keys())
async def test_an_object_ends_with_the_right_stamp(body: Json, end: Ends) -> None:
    assert ends(await Webhook().ask(body)) == end


# Routes without a mutating call.

SIDE_DOORS = ("status", "ephemeralcontainers", "resize", "something-new")


@pytest.mark.parametrize("door", SIDE_DOORS)
@pytest.mark.parametrize("resource", ["pods", *WORKLOADS])
async def test_no_subresource_is_a_way_to_another_stamp(resource: str, door: str) -> None:
    webhook = Webhook()
    route = f"{resource}/{door}"

    for written in (BOBS, {**ALICES, GROUPS: '["ml"]'}, {OWNER: "alice"}, WITHOUT, None):
        for by in ("alice", "admin", RS_CONTROLLER):
            answer = await webhook.validate_only(changed(written, resource=route, by=by))
            assert ends(answer) == Ends({}, "validate", CANNOT), (written, by)
    assert (await webhook.validate_only(changed({**ALICES, **WITHOUT}, resource=route))).allowed
    assert ends(await webhook.validate_only(changed(BOBS, resource=route, old=None))) == Ends({}, "validate", NOT_ADDED)
    assert (await webhook.validate_only(changed(None, resource=route, old=None))).allowed


@pytest.mark.parametrize("resource", list(WORKLOADS))
async def test_no_status_update_sets_another_users_controller(resource: str) -> None:
    webhook = Webhook()
    of_bob = webhook.owners.put("Deployment", "web", owner="bob")
    body = changed(None, resource=f"{resource}/status", old=None)
    body["request"]["object"]["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": of_bob.name, "uid": of_bob.uid, "controller": True}
    ]

    answer = await webhook.validate_only(body)

    assert answer.message == "Deployment web belongs to bob; only its controller can make this object part of it"


@pytest.mark.parametrize("name", ["pod-bound", "pod-bound-at-the-older-address"])
async def test_a_binding_cannot_carry_a_stamp_at_either_address(name: str) -> None:
    """The API server merges its annotations into the pod without an update of the pod."""
    assert ends(await Webhook().validate_only(recorded(name))) == Ends({}, "validate", NOT_BOUND)


@pytest.mark.parametrize("name", ["pod-bound", "pod-bound-at-the-older-address"])
@pytest.mark.parametrize("annotations", [{OWNER: ""}, {GROUPS: ""}], ids=["an empty owner", "empty groups"])
async def test_a_binding_cannot_carry_half_a_stamp(name: str, annotations: dict[str, str]) -> None:
    body = recorded(name)
    body["request"]["object"]["metadata"]["annotations"] = annotations

    assert ends(await Webhook().validate_only(body)) == Ends({}, "validate", NOT_BOUND)


@pytest.mark.parametrize("name", ["pod-bound", "pod-bound-at-the-older-address"])
@pytest.mark.parametrize("annotations", [None, WITHOUT], ids=["no annotations", "those of others"])
async def test_a_binding_without_a_stamp_passes(name: str, annotations: dict[str, str] | None) -> None:
    body = recorded(name)
    body["request"]["object"]["metadata"]["annotations"] = annotations

    assert (await Webhook().validate_only(body)).allowed


@pytest.mark.parametrize("annotations", [None, BOBS, {OWNER: "alice"}], ids=["none", "another's", "half of hers"])
async def test_without_the_mutating_call_nothing_is_created(annotations: dict[str, str] | None) -> None:
    """E.g. the mutating configuration was deleted, or another webhook replaced our stamp."""
    answer = await Webhook().validate_only(created(noted(pod(), annotations)))

    assert (answer.denied_by, answer.message) == ("validate", f"{ANOTHER} alice pays (created it). {AGAIN}")


async def test_a_pod_whose_deployment_is_taken_over_between_the_two_calls_is_a_conflict_and_then_the_new_owners() -> (
    None
):
    """A conflict is tried again by controllers, and told to nobody in an Event."""
    webhook = Webhook()
    told: list[Denial] = []
    webhook.handler = replace(webhook.handler, on_denied=told.append)
    web = webhook.owners.put("ReplicaSet", "web", owner=UNATTRIBUTED)
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": web.name, "uid": web.uid, "controller": True}
    document = pod()
    document["metadata"]["ownerReferences"] = [reference]
    body = created(document, user=RS_CONTROLLER)
    stamped = copy.deepcopy(body)
    response = await webhook.mutate(request_of(body))
    steps = json.loads(base64.b64decode(response["patch"]))
    stamped["request"]["object"] = jsonpatch.apply_patch(stamped["request"]["object"], steps)
    assert stamped["request"]["object"]["metadata"]["annotations"][OWNER] == UNATTRIBUTED

    webhook.owners.put("ReplicaSet", "web", owner="alice", uid=web.uid)
    overtaken, again = await webhook.validate_only(stamped), await webhook.ask(body)

    assert overtaken.response["status"]["code"] == 409
    assert overtaken.response["status"]["reason"] == "Conflict"
    assert overtaken.message == f"{ANOTHER} alice pays (owner of ReplicaSet web). {AGAIN}"
    assert again.stamp == ALICES
    assert told == []


@pytest.mark.parametrize("resource", list(WORKLOADS))
async def test_a_workload_is_stamped_and_its_template_left_alone(resource: str) -> None:
    kind = WORKLOADS[resource].kind
    template = {"metadata": {"annotations": {**BOBS, "example.com/note": "x"}}, "spec": {"containers": []}}
    document = {
        "apiVersion": API_VERSIONS.get(kind, "apps/v1"),
        "kind": kind,
        "metadata": {"name": "work", "namespace": "red"},
        "spec": {"template": template, "jobTemplate": {"spec": {"template": template}}},
    }

    answer = await Webhook().ask(created(document, resource=resource))

    assert answer.stamp == ALICES
    assert answer.object is not None
    assert answer.object["spec"] == document["spec"]


async def test_a_pod_that_imitates_a_mirror_pod_is_charged() -> None:
    webhook = Webhook()

    await webhook.ask(created(noted(pod(cpu="3"), MIRROR)))

    assert webhook.held(user("alice"), "requests.cpu") == 3 * 10**9


async def test_a_mirror_pod_of_a_node_is_not_charged() -> None:
    webhook = Webhook()

    answer = await webhook.ask(recorded("mirror-pod-by-a-node"))

    assert answer.allowed
    assert list(webhook.index.reservations()) == []


@pytest.mark.parametrize(
    "name", ["pod-evicted", "deployment-scaled-by-alice", "pod-status-by-a-node", "pod-deleted-by-alice"]
)
async def test_a_change_without_a_stamp_is_allowed_and_reserves_nothing(name: str) -> None:
    webhook = Webhook()

    answer = await webhook.validate_only(recorded(name))

    assert answer.response == {"uid": recorded(name)["request"]["uid"], "allowed": True, **_audit(answer)}
    assert list(webhook.index.reservations()) == []


def _audit(answer: Answer) -> Json:
    return {"auditAnnotations": answer.response["auditAnnotations"]} if "auditAnnotations" in answer.response else {}


async def test_mutating_twice_is_mutating_once() -> None:
    webhook = Webhook()
    once = await webhook.ask(created(noted(pod(), BOBS)))
    assert once.object is not None

    twice = await webhook.mutate(request_of(created(once.object)))

    assert twice == {"uid": "call-1", "allowed": True}


async def test_mutating_holds_nothing() -> None:
    webhook = Webhook()

    await webhook.mutate(request_of(created(pod(cpu="3"))))

    assert list(webhook.index.reservations()) == []


async def test_a_stamp_of_alice_is_hers_in_a_real_review_of_a_pod_of_her_replica_set() -> None:
    webhook = Webhook()
    body = recorded("pod-of-a-replicaset.mutate")
    made_for = body["request"]["object"]["metadata"]["ownerReferences"][0]
    webhook.owners.put(
        "ReplicaSet", made_for["name"], uid=made_for["uid"], owner="alice", groups='["ml"]', namespace="work"
    )

    response = await webhook.mutate(request_of(body))

    assert json.loads(base64.b64decode(response["patch"])) == [
        {"op": "add", "path": "/metadata/annotations", "value": {OWNER: "alice", GROUPS: '["ml"]'}}
    ]


async def test_a_real_adoption_leaves_the_pod_with_who_made_it() -> None:
    webhook = Webhook()
    body = recorded("pod-adopted-by-a-replicaset.mutate")
    adopter = body["request"]["object"]["metadata"]["ownerReferences"][0]
    webhook.owners.put("ReplicaSet", adopter["name"], uid=adopter["uid"], owner="alice", namespace="work")

    answer = await webhook.ask(body)

    assert answer.stamp == {OWNER: "bob", GROUPS: '["ml","people"]'}
    assert list(webhook.index.reservations()) == []


async def test_a_real_orphaning_passes_and_the_payer_stays() -> None:
    answer = await Webhook().ask(recorded("pod-orphaned-by-the-garbage-collector"))

    assert answer.stamp == {OWNER: "alice", GROUPS: '["ml","people","staff"]'}


async def test_a_real_attempt_to_change_the_owner_is_put_right_or_refused() -> None:
    webhook = Webhook()

    first = await webhook.ask(recorded("owner-changed-by-alice.mutate"))
    second = await webhook.validate_only(recorded("owner-changed-by-alice"))

    assert first.stamp[OWNER] == "alice"
    assert second.denied_by == "validate"
    assert second.message == f"{ANOTHER} alice pays (stamped when it was created). {AGAIN}"


LEFT = "the userquota.dev annotations were left as they are: alice pays"


@pytest.mark.parametrize(
    ("body", "warnings"),
    [
        (changed(BOBS), [LEFT]),
        (changed({**ALICES, GROUPS: '["ml"]'}), [LEFT]),
        (changed({OWNER: "alice"}), [LEFT]),
        (changed(BOBS, by=RS_CONTROLLER), [LEFT]),
        (changed(BOBS, old=None), [LEFT.replace("alice pays", "nobody is known to own this object")]),
        (changed({OWNER: "alice"}, old=None), ["alice pays from now on (took it over)"]),
        (changed(WITHOUT), []),
        (changed(WITHOUT, old=None), []),
        (created(noted(pod(), BOBS)), []),
    ],
    ids=["owner", "groups", "half", "by a controller", "added", "taken over", "dropped", "nobody's", "created"],
)
async def test_people_are_told_what_their_edit_does_to_who_pays(body: Json, warnings: list[str]) -> None:
    assert (await Webhook().mutate(request_of(body))).get("warnings", []) == warnings


@pytest.mark.parametrize("kind", WORKLOADS.values(), ids=WORKLOADS.keys())
async def test_who_makes_an_unattributed_workload_ask_for_more_pays_for_it(kind: AnyKind) -> None:
    def asking(replicas: int, cpu: str, image: str = "x") -> Json:
        containers = [{"name": "main", "image": image, "resources": {"requests": {"cpu": cpu}}}]
        spec: Json = {"template": {"spec": {"containers": containers}}}
        if kind.kind in ("Job", "CronJob"):
            spec["parallelism"] = replicas
        elif kind.kind != "DaemonSet":
            spec["replicas"] = replicas
        spec = {"jobTemplate": {"spec": spec}} if kind.kind == "CronJob" else spec
        return {"metadata": {"name": "work", "namespace": "red", "resourceVersion": "5"}, "spec": spec}

    async def stamp_after(new: Json, by: str = "alice") -> dict[str, str]:
        body = a_review(kind.resource, "UPDATE", by, object=new, oldObject=asking(2, "1"), name="work")
        return ends(await Webhook().ask(body)).stamp

    assert await stamp_after(asking(2, "2")) == ALICES
    assert await stamp_after(asking(2, "no quantity")) == ALICES
    assert await stamp_after(asking(3, "1")) == ({} if kind.kind == "DaemonSet" else ALICES)
    for smaller in (asking(2, "1", "another"), asking(1, "1"), asking(0, "1"), asking(2, "500m")):
        assert await stamp_after(smaller) == {}
    suspended = asking(2, "1")
    suspended["spec"]["suspend"] = True
    assert await stamp_after(suspended) == {}
    assert await stamp_after(asking(9, "9"), by=RS_CONTROLLER) == {}


VOLUME = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}}}
OTHER_VOLUME = {"name": "v", "emptyDir": {"sizeLimit": "5Gi"}}
DEVICES = {"name": "g", "resourceClaimTemplateName": "gpu"}


@pytest.mark.parametrize(
    ("old", "new", "is_more"),
    [
        ({}, {"volumes": [VOLUME]}, True),
        ({"volumes": [VOLUME]}, {"volumes": [VOLUME]}, False),
        ({"volumes": [VOLUME]}, {}, False),
        ({}, {"volumes": [OTHER_VOLUME]}, False),
        ({}, {"resourceClaims": [DEVICES]}, True),
        ({"resourceClaims": [DEVICES]}, {"resourceClaims": [{**DEVICES, "resourceClaimTemplateName": "8"}]}, True),
        ({"resourceClaims": [DEVICES]}, {"resourceClaims": None}, False),
    ],
    ids=["a claim", "the same", "none", "no claim", "devices", "other devices", "no devices"],
)
async def test_claims_that_are_made_for_pods_are_asked_for(old: Json, new: Json, *, is_more: bool) -> None:
    def deployment(more: Json) -> Json:
        template = {"spec": {"containers": [{"name": "main"}], **more}}
        return {"metadata": {"name": "work", "namespace": "red"}, "spec": {"replicas": 1, "template": template}}

    body = a_review(
        "deployments.apps", "UPDATE", "alice", object=deployment(new), oldObject=deployment(old), name="work"
    )

    assert (await Webhook().ask(body)).stamp == (ALICES if is_more else {})


@pytest.mark.parametrize(
    ("old", "new", "annotations", "is_more"),
    [
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "9"}}, {"limits": {"cpu": "9"}}, {}, True),
        ({"requests": {"cpu": "9"}, "limits": {"cpu": "9"}}, {"limits": {"cpu": "9"}}, {}, False),
        ({}, {"limits": {"nvidia.com/gpu": "1"}}, {}, True),
        ({}, {}, {"gpu-fraction": "0.5"}, True),
        ({}, {}, {"note": "0.5"}, False),
    ],
    ids=["a request less", "the same request", "a device by its limit", "a part of a GPU", "a note"],
)
async def test_what_the_api_server_fills_in_and_annotations_of_the_template_are_asked_for(
    old: Json, new: Json, annotations: Json, *, is_more: bool
) -> None:
    def deployment(resources: Json, annotations: Json) -> Json:
        containers = [{"name": "main", "resources": resources}]
        template = {"metadata": {"annotations": annotations}, "spec": {"containers": containers}}
        return {"metadata": {"name": "work", "namespace": "red"}, "spec": {"replicas": 1, "template": template}}

    before, after = deployment(old, {}), deployment(new, annotations)
    body = a_review("deployments.apps", "UPDATE", "alice", object=after, oldObject=before, name="work")

    assert (await Webhook().ask(body)).stamp == (ALICES if is_more else {})


async def test_a_workload_that_is_no_longer_suspended_asks_for_more() -> None:
    template = {"spec": {"containers": [{"name": "main"}]}}
    old, new = (
        {"metadata": {"name": "work", "namespace": "red"}, "spec": {"suspend": suspend, "template": template}}
        for suspend in (True, False)
    )

    answer = await Webhook().ask(a_review("jobs.batch", "UPDATE", "alice", object=new, oldObject=old, name="work"))

    assert answer.stamp == ALICES


def scale(new: int | None, old: int | None, *, by: str = "alice", resource: str = "deployments.apps") -> Json:
    def to(replicas: int | None) -> Json:
        return {"metadata": {"name": "work"}, "spec": {} if replicas is None else {"replicas": replicas}}

    return a_review(f"{resource}/scale", "UPDATE", by, object=to(new), oldObject=to(old), name="work")


@pytest.mark.parametrize(
    "resource", [name for name, kind in WORKLOADS.items() if ("scale", "UPDATE") in kind.subresources]
)
async def test_nobody_scales_up_what_nobody_owns(resource: str) -> None:
    webhook = Webhook("version: 1\ndefaults: {user: {hard: {pods: 9}}}\n")
    webhook.owners.put(WORKLOADS[resource].kind, "work")
    plural = resource.partition(".")[0]

    refused = await webhook.validate_only(scale(3, 2, resource=resource))

    assert refused.message == (
        f"nobody is known to own {plural} work, so nobody would pay for more; take it over first: "
        f"kubectl annotate {plural} work -n red --overwrite userquota.dev/owner=alice"
    )
    assert (await webhook.validate_only(scale(1, None, resource=resource))).denied_by == "validate"
    for body in (scale(2, 2, resource=resource), scale(None, 2, resource=resource), scale(1, 2, resource=resource)):
        assert (await webhook.validate_only(body)).allowed
    webhook.owners.put(WORKLOADS[resource].kind, "work", owner="bob")
    assert (await webhook.validate_only(scale(3, 2, resource=resource))).allowed


@pytest.mark.parametrize(
    "policy",
    ["", "defaults: {user: {hard: {pods: 9}, mode: audit}}", "cluster: {hard: {pods: 9}, mode: warn}", "cluster: {}"],
    ids=["no limit", "audit", "warn", "an entry without limits"],
)
async def test_while_no_limit_is_enforced_everything_may_be_scaled(policy: str) -> None:
    webhook = Webhook(f"version: 1\n{policy}\n")
    webhook.owners.put("Deployment", "work")
    assert (await webhook.validate_only(scale(3, 2))).allowed


STATUS_RUNS, STATUS_ENDED = {"phase": "Running"}, {"phase": "Succeeded"}


@pytest.mark.parametrize(
    ("by", "old", "new", "allowed"),
    [
        ("alice", STATUS_RUNS, STATUS_ENDED, False),
        ("system:serviceaccount:ci:runner", STATUS_RUNS, STATUS_ENDED, False),
        ("alice", STATUS_RUNS, {**STATUS_RUNS, "conditions": [{"type": "Mine"}]}, True),
        ("alice", STATUS_ENDED, STATUS_RUNS, True),
        ("system:node:n1", STATUS_RUNS, STATUS_ENDED, True),
        ("system:serviceaccount:kube-system:pod-garbage-collector", STATUS_RUNS, STATUS_ENDED, True),
    ],
    ids=["a person", "an account", "a condition", "more", "a node", "a component"],
)
async def test_a_status_frees_nothing_unless_a_component_reports_it(
    by: str, old: Json, new: Json, *, allowed: bool
) -> None:
    before, after = ({**noted(pod(), ALICES), "status": status} for status in (old, new))

    answer = await Webhook().validate_only(
        a_review("pods/status", "UPDATE", by, object=after, oldObject=before, name="pod")
    )

    assert answer.allowed is allowed
    if not allowed:
        assert (
            answer.message
            == "only the node, components of Kubernetes and trusted controllers may report that a pod uses less"
        )
