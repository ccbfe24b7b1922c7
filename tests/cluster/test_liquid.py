"""
A broker drives this cluster by LIQUID, through a real API server: the Go program of its own declarations asks, decodes
every answer strictly, and checks it.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from tests.cli.running import in_process
from tests.cluster.people import Person
from tests.cluster.running import NAMESPACE, RunningWebhook, eventually
from tests.cluster.test_commitments import GPUS_A_NODE, ZONE, nodes
from tests.commands import command
from tests.liquid.broker import Broker, Outcome, Step, raw
from tests.liquid.scenes import changeset, commitment
from webhook.registration import manifest_files

pytestmark = pytest.mark.go

GROUP = "liquid.userquota.dev"
COMPONENT = manifest_files.folder() / "components" / "liquid"
MOST_MEMORY = (2**63 - 1) // 2**20
"""MiB: the most bytes that Kubernetes writes."""

FLAGS = {
    "topology": "az-aware",
    "hasCapacity": True,
    "needsResourceDemand": False,
    "hasQuota": True,
    "handlesCommitments": True,
}


def policy(place: str, **others: Any) -> str:
    """
    Return a policy with a class of nodes, the tenant of the namespace *place*, which is the project `p-1`, and another.
    """
    of_nodes = {"nodes": {"matchLabels": {"commitments.test/gpu": "h100"}}, "devices": ["nvidia.com/gpu"]}
    tenant = {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": place}}, "project": "p-1"}
    ads = {"namespaces": {"matchLabels": {"team": "ads"}}, "project": "p-2"}
    tenants = {"research": tenant, "ads": ads}
    return json.dumps({"version": 1, "nodeClasses": {"h100": of_nodes}, "tenants": tenants, **others})


@pytest.fixture(scope="module")
def six(running: RunningWebhook) -> Iterator[list[str]]:
    """Two nodes in each of the zones a, b and c."""
    with nodes(running, 6) as names:
        yield names


@pytest.fixture(scope="module")
def served(running: RunningWebhook, view: None) -> Iterator[None]:
    """API servers pass what a broker asks on to the replica; the account `limes` is a broker, `stranger` is none."""
    installed = [yaml.safe_load((COMPONENT / f"{name}.yaml").read_text()) for name in ("apiservice", "clusterrole")]
    installed[0]["spec"]["caBundle"] = base64.b64encode(running.ca.read_bytes()).decode()
    installed[0]["spec"]["service"]["port"] = running.view_port
    stranger = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "stranger", "namespace": NAMESPACE}}
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*installed, stranger]})
    kubectl = running.cluster.kubectl
    kubectl("apply", "-f", "-", stdin=manifest)
    for line in command("docs/liquid.md", "kubectl -n userquota-system create serviceaccount").splitlines():
        kubectl(*shlex.split(line)[1:])
    for server in (1, 2):
        eventually(partial(_is_served, running, server))
    yield
    kubectl("delete", "clusterrolebinding", "limes")
    kubectl("delete", "serviceaccount", "limes", "-n", NAMESPACE)
    kubectl("delete", "-f", "-", stdin=manifest)


def _is_served(running: RunningWebhook, server: int) -> bool:
    path = f"/apis/{GROUP}/v1/info"
    return running.cluster.kubectl("get", "--raw", path, server=server, check=False).returncode == 0


def as_account(running: RunningWebhook, name: str, *, server: int = 1) -> Broker:
    """Return a broker with a token of an account, or without one."""
    token = running.cluster.kubectl("create", "token", name, "-n", NAMESPACE).stdout.strip() if name else ""
    access = running.cluster.access
    return Broker(f"{access.server_urls[server - 1]}/apis/{GROUP}", access.ca_file, token)


@pytest.fixture
def limes(running: RunningWebhook, served: None, person: Person, six: list[str]) -> Iterator[Broker]:
    """A broker that has written nothing yet."""
    running.set_policy(policy(person.place))
    yield as_account(running, "limes")
    running.cluster.kubectl("delete", "configmap", "userquota-commitments", "-n", NAMESPACE, "--ignore-not-found")


def valid(outcome: Outcome) -> Any:
    """Return an answer to which the declarations have nothing to say."""
    assert (outcome.status, outcome.invalid) == (200, ""), outcome
    assert outcome.content_type == "application/json"
    return outcome.answer


def a_pod(name: str, zone: str, *, gpus: int = 0, cpu: str = "1", memory: str = "0") -> str:
    resources = {"requests": {"cpu": cpu, "memory": memory, "nvidia.com/gpu": str(gpus)}}
    resources["limits"] = {"nvidia.com/gpu": str(gpus)}
    selector = {"commitments.test/gpu": "h100", **({ZONE: zone} if zone else {})}
    spec = {"nodeSelector": selector, "containers": [{"name": "x", "image": "example/x", "resources": resources}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def test_the_info_is_what_the_policy_has_classes_of_and_its_version_changes_with_it(
    running: RunningWebhook, limes: Broker, person: Person
) -> None:
    info, again = (valid(each) for each in limes.do({"do": "info"}, {"do": "info"}))
    other = valid(as_account(running, "limes", server=2).do({"do": "info"})[0])

    assert info == again == other
    resources = info["resources"]
    assert sorted(resources) == ["h100_cpu", "h100_gpu", "h100_memory"]
    attributes = {"nodeClass": "h100", "resource": "requests.memory"}
    assert resources["h100_memory"] == {
        "displayName": "memory (h100)",
        "unit": "MiB",
        **FLAGS,
        "attributes": attributes,
    }
    running.set_policy(policy(person.place, resources={"gpu": {"displayName": "GPUs"}}))
    newer = valid(limes.do({"do": "info"})[0])
    assert newer["version"] > info["version"]
    assert newer["resources"]["h100_gpu"]["displayName"] == "GPUs (h100)"


def test_the_check_passes_and_leaves_nothing(
    running: RunningWebhook, limes: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(running.cluster.kubeconfig("admin")))
    line = command("docs/liquid.md", "userquota selfcheck")
    asked = tuple(shlex.split(line)[1:])

    eventually(lambda: in_process(*asked).code == 0, what=lambda: str(in_process(*asked)))
    told = in_process(*asked)
    assert [line.split(":")[0] for line in told.out.splitlines()] == [
        *("ok    info", "ok    capacity", "ok    usage", "ok    dry run", "ok    round trip", "ok    pending"),
        *("ok    batch", "ok    cleaning up"),
    ]
    assert told.out.count(": accepted") == 4
    kept = running.cluster.kubectl("get", "configmap", "userquota-commitments", "-n", NAMESPACE, "-o", "json").stdout
    assert "selfcheck-" not in json.loads(kept)["data"]["commitments.yaml"]
    unknown = in_process("selfcheck", "--project", "p-9", "--zone", "a")
    assert (unknown.code, unknown.err.startswith("FAILED v1/projects/p-9/report-usage: ")) == (1, True)


def test_capacity_is_what_nodes_have_in_the_zones_asked_for(limes: Broker) -> None:
    report = valid(limes.one({"do": "report-capacity", "zones": ["a", "b", "empty"]}))

    per_zone = {name: each["perAZ"] for name, each in report["resources"].items()}
    gpus = 2 * GPUS_A_NODE
    assert per_zone == {
        "h100_gpu": zones(gpus),
        "h100_cpu": zones(2 * 64),
        "h100_memory": zones(2 * 512 * 1024),
    }


def zones(number: int) -> dict[str, dict[str, int]]:
    return {
        "a": {"capacity": number},
        "b": {"capacity": number},
        "empty": {"capacity": 0},
        "unknown": {"capacity": number},
    }


def test_usage_is_that_of_the_project_by_zone_with_its_pods(
    limes: Broker, person: Person, running: RunningWebhook
) -> None:
    assert " created\n" in person.create(a_pod("one", "a", gpus=2, cpu="500m", memory="1537Mi"))
    assert " created\n" in person.create(a_pod("two", "a", cpu="700m", memory="100k"))
    assert " created\n" in person.create(a_pod("anywhere", "", gpus=1))
    uid = person.run("get", "pod", "one", "-o=jsonpath={.metadata.uid}")

    def used() -> Any:
        return valid(limes.one({"do": "report-usage", "project": "p-1", "zones": ["a", "b"]}))["resources"]

    eventually(lambda: used()["h100_gpu"]["perAZ"].get("unknown", {}).get("usage") == 1, what=lambda: str(used()))
    found = used()
    assert {name: each["quota"] for name, each in found.items()} == dict.fromkeys(found, -1)
    by_zone = {name: {zone: one["usage"] for zone, one in each["perAZ"].items()} for name, each in found.items()}
    assert by_zone == {
        "h100_cpu": {"a": 2, "b": 0, "unknown": 1},  # 1.2 cores
        "h100_memory": {"a": 1538, "b": 0, "unknown": 0},
        "h100_gpu": {"a": 2, "b": 0, "unknown": 1},
    }
    listed = {each["name"]: each for each in found["h100_memory"]["perAZ"]["a"]["subresources"]}
    assert sorted(listed) == [f"{person.place}/one", f"{person.place}/two"]
    one = listed[f"{person.place}/one"]
    assert (one["id"], one["usage"]) == (uid, 1537)
    assert {name: one["attributes"][name] for name in ("cpu", "memory", "gpu")} == {
        "cpu": "500m",
        "memory": "1537Mi",
        "gpu": "2",
    }


def test_who_may_call_is_a_matter_of_the_api_server(running: RunningWebhook, limes: Broker) -> None:
    calls: list[Step] = [
        {"do": "info"},
        {"do": "report-capacity"},
        {"do": "report-usage", "project": "p-1"},
        {"do": "quota", "project": "p-1", "body": {"resources": {}}},
        {"do": "change-commitments", "body": {"az": "a", "byProject": {}}},
    ]
    assert [each.status for each in as_account(running, "stranger").do(*calls)] == [403] * 5
    assert {each.status for each in as_account(running, "").do(*calls)} <= {401, 403}
    assert {each.status for each in Broker(limes.base, limes.ca, "no-token").do(*calls)} == {401}
    assert 403 not in {each.status for each in limes.do(*calls)}


def test_a_client_certificate_will_do_as_well(running: RunningWebhook, limes: Broker) -> None:
    """The only one that the authority of this cluster has signed for clients is that of its servers."""
    [certificate] = running.cluster.data_dir.rglob("server.crt")
    shown = Broker(limes.base, limes.ca, shown=(certificate, certificate.with_suffix(".key")))
    assert shown.do({"do": "info"})[0].status == 403

    binding = ("clusterrolebinding", "limes-by-certificate")
    running.cluster.kubectl("create", *binding, "--clusterrole=userquota-liquid", "--user=127.0.0.1")
    try:
        eventually(lambda: shown.do({"do": "info"})[0].status == 200)
    finally:
        running.cluster.kubectl("delete", *binding)


def one_gpu(**changed: Any) -> dict[str, Any]:
    changes = changeset(commitment(amount=1), confirmed=(0, 1), guaranteed=(0, 0))
    by_project = {"p-1": {"byResource": {"h100_gpu": changes}}}
    return {"az": "a", "dryRun": False, "infoVersion": 1, "byProject": by_project, **changed}


def test_errors_are_plain_text_that_names_the_field(limes: Broker) -> None:
    usage, quota = "/v1/projects/p-1/report-usage", "/v1/projects/p-1/quota"
    changes = "/v1/change-commitments"
    steps = {
        "az: expected the name of a zone": (400, raw("POST", changes, one_gpu(az=""))),
        "infoVersion: Expected `int`, got `str`": (400, raw("POST", changes, one_gpu(infoVersion="1"))),
        "infoVersion: 1 is not the current version": (
            409,
            {"do": "change-commitments", "stale": True, "body": one_gpu()},
        ),
        "resources['h100_gpus']: there is no such": (
            400,
            raw("PUT", quota, {"resources": {"h100_gpus": {"quota": 1}}}),
        ),
        "resources['h100_gpu'].quota: expected": (
            400,
            raw("PUT", quota, {"resources": {"h100_gpu": {"quota": 2**63}}}),
        ),
        "resources['h100_memory'].quota: expected at most": (
            400,
            raw("PUT", quota, {"resources": {"h100_memory": {"quota": MOST_MEMORY + 1}}}),
        ),
        "allAZs[0]: expected the name of a zone": (400, raw("POST", usage, {"allAZs": ["any"]})),
        "no tenant is the project 'p-3'": (404, raw("POST", usage.replace("p-1", "p-3"), {"allAZs": []})),
        "Request Entity Too Large": (413, raw("POST", usage, {"allAZs": [], "x": "x" * 2**20})),
    }
    outcomes = limes.do({"do": "info"}, *(step for _, step in steps.values()))[1:]

    for (text, (status, _)), outcome in zip(steps.items(), outcomes, strict=True):
        assert (outcome.status, outcome.is_plain) == (status, True), outcome
        assert text in outcome.text, outcome


def test_the_id_of_a_request_comes_back(limes: Broker) -> None:
    given, made = limes.do(raw("GET", "/v1/info", **{"X-Request-ID": "limes-7"}), raw("GET", "/v1/info"))

    assert given.request_id == "limes-7"
    assert len(made.request_id) == 16


def changes(*resources: tuple[str, Any], **changed: Any) -> Step:
    """Return a step that asks for changes: of each project those of its GPUs."""
    by_project = {project: {"byResource": {"h100_gpu": each}} for project, each in resources}
    body = {"az": "a", "dryRun": False, "infoVersion": 0, "byProject": by_project, **changed}
    return {"do": "change-commitments", "body": body}


def made(gpus: int, *, uuid: str = "c-00001", old: str | None = None, new: str | None = "confirmed") -> dict[str, Any]:
    """Return changes of one commitment of so many GPUs, with sums that count it alone."""
    each = commitment(uuid=uuid, amount=gpus, oldStatus=old, newStatus=new)
    confirmed = (gpus if old == "confirmed" else 0, gpus if new == "confirmed" else 0)
    return changeset(each, confirmed=confirmed, guaranteed=(0, 0))


def promised(running: RunningWebhook) -> dict[str, tuple[str, str, str]]:
    """Return the commitments that API servers tell of: their holder, amount of GPUs and zone."""
    path = "/apis/view.userquota.dev/v1alpha1/commitments"
    listed = json.loads(running.cluster.kubectl("get", "--raw", path).stdout)["items"]
    return {
        each["metadata"]["name"]: (each["spec"]["holder"], each["spec"]["amounts"]["gpu"], each["spec"]["zone"])
        for each in listed
    }


def test_a_commitment_is_made_used_moved_and_deleted(running: RunningWebhook, limes: Broker, person: Person) -> None:
    told = limes.one(changes(("p-1", made(3))))
    assert (valid(told), told.is_question) == ({}, True)
    eventually(lambda: promised(running) == {"c-00001": ("tenant/research", "3", "a")})
    assert valid(limes.one(changes(("p-1", made(3))))) == {}  # a broker that has not heard the answer asks again

    assert " created\n" in person.create(a_pod("covered", "a", gpus=2))
    step = {"do": "report-usage", "project": "p-1", "zones": ["a"]}

    def covered_by() -> Any:
        in_zone = valid(limes.one(step))["resources"]["h100_memory"]["perAZ"]["a"]
        return [each["attributes"]["commitments"] for each in in_zone.get("subresources", ())]

    eventually(lambda: covered_by() == [["c-00001"]], what=lambda: str(covered_by()))
    moved = changes(("p-1", made(3, old="confirmed", new=None)), ("p-2", made(3)))
    assert (valid(limes.one(moved)), limes.one(moved).is_question) == ({}, True)
    eventually(lambda: promised(running) == {"c-00001": ("tenant/ads", "3", "a")})
    deleted = limes.one(changes(("p-2", made(3, old="confirmed", new=None))))
    assert (valid(deleted), deleted.is_question) == ({}, False)
    eventually(lambda: promised(running) == {})


def test_what_nodes_have_not_is_refused_with_all_that_was_asked_with_it(running: RunningWebhook, limes: Broker) -> None:
    has = 2 * GPUS_A_NODE
    tried = limes.one(changes(("p-1", made(has)), dryRun=True))
    assert valid(tried) == {}
    refused = limes.one(changes(("p-1", made(has + 1)), dryRun=True))
    assert "gpu 17" in valid(refused)["rejectionReason"], refused
    both = limes.one(changes(("p-1", made(has - 1)), ("p-2", made(2, uuid="c-00002"))))
    assert "gpu 17" in valid(both)["rejectionReason"], both
    assert promised(running) == {}

    assert valid(limes.one(changes(("p-1", made(has - 1)), ("p-2", made(1, uuid="c-00002"))))) == {}
    eventually(lambda: len(promised(running)) == 2)
    later = limes.one(changes(("p-2", made(1, uuid="c-00003", new="planned"))))
    assert (valid(later), later.is_question) == ({}, False)  # nothing is promised by it, and so nothing is refused
    full = limes.one(changes(("p-2", made(1, uuid="c-00003", old="planned"))))
    assert (full.status, full.is_question) == (200, True)
    assert full.answer["rejectionReason"]


def test_quotas_bind_and_are_told_as_they_were_set(limes: Broker, person: Person) -> None:
    def quota(gpus: int) -> Step:
        resources = {"h100_gpu": {"quota": gpus}, "h100_memory": {"quota": MOST_MEMORY}}
        return {"do": "quota", "project": "p-1", "body": {"resources": resources}}

    step = {"do": "report-usage", "project": "p-1", "zones": ["a"]}
    done = limes.one(quota(4))
    assert (done.status, done.text) == (204, "")
    found = valid(limes.one(step))["resources"]
    assert {name: each["quota"] for name, each in found.items()} == {
        "h100_cpu": -1,
        "h100_gpu": 4,
        "h100_memory": MOST_MEMORY,
    }
    large = partial(person.run, "create", "-f", "-", "--dry-run=server", stdin=a_pod("large", "a", gpus=5))
    eventually(
        lambda: "quota: brokerQuotas.research.h100, requested: gpu=5, used: gpu=0, limited: gpu=4" in large(),
        what=large,
    )
    assert " created\n" in person.create(a_pod("fits", "a", gpus=4))
    below = limes.one(quota(3))
    assert (below.status, below.is_plain) == (422, True), below
    assert valid(limes.one(step))["resources"]["h100_gpu"]["quota"] == 4
