"""What a broker is told of capacity and usage: exact sums, rounded once, and nothing that is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.liquid.scenes import MIB, a_scene, classes, pod
from tests.view.scenes import LABELS
from webhook.liquid.capacity import CapacityReport, known_use
from webhook.liquid.offers import offers_of
from webhook.liquid.usage import ProjectUsage
from webhook.quota.capacity import NodeFacts, capacity_of
from webhook.quota.commitments import Pool
from webhook.quota.objects import ObjectKey
from webhook.quota.quantity import NANOS
from webhook.quota.subject import tenant
from webhook.view.standings import Scene

assert LABELS["red"] == {"team": "research"}  # the tenant of the scenes


def node(zone: str, cpu: int, memory: int, gpus: int = 0, gpu: str = "h100") -> NodeFacts:
    labels = {"gpu": gpu, **({"topology.kubernetes.io/zone": zone} if zone else {})}
    has = {"requests.cpu": cpu * NANOS // 10, "requests.memory": memory * NANOS}
    has["requests.nvidia.com/gpu"] = gpus * NANOS
    return NodeFacts(labels, tuple(sorted((name, amount) for name, amount in has.items() if amount)))


NODES = (node("a", 15, 3 * MIB // 2, 8), node("a", 15, 3 * MIB // 2, 8), node("b", 10, MIB, 4), node("", 9, MIB, 1))
COMMITTED = """
commitments:
  c-1: {tenant: research, nodeClass: h100, zone: a, amounts: {gpu: 4}}
"""


def capacity(where: Scene, *zones: str, nodes: tuple[NodeFacts, ...] = NODES) -> Any:
    has = capacity_of(nodes, where.policy.node_classes, where.policy.devices)

    def of(pool: Pool) -> Mapping[str, Any]:
        return has.get(pool, {})

    used = known_use(where.policy.commitments, where.usage)
    found = CapacityReport(offers_of(where.policy), zones, has=of, used=used)
    assert len(list(found.walk())) == 2  # a step for each class
    report: Any = found.result(version=7)
    assert report["infoVersion"] == 7
    return {name: each["perAZ"] for name, each in report["resources"].items()}


def test_zones_without_nodes_have_nothing_and_the_rest_is_unknown() -> None:
    told = capacity(a_scene(), "a", "empty")

    assert told["h100_gpu"] == {"a": {"capacity": 16}, "empty": {"capacity": 0}, "unknown": {"capacity": 5}}
    assert told["h100_cpu"] == {"a": {"capacity": 3}, "empty": {"capacity": 0}, "unknown": {"capacity": 1}}  # 1.9 cores
    assert told["h100_memory"] == {"a": {"capacity": 3}, "empty": {"capacity": 0}, "unknown": {"capacity": 2}}
    assert told["plain_cpu"] == {"a": {"capacity": 0}, "empty": {"capacity": 0}}


def test_no_zone_asked_for_is_all_unknown() -> None:
    assert capacity(a_scene())["h100_gpu"] == {"unknown": {"capacity": 21}}
    assert capacity(a_scene(), nodes=())["h100_gpu"] == {}


def test_use_is_told_where_commitments_count_it() -> None:
    where = a_scene(COMMITTED)
    pod(where, "one", "a", cpu=2, gpu=3)
    pod(where, "several", "a", "b", gpu=2)
    pod(where, "elsewhere", "c", gpu=1, namespace="blue")

    told = capacity(where, "a", "b")

    assert told["h100_gpu"] == {
        "a": {"capacity": 16, "usage": 3},
        "b": {"capacity": 4, "usage": 0},
        "unknown": {"capacity": 1, "usage": 3},
    }
    assert told["h100_cpu"]["a"] == {"capacity": 3, "usage": 2}
    assert told["plain_cpu"] == {"a": {"capacity": 0}, "b": {"capacity": 0}}  # nothing was promised of it


def test_use_in_no_zone_is_told_where_all_nodes_are_in_one() -> None:
    where = a_scene(COMMITTED)
    pod(where, "several", "a", "b", gpu=2)

    told = capacity(where, "a", nodes=NODES[:1])["h100_gpu"]

    assert told == {"a": {"capacity": 8, "usage": 0}, "unknown": {"capacity": 0, "usage": 2}}


def test_commitments_without_zones_tell_no_use_by_zone() -> None:
    where = a_scene("commitments: {c-1: {tenant: research, nodeClass: h100, amounts: {gpu: 4}}}")
    pod(where, "one", "a", gpu=3)

    assert capacity(where, "a")["h100_gpu"] == {"a": {"capacity": 16}, "unknown": {"capacity": 5}}
    assert capacity(where)["h100_gpu"] == {"unknown": {"capacity": 21, "usage": 3}}


def usage(where: Scene, *zones: str, quotas: Mapping[str, int] | None = None, covered: Any = None) -> Any:
    found = ProjectUsage(
        offers_of(where.policy),
        tenant("research"),
        zones,
        subjects_of=where.usage.subjects_of,
        devices=where.policy.devices,
        covered_by=covered,
    )
    for path, row in where.usage.snapshot("pods").items():
        found.take(ObjectKey("pods", *path.split("/", 1)), row)
    report: Any = found.report(quotas or {}, version=9)
    assert report["infoVersion"] == 9
    return report["resources"]


def test_a_project_that_uses_nothing_has_each_resource_and_zone() -> None:
    told = usage(a_scene(), "a", "b")

    assert list(told) == list(offers_of(classes()).by_name)
    nothing = {"forbidden": False, "quota": -1, "perAZ": {"a": {"usage": 0}, "b": {"usage": 0}}}
    assert all(each == nothing for each in told.values())


def test_sums_are_exact_before_they_are_rounded_up() -> None:
    where = a_scene()
    for number in range(3):
        pod(where, f"p{number}", "a", cpu=0, memory=MIB // 2)

    assert usage(where, "a")["h100_memory"]["perAZ"]["a"]["usage"] == 2  # 1.5 MiB, and not 3 that are rounded


def test_what_may_run_in_several_zones_or_in_another_one_is_unknown() -> None:
    where = a_scene()
    pod(where, "one", "a", gpu=1)
    pod(where, "several", "a", "b", gpu=2)
    pod(where, "any", gpu=4)
    pod(where, "other", "c", gpu=8)

    told = usage(where, "a", "b")["h100_gpu"]["perAZ"]

    assert {zone: each["usage"] for zone, each in told.items()} == {"a": 1, "b": 0, "unknown": 14}


def test_other_tenants_other_classes_and_what_has_no_class_are_not_in_it() -> None:
    where = a_scene()
    pod(where, "mine", "a", gpu=1)
    pod(where, "other-tenant", "a", gpu=2, namespace="blue")
    pod(where, "plain", "a", cpu=5, node_class="plain")
    pod(where, "no-class", "a", cpu=5, node_class="gone")

    told = usage(where, "a")

    sums = {name: each["perAZ"]["a"]["usage"] for name, each in told.items()}
    assert sums == {
        "h100_cpu": 1,
        "h100_memory": 0,
        "h100_example.com_link": 0,
        "h100_gpu": 1,
        "plain_cpu": 5,
        "plain_memory": 0,
    }


def test_pods_are_listed_once_with_what_each_uses_and_what_covers_it() -> None:
    where = a_scene()
    pod(where, "b", "a", cpu=2, memory=3 * MIB // 2, gpu=1)
    pod(where, "a", "a", memory=0)
    covered = {ObjectKey("pods", "red", "b"): ("c-1", "c-2")}

    told = usage(where, "a", covered=covered)

    assert told["h100_memory"]["perAZ"]["a"]["subresources"] == [
        {"id": "a", "name": "red/a", "usage": 0, "attributes": {"cpu": "1", "commitments": []}},
        {
            "id": "b",
            "name": "red/b",
            "usage": 2,
            "attributes": {"cpu": "2", "memory": "1536Ki", "gpu": "1", "commitments": ["c-1", "c-2"]},
        },
    ]
    assert all("subresources" not in each["perAZ"]["a"] for name, each in told.items() if name != "h100_memory")


def test_without_knowing_what_covers_a_pod_nothing_is_said_of_it() -> None:
    where = a_scene(pods=["one"])

    [listed] = usage(where)["h100_memory"]["perAZ"]["unknown"]["subresources"]

    assert listed == {"id": "one", "name": "red/one", "usage": 0, "attributes": {"cpu": "1"}}


def test_quotas_are_told_as_they_were_set() -> None:
    told = usage(a_scene(), quotas={"h100_gpu": 0, "h100_memory": 2**63 - 1, "gone_cpu": 4})

    assert {name: each["quota"] for name, each in told.items()} == {
        "h100_cpu": -1,
        "h100_memory": 2**63 - 1,
        "h100_example.com_link": -1,
        "h100_gpu": 0,
        "plain_cpu": -1,
        "plain_memory": -1,
    }
