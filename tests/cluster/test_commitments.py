"""Commitments on a real API server with made-up nodes: what was promised is there, and what was not is on demand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.cli.running import in_process
from tests.cluster.people import Person
from tests.cluster.running import CONFIG_MAP, NAMESPACE, RunningWebhook, eventually, has_told_of_policy
from webhook.wiring.application import SystemClock

ZONE = "topology.kubernetes.io/zone"
ZONES = ("a", "b", "c")
GPUS_A_NODE = 8


def node(name: str, zone: str, model: str = "h100") -> dict[str, Any]:
    labels = {"commitments.test/gpu": model, ZONE: zone}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def status(gpus: int = GPUS_A_NODE, *, is_ready: bool = True) -> dict[str, Any]:
    has = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    ready = {"type": "Ready", "status": "True" if is_ready else "False", "reason": "test", "message": "test"}
    return {"status": {"allocatable": has, "capacity": has, "conditions": [ready]}}


def set_status(running: RunningWebhook, name: str, said: dict[str, Any]) -> None:
    running.cluster.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps(said))


@contextmanager
def nodes(running: RunningWebhook, number: int, model: str = "h100") -> Iterator[list[str]]:
    """Make nodes in three zones, in turn, each ready and with eight GPUs."""
    names = [f"commitments-{model}-{each}" for each in range(number)]
    items = [node(each, ZONES[at % 3], model) for at, each in enumerate(names)]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    running.cluster.kubectl("create", "-f", "-", stdin=json.dumps(listed))
    try:
        for name in names:
            set_status(running, name, status())
        yield names
    finally:
        running.cluster.kubectl("delete", "nodes", *names)


@pytest.fixture(scope="module")
def forty(running: RunningWebhook) -> Iterator[list[str]]:
    """Forty nodes: 14 in zone a, 13 in each of the others, so 112, 104 and 104 GPUs."""
    with nodes(running, 40) as names:
        yield names


CLASSES = {"h100": {"nodes": {"matchLabels": {"commitments.test/gpu": "h100"}}, "devices": ["nvidia.com/gpu"]}}


def policy(people: dict[str, str], commitments: dict[str, Any], mode: str = "enforce") -> str:
    """Return a policy with a tenant for each name, and what was promised."""
    tenants = {
        name: {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": place}}} for name, place in people.items()
    }
    classes = {"h100": {**CLASSES["h100"], "mode": mode}}
    return json.dumps({"version": 1, "tenants": tenants, "nodeClasses": classes, "commitments": commitments})


def promised(holder: str, zone: str, gpus: int, **others: Any) -> dict[str, Any]:
    return {"tenant": holder, "nodeClass": "h100", "zone": zone, "amounts": {"gpu": gpus}, **others}


def a_pod(name: str, gpus: int, zone: str) -> str:
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}}
    selector = {"commitments.test/gpu": "h100", ZONE: zone}
    spec = {"nodeSelector": selector, "containers": [{"name": "x", "image": "example/x", "resources": resources}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


@pytest.fixture
def others(running: RunningWebhook, person: Person) -> Iterator[tuple[Person, Person]]:
    """Two other people, each in a namespace of their own."""
    found = []
    for _ in range(2):
        place = f"promised-{uuid4().hex[:8]}"
        running.cluster.create_namespace(place)
        found.append(Person(running, place, f"{person.name}-{place}"))
    yield found[0], found[1]
    for each in found:
        each.leave()


def test_two_tenants_have_what_was_promised_to_them_and_a_third_has_the_rest(
    running: RunningWebhook, person: Person, others: tuple[Person, Person], forty: list[str]
) -> None:
    ads, third = others
    running.set_policy(
        policy(
            {"research": person.place, "ads": ads.place},
            {"c-1": promised("research", "a", 40), "c-2": promised("ads", "a", 30), "c-3": promised("ads", "b", 60)},
        )
    )

    eventually(lambda: " created\n" in third.create(a_pod("first", 42, "a")))  # 112 - 40 - 30; nodes are known by then
    told = third.create(a_pod("second", 1, "a"))
    assert "exceeded quota: nodeClasses.h100[a], requested: gpu=1, used: gpu=42, limited: gpu=112" in told
    assert "nodeClasses.h100[a]: gpu=70 promised and not used, on demand 42 of 42 taken" in told
    assert " created\n" in person.create(a_pod("promised", 40, "a"))
    more = person.create(a_pod("more", 1, "a"))
    assert "gpu=30 promised and not used, on demand 42 of 42 taken, committed 40 of 40 in use" in more
    assert " created\n" in ads.create(a_pod("promised", 30, "a"))
    assert " created\n" in third.create(a_pod("elsewhere", 44, "b"))

    third.delete("pod", "first", "--grace-period=0")
    eventually(lambda: " created\n" in person.create(a_pod("more", 2, "a")))


def test_what_a_tenant_uses_beyond_its_commitment_has_a_limit_of_its_own(
    running: RunningWebhook, person: Person, others: tuple[Person, Person], forty: list[str]
) -> None:
    """Nodes have room for much more, and another tenant may use it."""
    other = others[0]
    text = json.loads(policy({"research": person.place, "ads": other.place}, {"c": promised("research", "a", 8)}))
    selector = {"matchExpressions": [{"scopeName": "NodeClass", "operator": "In", "values": ["h100"]}]}
    text["tenants"]["research"]["scoped"] = [{"scopeSelector": selector, "onDemand": True, "hard": {"gpu": 4}}]
    running.set_policy(json.dumps(text))

    eventually(lambda: " created\n" in person.create(a_pod("promised", 7, "a")))
    assert " created\n" in person.create(a_pod("in-part", 3, "a"))
    assert " created\n" in person.create(a_pod("elsewhere", 1, "b"))
    entry = "tenants.research.scoped[0]"
    counted = f"exceeded quota: {entry}, requested: gpu=2, used: gpu=3, limited: gpu=4, reserved: gpu=0, free: gpu=1"
    eventually(lambda: counted in person.create(a_pod("more", 2, "a")))
    told = person.create(a_pod("more", 2, "a"))
    assert f"{entry}: gpu on demand 3 of 4 taken, committed 8 of 8 in use" in told
    assert f"{entry}: gpu on demand 3 of 4 taken; " in person.create(a_pod("more", 2, "b"))
    assert " created\n" in other.create(a_pod("theirs", 50, "a"))

    person.delete("pod", "elsewhere", "--grace-period=0")
    eventually(lambda: " created\n" in person.create(a_pod("more", 2, "a")))
    person.delete("pod", "promised", "--grace-period=0")
    eventually(lambda: " created\n" in person.create(a_pod("again", 7, "a")))
    assert "on demand 4 of 4 taken, committed 8 of 8 in use" in person.create(a_pod("too-much", 1, "a"))


def test_it_ends_at_the_second_and_what_runs_stays(
    running: RunningWebhook, person: Person, others: tuple[Person, Person], forty: list[str]
) -> None:
    other, clock = others[0], SystemClock()
    running.set_policy(policy({"research": person.place}, {"c": promised("research", "b", 104)}))
    eventually(lambda: " created\n" in person.create(a_pod("promised", 100, "b")))

    assert "gpu=4 promised and not used, on demand 0 of 0 taken" in other.create(a_pod("early", 1, "b"))
    end = clock.now().replace(microsecond=0) + timedelta(seconds=4)
    commitment = promised("research", "b", 104, until=end.isoformat())
    running.set_policy(policy({"research": person.place}, {"c": commitment}))

    told = ""
    while " created\n" not in told:
        begun = clock.now()
        told = other.create(a_pod("late", 4, "b"))
        assert " created\n" in told if begun >= end else clock.now() >= end or "on demand 0 of 0" in told, told
    assert person.run("get", "pod", "promised", "-o=name") == "pod/promised\n"


def test_what_ends_and_begins_is_told_once_on_the_config_map_however_often_a_replica_starts(
    running: RunningWebhook, person: Person, forty: list[str]
) -> None:
    week, short = timedelta(days=7), timedelta(seconds=4)
    soon = SystemClock().now().replace(microsecond=0) + short
    times = {
        "long": {"until": (soon + week - timedelta(seconds=6)).isoformat()},
        "ended": {"from": (soon - week).isoformat(), "until": soon.isoformat()},
        "begun": {"from": soon.isoformat(), "state": "guaranteed"},
        "renewed": {"until": (soon + week).isoformat()},
        "next": {"from": (soon + week).isoformat(), "state": "guaranteed"},
    }
    commitments = {
        f"{name}-{person.name}": promised("research", "b", 10 + number, **each)
        for number, (name, each) in enumerate(times.items())
    }
    commitments[f"next-{person.name}"]["amounts"] = commitments[f"renewed-{person.name}"]["amounts"]
    commitments[f"ended-{person.name}"]["zone"] = "c"  # elsewhere nothing follows it
    text = json.loads(policy({"research": person.place}, commitments))
    text["users"] = {person.name: {"hard": {"pods": 10}, "until": (soon + week).isoformat()}}

    def told() -> dict[str, str]:
        """Return the reasons by message; no message comes twice."""
        listed = json.loads(running.cluster.kubectl("get", "events", "-n", NAMESPACE, "-o", "json").stdout)["items"]
        edits = ("PolicyEdited", "PolicyForced", "PolicyRefused")
        found = [each for each in listed if person.name in each["message"] and each["reason"] not in edits]
        assert all(each["involvedObject"]["name"] == CONFIG_MAP and each["count"] == 1 for each in found)
        messages = [each["message"] for each in found]
        assert sorted(messages) == sorted(set(messages))
        return {each["message"]: each["reason"] for each in found}

    running.set_policy(json.dumps(text))
    reasons = ["CommitmentConfirmed", "CommitmentEnded", "CommitmentEnding", "EntryEnding"]
    eventually(lambda: sorted(told().values()) == reasons, what=lambda: str(told()))
    assert SystemClock().now() >= soon
    [message] = [each for each, reason in told().items() if reason == "CommitmentEnding"]
    assert f"commitment long-{person.name} of tenant/research ends at" in message
    assert f"gpu=10 of h100 in b ({CONFIG_MAP}/policy.yaml:1). `userquota commitments renew long-" in message
    before = told()
    for _ in range(2):
        running.kill()
        running.start()
        running.wait_until_ready()
    later = {f"last-{person.name}": promised("research", "c", 1, until=(soon + week).isoformat())}
    running.set_policy(json.dumps({**text, "commitments": {**commitments, **later}}))
    eventually(lambda: len(told()) == len(before) + 1, what=lambda: str(told()))  # those before it came first
    assert told().items() >= before.items()


def test_nodes_that_take_no_pods_are_no_capacity_and_what_was_promised_is_still_there(
    running: RunningWebhook, person: Person, others: tuple[Person, Person], forty: list[str]
) -> None:
    other = others[0]
    running.set_policy(policy({"research": person.place}, {"c": promised("research", "c", 96)}))
    eventually(lambda: "on demand 0 of 8" in other.create(a_pod("large", 9, "c")))

    running.cluster.kubectl("cordon", forty[2])
    eventually(lambda: "on demand 0 of 0" in other.create(a_pod("one", 1, "c")))
    set_status(running, forty[5], status(is_ready=False))
    missing = "capacity: nodes have less than was promised: h100 in c: gpu 96 used or promised, 88 there, 8 missing"
    eventually(lambda: missing in running.readiness(), what=running.readiness)
    pool = 'userquota_pool{node_class="h100",resource="gpu",type="missing",zone="c"} 8.0'
    assert pool in running.metrics()
    assert " created\n" in person.create(a_pod("promised", 96, "c"))
    running.cluster.kubectl("uncordon", forty[2])
    set_status(running, forty[5], status())
    eventually(lambda: " created\n" in other.create(a_pod("one", 8, "c")))


def test_in_audit_mode_everybody_is_let_in_and_in_warn_mode_told(
    running: RunningWebhook, person: Person, others: tuple[Person, Person], forty: list[str]
) -> None:
    other, commitments = others[0], {"c": promised("research", "a", 112)}
    running.set_policy(policy({"research": person.place}, commitments, mode="audit"))
    eventually(lambda: other.create(a_pod("audited", 1, "a")) == "pod/audited created\n")

    running.set_policy(policy({"research": person.place}, commitments, mode="warn"))
    told = other.create(a_pod("warned", 1, "a"))
    assert "over quota nodeClasses.h100[a]: gpu requested 1, free 0 of 112" in told
    assert " created\n" in told


def test_an_edit_that_promises_more_than_there_is_is_refused_and_a_move_is_not(
    running: RunningWebhook, person: Person, others: tuple[Person, Person], forty: list[str]
) -> None:
    places = {"research": person.place, "ads": others[0].place}
    running.set_policy(policy(places, {"c-1": promised("research", "b", 60)}))
    eventually(lambda: " created\n" in others[1].create(a_pod("on-demand", 44, "b")))

    more = {"c-1": promised("research", "b", 60), "c-2": promised("ads", "b", 1)}
    said = edited(running, policy(places, more))
    assert "more would be promised than nodes have: h100 in b: gpu 105 used or promised from" in said
    assert "on, 104 there, 1 too much. " in said
    moved = {"c-1": promised("research", "b", 60, state="superseded"), "c-2": promised("ads", "b", 60)}
    assert edited(running, policy(places, moved)).endswith(" patched\n")
    assert "it was confirmed, which planned cannot follow" in edited(
        running, policy(places, {"c-1": promised("research", "b", 60, state="planned")})
    )


def test_whoever_makes_a_workload_is_told_how_many_of_its_pods_fit_beside_what_was_promised(
    running: RunningWebhook, person: Person, others: tuple[Person, Person], forty: list[str]
) -> None:
    ads = others[0]
    places = {"research": person.place, "ads": ads.place}
    running.set_policy(policy(places, {"c-1": promised("research", "b", 60), "c-2": promised("ads", "b", 40)}))

    def told(who: Person, gpus: int) -> str:
        return who.run("create", "--dry-run=server", "-f", "-", stdin=a_deployment("three", 3, gpus, "b"))

    over = "2 of 3 replicas fit now: over quota nodeClasses.h100[b]: gpu requested"
    eventually(lambda: f"{over} 93, free 64 of 104" in told(person, 31), what=lambda: told(person, 31))
    assert f"{over} 6, free 4 of 104" in told(others[1], 2)
    assert "Warning" not in told(ads, 14)


def a_deployment(name: str, replicas: int, gpus: int, zone: str) -> str:
    pod = json.loads(a_pod("x", gpus, zone))
    template = {"metadata": {"labels": {"app": name}}, "spec": pod["spec"]}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})


def edited(running: RunningWebhook, text: str) -> str:
    """Return what an admin is told who would replace the policy, without a reason."""
    return replaced(running, text, "--dry-run=server")


def replaced(running: RunningWebhook, text: str, *options: str) -> str:
    """Replace the policy without a reason; return what the admin is told."""
    patch = {"metadata": {"annotations": {"userquota.dev/force": None}}, "data": {"policy.yaml": text}}
    words = ("patch", "configmap", CONFIG_MAP, "-n", NAMESPACE, "--type=merge", *options, "-p", json.dumps(patch))
    answer = running.cluster.kubectl(*words, check=False)
    return answer.stderr + answer.stdout


def test_a_commitment_that_goes_round_and_round_makes_no_room(
    running: RunningWebhook, person: Person, others: tuple[Person, Person], forty: list[str]
) -> None:
    """Each move covers what its new holder uses, or is refused: of 104 GPUs never more than 104 are taken."""
    people = {"research": person, "ads": others[0], "third": others[1]}
    places = {name: each.place for name, each in people.items()}
    running.set_policy(policy(places, {"c-0": promised("research", "b", 52)}))
    eventually(lambda: " created\n" in person.create(a_pod("research", 52, "b")))

    accepted = []
    for number, holder in enumerate(["ads", "third", "research", "ads", "third", "research"], start=1):
        seen = running.log.read_text()
        said = replaced(running, policy(places, {f"c-{number}": promised(holder, "b", 52)}))
        if said.endswith(" patched\n"):
            accepted.append(holder)
            eventually(lambda seen=seen: has_told_of_policy(running.log.read_text()[len(seen) :]))  # type: ignore[misc]
        else:
            assert "more would be promised than nodes have: h100 in b: gpu 156 used or promised" in said
        if number == 1:
            assert " created\n" in people["ads"].create(a_pod("ads", 52, "b"))
        for each in people.values():
            assert "exceeded quota: nodeClasses.h100[b], requested: gpu=1" in each.create(a_pod("more", 1, "b"))
    assert accepted == ["ads", "research", "ads", "research"]


def test_two_halves_cover_a_pod_that_is_as_large_as_both(
    running: RunningWebhook, person: Person, others: tuple[Person, Person], forty: list[str]
) -> None:
    halves = {name: promised("research", "a", 4) for name in ("c-1", "c-2")}
    places = {"research": person.place, "ads": others[0].place}
    running.set_policy(policy(places, {**halves, "c-3": promised("ads", "a", 104)}))

    eventually(lambda: " created\n" in person.create(a_pod("whole", 8, "a")))
    told = person.create(a_pod("more", 1, "a"))
    assert "gpu=104 promised and not used, on demand 0 of 0 taken, committed 8 of 8 in use" in told


def test_admins_see_what_nodes_have_and_what_was_promised_to_whom(
    running: RunningWebhook, person: Person, others: tuple[Person, Person], forty: list[str], view: None
) -> None:
    over = promised("ads", "b", 1, state="expired")
    places = {"research": person.place, "ads": others[0].place}
    running.set_policy(policy(places, {"c-1": promised("research", "a", 40), "c-2": over}))
    eventually(lambda: " created\n" in person.create(a_pod("one", 8, "a")))
    eventually(lambda: " created\n" in others[1].create(a_pod("two", 12, "a")))

    def told(*words: str, user: str = "admin") -> str:
        return in_process(*words, "--kubeconfig", str(running.cluster.kubeconfig(user))).out

    eventually(lambda: told("capacity").splitlines()[1:] == CAPACITY, what=lambda: told("capacity"))
    assert told("commitments", "list").splitlines() == [
        "NAME   HOLDER            POOL     STATE       AMOUNTS   USED    UNTIL   OFFERED",
        "c-1    tenant/research   h100:a   confirmed   gpu=40    gpu=8   -       -",
    ]
    assert told("commitments", "list", "--all", "--holder", "tenant/ads", "-o", "name") == "c-2\n"
    kubectl = running.cluster.kubectl
    named = kubectl("get", "pools.view.userquota.dev,commitments.view.userquota.dev", "-o", "name").stdout
    assert "pool.view.userquota.dev/h100:a" in named
    assert "commitment.view.userquota.dev/c-1" in named
    refused = in_process("capacity", "--kubeconfig", str(running.cluster.kubeconfig("alice")))
    assert (refused.code, "pools.view.userquota.dev" in refused.err) == (2, True)


CAPACITY = [
    "h100     gpu        320   20     0          40         32       268",
    "h100:a   gpu        112   20     0          40         32       60",
]


def test_a_part_of_a_tenant_is_there_for_whom_it_is_guaranteed_to(
    running: RunningWebhook, person: Person, others: tuple[Person, Person]
) -> None:
    """Two namespaces are one tenant: what one of them is guaranteed, the other one cannot use."""
    other = others[0]
    for place in (person.place, other.place):
        running.cluster.kubectl("label", "namespace", place, "envelope=one")
    envelope = {
        "namespaces": {"matchLabels": {"envelope": "one"}},
        "hard": {"gpu": 8},
        "guaranteed": [{"namespace": person.place, "hard": {"gpu": 6}}],
    }
    written = json.dumps({"version": 1, "tenants": {"both": envelope}})
    running.set_policy(written)

    def asks(name: str, gpus: int) -> str:
        return other.create(a_pod(name, gpus, "a"))

    eventually(lambda: "limited: gpu=8" in asks("large", 9))
    assert " created\n" in asks("two", 2)
    told = asks("three", 1)
    assert "tenants.both: gpu=6 guaranteed and not used, shared 2 of 2 taken" in told
    less = written.replace('"gpu": 8', '"gpu": 7')
    edited = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP}, "data": {"policy.yaml": less}}
    patched = running.cluster.kubectl(
        *(
            "patch",
            "configmap",
            CONFIG_MAP,
            "-n",
            NAMESPACE,
            "--type=merge",
            "-p",
            json.dumps({"data": edited["data"]}),
        ),
        check=False,
    )
    assert "tenant/both: gpu 8 used, reserved or guaranteed (6), 7 by tenants.both" in patched.stderr
    assert " created\n" in person.create(a_pod("six", 6, "a"))


def sized(name: str, cpu: str, memory: str) -> str:
    requests = {"cpu": cpu, "memory": memory}
    selector = {"commitments.test/gpu": "h100", ZONE: "c"}
    container = {"name": "x", "image": "example/x", "resources": {"requests": requests}}
    spec = {"nodeSelector": selector, "containers": [container]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def test_an_odd_amount_is_the_same_wherever_it_is_told(
    running: RunningWebhook, person: Person, forty: list[str], view: None, tmp_path: Path
) -> None:
    """Memory of 1.5Mi and 2032Mi, and a tenth of a core: in decision, refusal, views, commands and metric."""
    amounts = {"cpu": "300m", "memory": "2032Mi"}
    text = json.loads(policy({"research": person.place}, {"c-1": {**promised("research", "c", 0), "amounts": amounts}}))
    text["users"] = {person.name: {"hard": amounts}}
    running.set_policy(json.dumps(text))

    eventually(lambda: " created\n" in person.create(sized("odd", "100m", "1.5Mi")))
    eventually(lambda: "userquota_reservations 0.0" in running.metrics())
    told = person.create(sized("large", "100m", "2032Mi"))
    limits = "exceeded quota: users.{}, requested: requests.memory=2032Mi, used: requests.memory=1536Ki, "
    limits += "limited: requests.memory=2032Mi, reserved: requests.memory=0, free: requests.memory=2030Mi for user/{}"
    assert limits.format(person.name, person.name) in told
    assert "would fit: requests.memory=2030.5Mi;" in told  # exactly, in the unit that was asked for
    assert " created\n" in person.create(sized("most", "200m", "2030.5Mi"))
    eventually(lambda: "userquota_reservations 0.0" in running.metrics())
    assert "used: requests.memory=2032Mi" in person.create(sized("one-byte", "0", "1"))

    own = rows(running, person, "get")
    assert [line[2:6] for line in own if line[:2] == [f"user/{person.name}", "requests.memory"]] == [
        ["2032Mi", "0", "2032Mi", "0"]
    ]
    assert [line[2:6] for line in own if line[:2] == [f"user/{person.name}", "requests.cpu"]] == [
        ["300m", "0", "300m", "0"]
    ]
    listed = rows(running, person, "get", "allocations")
    assert {line[2]: line[6] for line in listed if line[1:2] == [person.place]} == {
        "odd": "pods=1,requests.cpu=100m,requests.memory=1536Ki",
        "most": "pods=1,requests.cpu=200m,requests.memory=2079232Ki",
    }
    assert ["requests.memory", "used", "2032Mi", "=", "2032Mi", "committed", "+", "0", "reserved"] in listed
    pool = [line for line in rows(running, None, "capacity") if line[0] == "h100:c"]
    assert [line[1:] for line in pool if line[1] == "requests.memory"] == [
        ["requests.memory", "6656Gi", "2032Mi", "0", "2032Mi", "0", "6813712Mi"]
    ]
    [promise] = [line for line in rows(running, None, "commitments", "list") if line[0] == "c-1"]
    assert promise[4:6] == ["requests.cpu=300m,requests.memory=2032Mi"] * 2
    (tmp_path / "odd.json").write_text(sized("odd", "100m", "1.5Mi"))
    charge = in_process("charge", str(tmp_path / "odd.json")).out
    assert ["requests.memory", "1536Ki"] in [line.split() for line in charge.splitlines()]
    for resource, amount in (("requests.memory", 2032 * 2**20), ("requests.cpu", 0.3)):
        for of_type in ("used", "promised"):
            series = f'userquota_pool{{node_class="h100",resource="{resource}",type="{of_type}",zone="c"}} '
            [value] = [line.removeprefix(series) for line in running.metrics().splitlines() if line.startswith(series)]
            assert float(value) == amount


def rows(running: RunningWebhook, whom: Person | None, *words: str) -> list[list[str]]:
    """Return what a command prints, as the person or as the admin, word by word."""
    acting = () if whom is None else ("--as", whom.name, "--as-group", "people", "--as-group", "system:authenticated")
    ended = in_process(*words, "--kubeconfig", str(running.cluster.kubeconfig("admin")), *acting)
    assert ended.code == 0, ended
    return [line.split() for line in ended.out.splitlines()]
