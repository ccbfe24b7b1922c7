"""The usage index holds raw amounts, and sums what they come to with the weights in force."""

from __future__ import annotations

from fractions import Fraction

from tests.fakes import by_payer
from webhook.quota.devices import SHIPPED, DeviceWeights, Weight
from webhook.quota.objects import ObjectKey
from webhook.quota.quantity import NANOS
from webhook.quota.reservation import CREATED, Reservation
from webhook.quota.resources import GPU, Amounts
from webhook.quota.subject import Payer, Subject, user
from webhook.quota.usage import Row, UsageIndex

SHARED: Amounts = (("count/pods", NANOS), ("requests.nvidia.com/gpu.shared", 2 * NANOS))
QUARTERS = DeviceWeights.over_shipped({"nvidia.com/gpu.shared": Weight(GPU, Fraction(1, 4))})
KEY, OTHER = ObjectKey("pods", "red", "one"), ObjectKey("pods", "red", "two")


def bind(payer: Payer, _: str) -> tuple[Subject, ...]:
    return (user(payer.owner),)


def an_index() -> UsageIndex:
    index = UsageIndex(by_payer(bind))
    index.observe(KEY, Row("u1", 5, Payer("alice"), SHARED))
    index.reserve(Reservation(OTHER, "u2", CREATED, Payer("alice"), SHARED))
    return index


def test_used_and_reserved_are_counted_with_the_weights() -> None:
    index = an_index()

    assert (index.used(user("alice"), GPU), index.reserved(user("alice"), GPU)) == (2 * NANOS, 2 * NANOS)
    assert index.held(OTHER, user("alice"), GPU) == 2 * NANOS


def test_new_weights_count_what_exists_and_what_is_in_flight_anew() -> None:
    index = an_index()

    index.rebind(by_payer(bind), QUARTERS)

    assert (index.used(user("alice"), GPU), index.reserved(user("alice"), GPU)) == (NANOS // 2, NANOS // 2)
    index.rebind(by_payer(bind), SHIPPED)
    assert index.allocated(user("alice"), GPU) == 4 * NANOS


def test_what_is_stored_stays_raw() -> None:
    index = an_index()
    row = index.row(KEY)

    assert row is not None
    assert row.amounts == SHARED
    assert [each.amounts for each in index.reservations()] == [SHARED]


def test_an_object_that_goes_takes_away_what_it_added() -> None:
    index = an_index()
    index.rebind(by_payer(bind), QUARTERS)
    [pending] = index.reservations()

    index.forget(KEY, "u1", 6)
    index.drop(pending)

    assert index.allocated(user("alice"), GPU) == 0
    assert list(index.subjects()) == []


def test_parts_of_gpus_that_annotations_ask_for_count_until_the_pod_is_gone() -> None:
    index = UsageIndex(by_payer(bind))
    both: Amounts = (("annotation/gpu-fraction", NANOS // 2), ("annotation/gpu-memory", NANOS), ("pods", NANOS))

    index.reserve(Reservation(KEY, "u1", CREATED, Payer("alice"), both))
    assert index.reserved(user("alice"), GPU) == NANOS
    index.observe(KEY, Row("u1", 5, Payer("alice"), both[::2]))
    assert index.used(user("alice"), GPU) == NANOS // 2
    index.rebind(by_payer(bind), DeviceWeights.over_shipped({"annotation/gpu-fraction": Weight(GPU, 0)}))
    assert index.allocated(user("alice"), GPU) == 0
    index.rebind(by_payer(bind), SHIPPED)
    index.forget(KEY, "u1", 6)

    assert list(index.subjects()) == []


def test_a_choice_in_a_claim_counts_as_the_larger() -> None:
    index = UsageIndex(by_payer(bind), DeviceWeights.over_shipped({"deviceclass/*": Weight(GPU, 1)}))
    claim = ObjectKey("resourceclaims.resource.k8s.io", "red", "claim")

    index.reserve(Reservation(claim, "u", CREATED, Payer("alice"), (("device/big*1|small*4", NANOS),)))
    index.reserve(Reservation(claim, "v", CREATED, Payer("alice"), (("device/small", 2 * NANOS),)))

    assert index.reserved(user("alice"), GPU) == 4 * NANOS, "only one of the two can be stored: the larger counts"
    assert index.reserved(user("alice"), "device/small") == 0


CLASS, RESOURCE = "requests.deviceclass.resource.kubernetes.io/big", "requests.example.com/gpu"
NAMED = SHIPPED.with_second_names({CLASS: RESOURCE, RESOURCE: CLASS})


def test_devices_of_a_class_cost_its_extended_resource_from_the_moment_the_class_names_it() -> None:
    index = UsageIndex(by_payer(bind))
    claim: Amounts = ((CLASS, 2 * NANOS), ("count/resourceclaims.resource.k8s.io", NANOS), ("device/big", 2 * NANOS))
    index.observe(KEY, Row("u1", 5, Payer("alice"), claim))
    index.observe(OTHER, Row("u2", 6, Payer("alice"), ((RESOURCE, 3 * NANOS),)))
    assert index.used(user("alice"), RESOURCE) == 3 * NANOS

    index.rebind(by_payer(bind), NAMED)
    assert (index.used(user("alice"), RESOURCE), index.used(user("alice"), CLASS)) == (5 * NANOS, 5 * NANOS)

    index.rebind(by_payer(bind), SHIPPED)
    assert (index.used(user("alice"), RESOURCE), index.used(user("alice"), CLASS)) == (3 * NANOS, 2 * NANOS)


def test_a_pod_that_asks_by_both_names_costs_the_sum_under_each() -> None:
    pod: Amounts = ((CLASS, 2 * NANOS), (RESOURCE, NANOS))

    assert NAMED.derive(pod) == ((CLASS, 3 * NANOS), (RESOURCE, 3 * NANOS))


def test_classes_that_name_one_extended_resource_add_up() -> None:
    other = CLASS.replace("/big", "/small")
    weights = SHIPPED.with_second_names({CLASS: RESOURCE, other: RESOURCE, RESOURCE: CLASS})

    assert dict(weights.derive(((CLASS, 2 * NANOS), (other, 5 * NANOS))))[RESOURCE] == 7 * NANOS
