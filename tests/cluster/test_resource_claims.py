"""ResourceClaims on a real API server: of people and the controller, up to the limit, until they are gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.people import Person
from tests.cluster.quotas import agreed
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_main_job import events
from tests.cluster.test_who_pays import OWNER, get, run, stamped
from tests.oracle.resource_claim_examples import asked, exactly, first_of
from tests.replicated.asking import Asking

BIG, SMALL = "big.example.com", "small.example.com"
WEIGHTS = f"resources: {{gpu: {{deviceclass/{BIG}: 1, deviceclass/{SMALL}: 1/4}}}}\n"
POLICY = f"version: 1\n{WEIGHTS}defaults: {{user: {{hard: {{gpu: 4, count/resourceclaims.resource.k8s.io: 3}}}}}}\n"
EXTENDED = "resource.kubernetes.io/extended-resource-claim"


def create(person: Person, name: str, *requests: dict[str, Any], **metadata: Any) -> str:
    return person.create(claim(name, *requests, **metadata))


def claim(name: str, *requests: dict[str, Any], **metadata: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, **metadata},
            "spec": {"devices": {"requests": requests}},
        }
    )


WAYS = {
    "kubectl create": ("create", "-f", "-"),
    "kubectl apply": ("apply", "-f", "-"),
    "server-side apply": ("apply", "--server-side", "-f", "-"),
}


@pytest.mark.parametrize("words", WAYS.values(), ids=WAYS.keys())
def test_a_claim_is_charged_to_its_maker_up_to_the_limit_in_every_way(
    running: RunningWebhook, person: Person, words: tuple[str, ...]
) -> None:
    running.set_policy(POLICY)

    def make(name: str, count: int) -> str:
        return person.run(*words, stdin=claim(name, exactly(BIG, count)))

    assert "larger than quota: defaults.user, requested: gpu=5, used: gpu=0, limited: gpu=4" in make("above", 5)
    assert "/below " in make("below", 3)
    assert "requested: gpu=2, used: gpu=" in make("above", 2)
    assert "/at " in make("at", 1)
    assert "exceeded quota" in make("above", 1)
    assert stamped(running, person.place, "resourceclaim", "at")[OWNER] == person.name


def test_the_number_of_claims_is_limited_and_a_deletion_frees(running: RunningWebhook, person: Person) -> None:
    running.set_policy(POLICY)
    for name in ("a", "b", "c"):
        assert " created\n" in create(person, name, exactly("nothing.example.com"))

    refused = create(person, "d", exactly("nothing.example.com"))
    assert "requested: count/resourceclaims.resource.k8s.io=1" in refused
    assert "would fit: nothing until one of the resourceclaims.resource.k8s.io is deleted" in refused
    person.delete("resourceclaim", "b")
    eventually(lambda: " created\n" in create(person, "d", exactly("nothing.example.com")))


def test_all_devices_cost_as_many_as_a_claim_can_be_given(running: RunningWebhook, person: Person) -> None:
    def limited(devices: int) -> str:
        return f"version: 1\ndefaults: {{user: {{hard: {{{BIG}.deviceclass.resource.k8s.io/devices: {devices}}}}}}}\n"

    running.set_policy(limited(31))
    refused = create(person, "all", exactly(BIG, allocationMode="All"))
    running.set_policy(limited(32))
    allowed = create(person, "all", exactly(BIG, allocationMode="All"))

    assert f"requested: {BIG}.deviceclass.resource.k8s.io/devices=32, used: " in refused
    assert " created\n" in allowed


async def test_of_alternatives_the_larger_counts_in_gpu_and_each_in_its_class(
    running: RunningWebhook, person: Person
) -> None:
    """One big device, or eight small ones of a quarter each."""
    running.set_policy(POLICY.replace("gpu: 4", "gpu: 3+1/4"))
    choice = first_of(asked(BIG), asked(SMALL, 8))

    assert " created\n" in create(person, "a", choice)
    assert "requested: gpu=2, used: gpu=" in create(person, "b", choice)
    assert " created\n" in create(
        person, "b", exactly(BIG), exactly(SMALL, allocationMode="ExactCount", name="none", count=0)
    )

    names = [f"{each}.deviceclass.resource.k8s.io/devices" for each in (BIG, SMALL)]
    names += [f"requests.deviceclass.resource.kubernetes.io/{each}" for each in (BIG, SMALL)]
    quota = {"hard": dict.fromkeys(["count/resourceclaims.resource.k8s.io", *names], "99")}
    async with Asking(running.cluster) as asking:
        [used] = await agreed(running, asking, person.place, [quota])
    assert [used[name] for name in names] == ["2", "9", "2", "9"]


def test_access_for_administration_costs_what_other_access_costs(running: RunningWebhook, person: Person) -> None:
    """As in ResourceQuota, though it keeps nobody from the device. Only a labelled namespace may have such claims."""
    running.set_policy(POLICY)
    label = "resource.kubernetes.io/admin-access"
    watcher = exactly(BIG, 3, adminAccess=True)

    assert "admin access" in create(person, "watcher", watcher)
    running.cluster.kubectl("label", "namespace", person.place, f"{label}=true")
    try:
        eventually(lambda: " created\n" in create(person, "watcher", watcher))
        assert "requested: gpu=2, used: gpu=" in create(person, "more", exactly(BIG, 2))
    finally:
        running.cluster.kubectl("label", "namespace", person.place, f"{label}-")


def pod_with(template: str, name: str) -> str:
    spec = {
        "containers": [{"name": "main", "image": "example/x", "resources": {"claims": [{"name": "gpu"}]}}],
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": template}],
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def claims_of(running: RunningWebhook, place: str, pod: str) -> list[str]:
    listed = running.cluster.kubectl("get", "resourceclaims", "-n", place, "-o", "name").stdout
    return [name for name in listed.split() if f"/{pod}-gpu-" in name]


def test_the_owner_of_a_pod_pays_for_the_claim_of_a_template_until_the_claim_is_gone(
    running: RunningWebhook, person: Person
) -> None:
    """The template is another person's, and the claim outlives its pod by a finalizer."""
    running.set_policy(POLICY)
    place, colleague = person.place, Person(running, person.place, f"{person.name}-colleague")
    template = json.loads(claim("three", exactly(BIG, 3)))
    template |= {"kind": "ResourceClaimTemplate", "spec": {"spec": template["spec"]}}
    assert " created\n" in colleague.create(json.dumps(template))

    assert " created\n" in person.create(pod_with("three", "first"))
    eventually(lambda: len(claims_of(running, place, "first")) == 1)
    [made] = claims_of(running, place, "first")
    assert stamped(running, place, *made.split("/"))[OWNER] == person.name
    assert "requested: gpu=2, used: gpu=" in create(person, "own", exactly(BIG, 2))

    assert " created\n" in person.create(pod_with("three", "second"))
    eventually(lambda: "exceeded quota: defaults.user, requested: gpu=3, used: gpu=3" in events(running, place))
    assert claims_of(running, place, "second") == []

    keep = json.dumps({"metadata": {"finalizers": ["example.com/keep"]}})
    running.cluster.kubectl("patch", made, "-n", place, "--type=merge", "-p", keep)
    person.delete("pod", "second", "--force", "--grace-period=0")
    person.delete("pod", "first", "--force", "--grace-period=0")
    eventually(lambda: "deletionTimestamp" in get(running, place, *made.split("/"))["metadata"])
    assert "requested: gpu=2, used: gpu=3" in create(person, "own", exactly(BIG, 2))

    released = json.dumps({"metadata": {"finalizers": None}})
    running.cluster.kubectl("patch", made, "-n", place, "--type=merge", "-p", released)
    eventually(lambda: " created\n" in create(person, "own", exactly(BIG, 4)))


def test_only_the_scheduler_marks_a_claim_as_made_for_a_pods_extended_resources(
    running: RunningWebhook, person: Person
) -> None:
    """The mark saves something on a claim that a pod controls; on any other it is a note, and the claim costs all."""
    running.set_policy(POLICY)
    plain = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "mine"},
            "spec": {"containers": [{"name": "main", "image": "example/x"}]},
        }
    )
    assert " created\n" in person.create(plain)
    uid = get(running, person.place, "pod", "mine")["metadata"]["uid"]
    controlled = {
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "mine", "uid": uid, "controller": True}]
    }
    marked = {"annotations": {EXTENDED: "true"}}
    refusal = f"the annotation {EXTENDED} of a pod's claim is for system:kube-scheduler to write"

    assert refusal in create(person, "both", exactly(BIG, 9), **controlled, **marked)
    assert " created\n" in create(person, "controlled", exactly(BIG), **controlled)
    assert " created\n" in create(person, "marked", exactly(BIG), **marked)

    for name, metadata in (("controlled", marked), ("marked", controlled)):
        for kind in ("merge", "strategic"):
            patch = json.dumps({"metadata": metadata})
            assert refusal in person.run("patch", "resourceclaim", name, f"--type={kind}", "-p", patch)
    applied = claim("controlled", exactly(BIG), **controlled, **marked)
    assert refusal in person.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=applied)
    assert "requested: gpu=3, used: gpu=2" in create(person, "rest", exactly(BIG, 3))
    person.delete("pod", "mine", "--force", "--grace-period=0")


async def test_a_claim_that_the_scheduler_makes_for_a_pod_costs_no_device_twice(
    running: RunningWebhook, person: Person
) -> None:
    """The pod has paid for the devices that it names as an extended resource. Its owner pays for the claim's count."""
    running.set_policy(POLICY)
    devices = f"deviceclass.resource.kubernetes.io/{BIG}"
    container = {"name": "main", "image": "example/x", "resources": {"limits": {devices: "3"}}}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mine"}, "spec": {"containers": [container]}}
    assert " created\n" in person.create(json.dumps(manifest))
    uid = get(running, person.place, "pod", "mine")["metadata"]["uid"]
    pod = {"apiVersion": "v1", "kind": "Pod", "name": "mine", "uid": uid, "controller": True}

    made = claim("made", exactly(BIG, 3), ownerReferences=[pod], annotations={EXTENDED: "true"})
    said = run(running, person.place, "create", "-f", "-", "--as=system:kube-scheduler", user="admin", stdin=made)

    assert " created\n" in said, said
    assert stamped(running, person.place, "resourceclaim", "made")[OWNER] == person.name
    assert "requested: gpu=2, used: gpu=3" in create(person, "own", exactly(BIG, 2))
    assert " created\n" in create(person, "own", exactly(BIG))
    names = [f"{BIG}.deviceclass.resource.k8s.io/devices", f"requests.{devices}"]
    async with Asking(running.cluster) as asking:
        [used] = await agreed(running, asking, person.place, [{"hard": dict.fromkeys(names, "99")}])
    assert used == dict.fromkeys(names, "4")


@pytest.mark.parametrize("subresource", [(), ("--subresource=status",)], ids=["the claim", "its status"])
def test_nobody_changes_the_stamp_of_a_claim(
    running: RunningWebhook, person: Person, subresource: tuple[str, ...]
) -> None:
    running.set_policy(POLICY)
    assert " created\n" in create(person, "kept", exactly(BIG))

    patch = json.dumps({"metadata": {"annotations": {OWNER: "bob"}}})
    answer = run(running, person.place, "patch", "resourceclaim", "kept", *subresource, "-p", patch, user="admin")

    assert f"left as they are: {person.name} pays" in answer or (subresource and "patched (no change)" in answer), (
        answer
    )
    assert stamped(running, person.place, "resourceclaim", "kept")[OWNER] == person.name


@pytest.fixture
def named_class(running: RunningWebhook, person: Person) -> Iterator[str]:
    """A DeviceClass whose devices are `example.com/NAME`, NAME being what is returned."""
    name = f"{person.place}-card"
    spec = {"extendedResourceName": f"example.com/{name}"}
    made = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}
    running.cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))
    yield name
    running.cluster.kubectl("delete", "deviceclass", name)


@pytest.mark.needs("`extendedResourceName` of a DeviceClass")
async def test_a_limit_on_an_extended_resource_binds_in_whichever_way_its_devices_are_asked_for(
    running: RunningWebhook, person: Person, named_class: str
) -> None:
    extended, implicit = f"example.com/{named_class}", f"deviceclass.resource.kubernetes.io/{named_class}"
    running.set_policy(f"version: 1\nnamespaces: {{{person.place}: {{hard: {{requests.{extended}: 4}}}}}}\n")

    def pod(name: str, resource: str, count: int) -> str:
        resources = {"limits": {resource: str(count)}}
        spec = {"containers": [{"name": "main", "image": "example/x", "resources": resources}]}
        meta = {"name": name}
        return person.create(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}))

    eventually(lambda: f"requested: requests.{extended}=5" in create(person, "above", exactly(named_class, 5)))
    assert " created\n" in create(person, "claim", exactly(named_class, 2))
    assert " created\n" in pod("by-name", extended, 1)
    assert " created\n" in pod("by-class", implicit, 1)
    for refused in (
        create(person, "more", exactly(named_class)),
        pod("more-by-name", extended, 1),
        pod("more-by-class", implicit, 1),
    ):
        assert f"requested: requests.{extended}=1, used: requests.{extended}=" in refused

    async with Asking(running.cluster) as asking:
        person.delete("pod", "by-class", "--force", "--grace-period=0")
        quota = {"hard": {f"requests.{extended}": "9"}}
        [used] = await agreed(running, asking, person.place, [quota])
    assert used == {f"requests.{extended}": "3"}
