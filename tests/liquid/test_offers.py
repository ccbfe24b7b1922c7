"""What a broker is offered, what that is called and measured in, and the version of it."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from tests.liquid.scenes import classes
from tests.view.scenes import policy
from webhook.liquid.info import digest_of, next_version, service_info
from webhook.liquid.offers import Offer, offers_of
from webhook.liquid.projects import UnknownProjectError, tenant_of
from webhook.quota.quantity import NANOS

MIB = 2**20 * NANOS
CORES, MEMORY = Offer("h100_cpu", "h100", "requests.cpu"), Offer("h100_memory", "h100", "requests.memory")


def test_each_class_has_cpu_memory_and_its_devices_as_commitments_count_them() -> None:
    offered = offers_of(classes())

    assert {each.name: (each.node_class, each.resource, each.unit) for each in offered} == {
        "h100_cpu": ("h100", "requests.cpu", ""),
        "h100_memory": ("h100", "requests.memory", "MiB"),
        "h100_example.com_link": ("h100", "requests.example.com/link", ""),
        "h100_gpu": ("h100", "gpu", ""),
        "plain_cpu": ("plain", "requests.cpu", ""),
        "plain_memory": ("plain", "requests.memory", "MiB"),
    }
    assert offered.left_out == ()


def test_slices_of_a_gpu_and_whole_ones_are_one_resource() -> None:
    devices = "[nvidia.com/mig-1g.10gb, nvidia.com/gpu]"
    made = policy(f"nodeClasses: {{a100: {{nodes: {{matchLabels: {{a: b}}}}, devices: {devices}}}}}")

    assert list(offers_of(made).by_name) == ["a100_cpu", "a100_memory", "a100_gpu"]


def test_a_device_that_counts_nothing_is_offered_under_its_own_name() -> None:
    made = policy(
        "resources: {gpu: {nvidia.com/gpu: 0}}\n"
        "nodeClasses: {a100: {nodes: {matchLabels: {a: b}}, devices: [nvidia.com/gpu]}}"
    )

    assert list(offers_of(made).by_name) == ["a100_cpu", "a100_memory", "a100_nvidia.com_gpu"]


def test_a_class_that_takes_no_commitments_is_offered_without() -> None:
    made = policy("nodeClasses: {a100: {nodes: {matchLabels: {a: b}}, commitments: false}}")
    info: Any = service_info(offers_of(made), {})

    assert {name: each["handlesCommitments"] for name, each in info["resources"].items()} == {
        "a100_cpu": False,
        "a100_memory": False,
    }


def test_what_liquid_has_no_name_for_is_left_out_and_told() -> None:
    prefix = "deviceclass.resource.kubernetes.io"
    made = policy(
        "nodeClasses:\n"
        "  4x: {nodes: {matchLabels: {a: b}}}\n"
        f"  x: {{nodes: {{matchLabels: {{a: c}}}}, devices: [{prefix}/a/b, {prefix}/a_b, '{prefix}/é']}}"
    )

    offered = offers_of(made)

    assert list(offered.by_name) == ["x_cpu", "x_memory"]
    why = "LIQUID wants a name of letters, digits and ._- that begins with a letter"
    same = f"requests.{prefix}/a/b and requests.{prefix}/a_b of nodeClasses.x would have the same name"
    assert offered.left_out == (
        f"'4x_cpu': {why}",
        f"'4x_memory': {why}",
        f"x_{prefix}_a_b: {same}",
        f"'x_{prefix}_\\xe9': {why}",
    )


@pytest.mark.parametrize(
    ("offer", "amount", "used", "there"),
    [
        (MEMORY, 0, 0, 0),
        (MEMORY, 1, 1, 0),
        (MEMORY, 2032 * MIB, 2032, 2032),
        (MEMORY, 3 * MIB // 2, 2, 1),
        (MEMORY, 2**63 * MIB + 1, 2**63 + 1, 2**63),
        (CORES, NANOS // 2, 1, 0),
        (CORES, 3 * NANOS, 3, 3),
        (Offer("h100_gpu", "h100", "gpu"), Fraction(8, 7) * NANOS, 2, 1),
        (Offer("h100_gpu", "h100", "gpu"), Fraction(1, 3) * 3 * NANOS, 1, 1),
    ],
)
def test_what_is_used_is_rounded_up_and_what_is_there_down(offer: Offer, amount: int, used: int, there: int) -> None:
    assert (offer.at_least(amount), offer.at_most(amount)) == (used, there)
    assert all(type(each) is int for each in (offer.at_least(amount), offer.at_most(amount)))


@pytest.mark.parametrize("units", [0, 1, 480, 2**63 - 1])
def test_units_are_exact_both_ways(units: int) -> None:
    for offer in (CORES, MEMORY):
        assert offer.at_most(offer.exact(units)) == offer.at_least(offer.exact(units)) == units


def test_the_info_has_all_that_liquid_declares() -> None:
    made = classes()
    info = service_info(offers_of(made), made.catalogue)

    assert {name: each for name, each in info.items() if name != "resources"} == {
        "displayName": "Kubernetes",
        "categories": {},
        "rates": {},
        "capacityMetricFamilies": {},
        "usageMetricFamilies": {},
    }
    flags = {
        "topology": "az-aware",
        "hasCapacity": True,
        "needsResourceDemand": False,
        "hasQuota": True,
        "handlesCommitments": True,
    }
    told = info["resources"]
    assert isinstance(told, dict)
    assert told["h100_gpu"] == {
        "displayName": "GPUs (h100)",
        **flags,
        "attributes": {"nodeClass": "h100", "resource": "gpu"},
    }
    assert told["h100_memory"] == {
        "displayName": "memory (h100)",
        "unit": "MiB",
        **flags,
        "attributes": {"nodeClass": "h100", "resource": "requests.memory"},
    }


def test_the_digest_changes_with_the_content_and_not_with_its_order() -> None:
    def digest(text: str) -> str:
        made = policy(text)
        return digest_of(service_info(offers_of(made), made.catalogue))

    one, other = "one: {nodes: {matchLabels: {a: b}}}", "other: {nodes: {matchLabels: {c: d}}}"
    first = digest(f"nodeClasses: {{{one}, {other}}}")

    assert digest(f"nodeClasses: {{{other}, {one}}}") == first
    assert digest(f"nodeClasses: {{{one}, {other}}}\nusers: {{alice: {{hard: {{pods: 1}}}}}}") == first
    assert digest(f"nodeClasses: {{{one}}}") != first
    assert digest(f"nodeClasses: {{{one}, {other}}}\nresources: {{memory: {{displayName: RAM}}}}") != first


def test_the_next_version_is_the_time_and_never_a_smaller_one() -> None:
    now = datetime(2026, 11, 30, 9, tzinfo=UTC)
    seconds = int(now.timestamp())

    assert next_version(0, now) == seconds
    assert next_version(seconds - 1, now) == seconds
    assert next_version(seconds, now) == seconds + 1
    assert next_version(seconds + 1000, now) == seconds + 1001


def test_a_project_is_the_tenant_that_says_so() -> None:
    assert tenant_of(classes(), "p-1") == "research"
    for other in ("p-2", "research", ""):
        with pytest.raises(UnknownProjectError) as told:
            tenant_of(classes(), other)
        assert str(told.value) == f"no tenant is the project {other!r}: write tenants.NAME.project in the policy"
