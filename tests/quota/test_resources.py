"""Lists add up by name, and charged amounts are exact."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.quota import quantity, resources
from webhook.quota.quantity import NANOS, Quantity
from webhook.quota.resources import Amounts


def test_adding_raises_known_names_and_adds_new_ones() -> None:
    total = listed(cpu="1", memory="1Gi")
    more = listed(cpu="500m", pods="1")

    resources.add_to(total, more)

    assert total == listed(cpu="1500m", memory="1Gi", pods="1")
    assert more == listed(cpu="500m", pods="1"), "the added list was changed"


def test_adding_keeps_the_format_of_the_total() -> None:
    total = listed(memory="1Gi", storage="1")

    resources.add_to(total, listed(memory="1048576k", storage="1Gi"))

    assert str(total["memory"]) == "2024Mi"
    assert str(total["storage"]) == "1073741825"


def test_the_larger_list_has_the_larger_of_each_and_leaves_both_as_they_are() -> None:
    left, right = listed(cpu="1", memory="1Gi"), listed(cpu="2", memory="1Mi", pods="1")

    most = resources.larger(left, right)

    assert most == listed(cpu="2", memory="1Gi", pods="1")
    assert (left, right) == (listed(cpu="1", memory="1Gi"), listed(cpu="2", memory="1Mi", pods="1"))


def test_of_equal_ones_the_left_is_the_larger() -> None:
    assert str(resources.larger(listed(memory="1024Mi"), listed(memory="1073741824"))["memory"]) == "1Gi"
    assert str(resources.larger(listed(memory="1073741824"), listed(memory="1024Mi"))["memory"]) == "1073741824"


def test_amounts_are_sorted_and_omit_zeros() -> None:
    assert charged({"requests.memory": "1Ki", "requests.cpu": "1n", "limits.cpu": "0", "pods": "1"}) == (
        ("pods", NANOS),
        ("requests.cpu", 1),
        ("requests.memory", 1024 * NANOS),
    )
    assert charged({}) == ()


def test_raw_amounts_have_no_logical_resource() -> None:
    assert charged({"requests.nvidia.com/gpu": "1"}) == (("requests.nvidia.com/gpu", NANOS),)


def test_most_amounts_has_the_largest_of_each_name() -> None:
    several: list[Amounts] = [(("a", 1), ("b", 5)), (("a", Fraction(3, 2)), ("c", 1)), (), (("b", 4),)]

    assert resources.most_amounts(several) == {"a": Fraction(3, 2), "b": 5, "c": 1}
    assert resources.most_amounts([]) == {}


@pytest.mark.parametrize(
    ("name", "amount", "shown"),
    [
        ("requests.cpu", 1500 * NANOS // 1000, "1500m"),
        ("limits.cpu", 2048 * NANOS, "2048"),
        ("requests.memory", 8 * 1024**3 * NANOS, "8Gi"),
        ("limits.memory", 1024 * NANOS, "1Ki"),
        ("requests.memory", 1000 * NANOS, "1k"),
        ("limits.ephemeral-storage", 1024 * NANOS, "1Ki"),
        ("requests.ephemeral-storage", 1024 * NANOS, "1Ki"),
        ("requests.storage", 1024**4 * NANOS, "1Ti"),
        ("requests.hugepages-2Mi", 1024 * NANOS, "1Ki"),
        ("gold.storageclass.storage.k8s.io/requests.storage", 1024 * NANOS, "1Ki"),
        ("gold.storageclass.storage.k8s.io/persistentvolumeclaims", 1024 * NANOS, "1024"),
        ("count/csistoragecapacities.storage.k8s.io", 1024 * NANOS, "1024"),
        ("requests.example.com/memory-card", 1024 * NANOS, "1024"),
        ("requests.nvidia.com/gpu", 4 * NANOS, "4"),
        ("gpu", Fraction(NANOS, 7), "1/7"),
        ("gpu", Fraction(17 * NANOS, 7), "2+3/7"),
        ("accelerator", NANOS // 2, "1/2"),
        ("gpu", 2000 * NANOS, "2000"),
        ("gpu", 0, "0"),
        ("requests.cpu", Fraction(3, 2), "2n"),
        ("pods", 0, "0"),
    ],
)
def test_an_amount_is_shown_in_the_units_people_use(name: str, amount: int | Fraction, shown: str) -> None:
    assert resources.show(name, amount) == shown


def test_a_list_is_shown_as_resourcequota_does() -> None:
    assert resources.show_list([("limits.cpu", 2 * NANOS), ("requests.memory", 1024 * NANOS)]) == (
        "limits.cpu=2,requests.memory=1Ki"
    )


LISTS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.builds(Quantity, st.integers(0, 10**15), st.sampled_from(quantity.Format))
)


@given(LISTS, LISTS)
def test_a_sum_is_the_sum_of_each_name(left: dict[str, Quantity], right: dict[str, Quantity]) -> None:
    total = dict(left)
    resources.add_to(total, right)

    assert total.keys() == left.keys() | right.keys()
    for name, amount in total.items():
        assert amount.nanos == left.get(name, quantity.ZERO).nanos + right.get(name, quantity.ZERO).nanos


@given(LISTS, LISTS)
def test_the_larger_is_at_least_either_and_is_one_of_them(
    left: dict[str, Quantity], right: dict[str, Quantity]
) -> None:
    most = resources.larger(left, right)

    assert most.keys() == left.keys() | right.keys()
    for name, amount in most.items():
        of_both = [each[name].nanos for each in (left, right) if name in each]
        assert amount.nanos == max(of_both)


def listed(**texts: str) -> dict[str, Quantity]:
    return {name: quantity.parse(text) for name, text in texts.items()}


def charged(texts: dict[str, str]) -> Amounts:
    return resources.amounts(listed(**texts))
