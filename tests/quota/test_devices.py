"""What the names of devices count, and that the sums are exact whatever the order."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.quota import devices
from webhook.quota.devices import SHIPPED, DeviceNameError, DeviceWeights, Weight
from webhook.quota.quantity import NANOS
from webhook.quota.resources import ACCELERATOR, GPU, LOGICAL, Amount, Amounts

COUNTS: dict[str, tuple[str, Amount]] = {
    "nvidia.com/gpu": (GPU, 1),
    "amd.com/gpu": (GPU, 1),
    "gpu.intel.com/i915": (GPU, 1),
    "gpu.intel.com/xe": (GPU, 1),
    "metax-tech.com/gpu": (GPU, 1),
    "mthreads.com/vgpu": (GPU, 1),
    "birentech.com/gpu": (GPU, 1),
    "volcano.sh/vgpu-number": (GPU, 1),
    # MIG: GPU instances of seven slices, of four, and compute instances.
    "nvidia.com/mig-1g.5gb": (GPU, Fraction(1, 7)),
    "nvidia.com/mig-1g.10gb.me": (GPU, Fraction(1, 7)),
    "nvidia.com/mig-1g.23gb.me.all": (GPU, Fraction(1, 7)),
    "nvidia.com/mig-1g.47gb-me": (GPU, Fraction(1, 7)),
    "nvidia.com/mig-2g.35gb": (GPU, Fraction(2, 7)),
    "nvidia.com/mig-3g.20gb": (GPU, Fraction(3, 7)),
    "nvidia.com/mig-3g.40gb.me": (GPU, Fraction(3, 7)),
    "nvidia.com/mig-4g.40gb": (GPU, Fraction(4, 7)),
    "nvidia.com/mig-7g.80gb": (GPU, 1),
    "nvidia.com/mig-1g.6gb": (GPU, Fraction(1, 4)),
    "nvidia.com/mig-1g.6gb.me": (GPU, Fraction(1, 4)),
    "nvidia.com/mig-2g.12gb": (GPU, Fraction(1, 2)),
    "nvidia.com/mig-4g.24gb": (GPU, 1),
    "nvidia.com/mig-1g.24gb.gfx": (GPU, Fraction(1, 4)),
    "nvidia.com/mig-2g.48gb": (GPU, Fraction(1, 2)),
    "nvidia.com/mig-4g.96gb": (GPU, 1),
    "nvidia.com/mig-1c.3g.40gb": (GPU, Fraction(1, 7)),
    "nvidia.com/mig-2c.3g.40gb": (GPU, Fraction(2, 7)),
    "nvidia.com/mig-3c.7g.80gb": (GPU, Fraction(3, 7)),
    "nvidia.com/mig-1c.2g.12gb": (GPU, Fraction(1, 4)),
    "nvidia.com/mig-2c.4g.24gb": (GPU, Fraction(1, 2)),
    # Accelerators that are no GPUs.
    "habana.ai/gaudi": (ACCELERATOR, 1),
    "google.com/tpu": (ACCELERATOR, 1),
    "aws.amazon.com/neuron": (ACCELERATOR, 1),
    "aws.amazon.com/neuroncore": (ACCELERATOR, 1),
    "aws.amazon.com/neurondevice": (ACCELERATOR, 1),
    "qualcomm.com/qaic": (ACCELERATOR, 1),
    "huawei.com/Ascend910": (ACCELERATOR, 1),
    "huawei.com/Ascend310P": (ACCELERATOR, 1),
    "cambricon.com/vmlu": (ACCELERATOR, 1),
    "cambricon.com/mlu370": (ACCELERATOR, 1),
    "hygon.com/dcunum": (ACCELERATOR, 1),
    "kunlunxin.com/xpu": (ACCELERATOR, 1),
    "enflame.com/gcu": (ACCELERATOR, 1),
    "vastaitech.com/va": (ACCELERATOR, 1),
}
NO_DEVICES = [
    *("gpu.intel.com/monitoring", "gpu.intel.com/i915_monitoring", "gpu.intel.com/millicores"),
    *("nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores", "nvidia.com/priority"),
    *("volcano.sh/vgpu-memory", "volcano.sh/vgpu-cores", "huawei.com/Ascend910B-memory", "hygon.com/dcumem"),
    *("nvidia.com/hostdev", "amd.com/nic", "metax-tech.com/vmemory", "cambricon.com/mlu.smlu.vmemory"),
    *("example.com/gpu", "google.com/tpus", "aws.amazon.com/efa", "huawei.com/other", "volcano.sh/other", "cpu"),
    *(
        "hugepages-2Mi",
        "not-nvidia.com/gpu",
        "x.nvidia.com/gpu",
        "nvidia.com",
        "storage",
        "gpu",
        "deviceclass/gpu.amd.com",
    ),
]
ASSUMED: dict[str, str] = {
    "nvidia.com/gpu.shared": GPU,
    "nvidia.com/mig-1g.5gb.shared": GPU,
    "nvidia.com/mig-8g.80gb": GPU,
    "nvidia.com/mig-1": GPU,
    "nvidia.com/GRID_T4-2Q": GPU,
    "amd.com/cpx_nps4": GPU,
    "gpu.intel.com/tomorrow": GPU,
    "metax-tech.com/sgpu": GPU,
    "kunlunxin.com/vxpu": ACCELERATOR,
    "habana.ai/tomorrow": ACCELERATOR,
}


def request(counts: dict[str, int]) -> Amounts:
    return tuple(sorted((f"requests.{name}", count * NANOS) for name, count in counts.items()))


def logical(amounts: Amounts, weights: DeviceWeights = SHIPPED) -> dict[str, Amount]:
    """Return the logical resources as numbers of devices."""
    return {name: Fraction(amount) / NANOS for name, amount in weights.derive(amounts) if name in (GPU, ACCELERATOR)}


def weighed(rows: dict[str, Amount], resource: str = GPU) -> DeviceWeights:
    return DeviceWeights.over_shipped({name: Weight(resource, value) for name, value in rows.items()})


@pytest.mark.parametrize("name", COUNTS)
def test_a_known_name_counts_its_share_of_a_device(name: str) -> None:
    resource, value = COUNTS[name]

    assert logical(request({name: 3})) == {resource: 3 * value}
    assert SHIPPED.unweighted(request({name: 3})) == ()


@pytest.mark.parametrize("name", NO_DEVICES)
def test_what_is_no_device_counts_nothing(name: str) -> None:
    amounts = request({name: 3000})

    assert SHIPPED.derive(amounts) is amounts
    assert SHIPPED.unweighted(amounts) == ()


@pytest.mark.parametrize("name", ASSUMED)
def test_an_unknown_name_of_a_known_vendor_counts_as_a_whole_device_and_is_told(name: str) -> None:
    assert logical(request({name: 2})) == {ASSUMED[name]: 2}
    assert SHIPPED.unweighted(request({name: 2, "nvidia.com/gpu": 1})) == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "nvidia.com/gpu",
        "limits.nvidia.com/gpu",
        "count/nvidia.com",
        "gpu.nvidia.com.deviceclass.resource.k8s.io/devices",
    ],
)
def test_only_requests_are_weighed(name: str) -> None:
    assert logical(((name, NANOS),)) == {}


@pytest.mark.parametrize(
    ("counts", "gpus"),
    [
        ({"nvidia.com/mig-3g.20gb": 1, "nvidia.com/mig-4g.20gb": 1}, 1),
        ({"nvidia.com/mig-1g.5gb": 7}, 1),
        ({"nvidia.com/gpu": 1, "nvidia.com/mig-2g.10gb": 1}, Fraction(9, 7)),
        ({"nvidia.com/mig-1c.3g.40gb": 1, "nvidia.com/mig-2c.3g.40gb": 1, "nvidia.com/mig-4g.40gb": 1}, 1),
        ({"nvidia.com/mig-1g.5gb": 1, "nvidia.com/mig-1g.6gb": 1}, Fraction(11, 28)),
    ],
)
def test_shares_add_up_exactly(counts: dict[str, int], gpus: Amount) -> None:
    derived = dict(SHIPPED.derive(request(counts)))

    assert derived[GPU] == gpus * NANOS
    assert isinstance(derived[GPU], int) == (gpus == int(gpus))
    assert {type(amount) for name, amount in derived.items() if name != GPU} == {int}


def test_the_raw_amounts_stay_and_all_are_sorted() -> None:
    amounts = (("count/pods", NANOS), ("pods", NANOS), *request({"google.com/tpu": 4, "nvidia.com/gpu": 1}))

    assert SHIPPED.derive(amounts) == (
        ("accelerator", 4 * NANOS),
        ("count/pods", NANOS),
        ("gpu", NANOS),
        ("pods", NANOS),
        ("requests.google.com/tpu", 4 * NANOS),
        ("requests.nvidia.com/gpu", NANOS),
    )


def test_what_was_derived_once_is_not_counted_twice() -> None:
    once = SHIPPED.derive(request({"nvidia.com/gpu": 2}))

    assert SHIPPED.derive(once) == once
    assert SHIPPED.derive((("gpu", NANOS),)) == (("gpu", NANOS),)


# DeviceClasses and claims.

IMPLICIT = "deviceclass.resource.kubernetes.io/"
CLAIM = ("count/resourceclaims.resource.k8s.io", NANOS)


@pytest.mark.parametrize(
    ("device_class", "gpus"),
    [
        *(
            (name, 1)
            for name in ("gpu.nvidia.com", "gpu.amd.com", "gpu.intel.com", "mig.nvidia.com", "vfio.gpu.nvidia.com")
        ),
        *((name, 0) for name in ("compute-domain-daemon.nvidia.com", "gpu.example.com", "x.gpu.nvidia.com", "")),
    ],
)
def test_a_device_class_counts_alike_in_a_pod_and_in_a_claim(device_class: str, gpus: int) -> None:
    expected = {GPU: 3 * gpus} if gpus else {}

    assert logical(request({IMPLICIT + device_class: 3})) == expected
    assert logical((CLAIM, (f"device/{device_class}", 3 * NANOS))) == expected


def test_a_claim_counts_its_devices_once() -> None:
    """ResourceQuota counts a claim under the names of its class and of the extended resource too."""
    claim: Amounts = (
        CLAIM,
        ("device/gpu.nvidia.com", 2 * NANOS),
        ("gpu.nvidia.com.deviceclass.resource.k8s.io/devices", 2 * NANOS),
        (f"requests.{IMPLICIT}gpu.nvidia.com", 2 * NANOS),
        ("requests.nvidia.com/gpu", 2 * NANOS),
    )

    assert SHIPPED.derive(claim) == (claim[0], ("gpu", 2 * NANOS), *claim[2:])
    assert logical((CLAIM, *request({"nvidia.com/gpu": 1}))) == {}
    assert logical((*claim[1:2], *request({"nvidia.com/gpu.shared": 1}))) == {GPU: 2}
    assert SHIPPED.unweighted((CLAIM, *request({"nvidia.com/gpu.shared": 1}))) == ()


@pytest.mark.parametrize(
    ("choice", "counts"),
    [
        ("big*1|small*4", {GPU: 4}),
        ("big*3|small*4", {GPU: 6}),
        ("small", {GPU: 1}),
        ("other*9|small*1", {GPU: 1}),
        ("other*9", {}),
        ("none*9", {}),
        ("npu*3|small*2", {GPU: 2, ACCELERATOR: 9}),
    ],
)
def test_of_a_choice_the_largest_alternative_counts(choice: str, counts: dict[str, Amount]) -> None:
    rows = {"big": Weight(GPU, 2), "small": Weight(GPU, 1), "none": Weight(GPU, 0), "npu": Weight(ACCELERATOR, 3)}
    weights = DeviceWeights.over_shipped({f"deviceclass/{name}": weight for name, weight in rows.items()})

    assert logical(((f"device/{choice}", 2 * NANOS),), weights) == {name: 2 * count for name, count in counts.items()}
    assert all(not name.startswith("device/") for name, _ in weights.derive(((f"device/{choice}", NANOS),)))


def test_a_resource_that_looks_like_a_class_is_none() -> None:
    assert logical(request({"deviceclass/gpu.nvidia.com": 1})) == {}
    assert logical(request({IMPLICIT + "gpu": 1}), weighed({"*/gpu": 1})) == {}
    assert logical(request({IMPLICIT + "a.b": 2, IMPLICIT + "c": 1}), weighed({"deviceclass/*": 1})) == {GPU: 3}


# Annotations.

FRACTION, MEMORY = ("annotation/gpu-fraction", NANOS // 2), ("annotation/gpu-memory", 2 * NANOS)
CHARGED = (("count/pods", NANOS), ("pods", NANOS))


@pytest.mark.parametrize(
    ("amounts", "rows", "gpus"),
    [
        ((FRACTION,), {}, Fraction(1, 2)),
        ((MEMORY,), {}, 2),
        ((FRACTION,), {"annotation/gpu-fraction": Fraction(1, 3)}, Fraction(1, 6)),
        ((FRACTION,), {"annotation/gpu-fraction": 0}, 0),
        ((MEMORY,), {"annotation/gpu-memory": Fraction(1, 4)}, Fraction(1, 2)),
        # Of both the larger one counts, by the weights in force.
        ((FRACTION, MEMORY), {}, 2),
        ((FRACTION, MEMORY), {"annotation/gpu-memory": 0}, Fraction(1, 2)),
        ((FRACTION, MEMORY), {"annotation/gpu-fraction": 0}, 2),
        ((FRACTION, MEMORY), {"annotation/gpu-fraction": 8}, 4),
        ((FRACTION, MEMORY), {"annotation/gpu-fraction": 0, "annotation/gpu-memory": 0}, 0),
        # Devices that containers request are others.
        ((FRACTION, *request({"nvidia.com/mig-3g.20gb": 1})), {}, Fraction(13, 14)),
        # A pattern never stands for an annotation.
        ((FRACTION,), {"*/gpu-fraction": 0}, Fraction(1, 2)),
    ],
)
def test_what_an_annotation_asks_for_is_weighed(amounts: Amounts, rows: dict[str, Amount], gpus: Amount) -> None:
    assert logical((*amounts, *CHARGED), weighed(rows)) == ({GPU: gpus} if gpus else {})


def test_two_annotations_in_two_logical_resources_count_in_both() -> None:
    weights = weighed({"annotation/gpu-memory": 3}, ACCELERATOR)

    assert logical((FRACTION, MEMORY), weights) == {GPU: Fraction(1, 2), ACCELERATOR: 6}


def test_what_is_derived_does_not_show_the_annotations() -> None:
    assert SHIPPED.derive((FRACTION, *CHARGED)) == (CHARGED[0], (GPU, NANOS // 2), CHARGED[1])
    assert weighed({"annotation/gpu-fraction": 0}).derive((FRACTION, *CHARGED)) == CHARGED


def test_a_resource_that_looks_like_an_annotation_is_none() -> None:
    assert logical(request({"annotation/gpu-fraction": 1, "annotation/gpu-memory": 1})) == {}


# The order in which weights are tried.


@pytest.mark.parametrize(
    ("rows", "name", "value"),
    [
        pytest.param({"nvidia.com/gpu": Fraction(1, 4)}, "nvidia.com/gpu", Fraction(1, 4), id="the policy's own"),
        pytest.param({"nvidia.com/*": 0}, "nvidia.com/gpu.shared", 0, id="the shipped pattern replaced"),
        pytest.param({"nvidia.com/*": 0}, "nvidia.com/gpu", 1, id="exact before a pattern"),
        pytest.param({"nvidia.com/mig-*": 0}, "nvidia.com/mig-1g.5gb", Fraction(1, 7), id="a longer beginning"),
        pytest.param({"nvidia.com/mig-1g.*": 2}, "nvidia.com/mig-1g.5gb", 2, id="the policy's of equal beginning"),
        pytest.param({"nvidia.com/mig-1g.*": 2}, "nvidia.com/mig-1g.6gb", Fraction(1, 4), id="exact, shipped"),
        pytest.param({"nvidia.com/mig-*.shared": 5}, "nvidia.com/mig-1g.5gb.shared", 5, id="what no shipped one fits"),
        pytest.param({"a.b/x*": 1, "a.b/x*z": 2}, "a.b/xyz", 2, id="the longer text"),
        pytest.param({"a.b/x*": 1, "a.b/x*z": 2}, "a.b/xy", 1, id="the only one"),
        pytest.param({"a.b/x*z": 1, "*/xyz": 2}, "a.b/xyz", 1, id="the longer beginning, not the longer text"),
        pytest.param({"a.b/x*z": 3}, "a.b/xz", 3, id="no text for the star"),
        pytest.param({"a.b/xy*yz": 3}, "a.b/xyz", None, id="no letter is used twice"),
        pytest.param({"*.b/x": 3}, "a.b/x", 3, id="a star in the domain"),
        pytest.param({"a.b/x": 3}, "a.b/xy", None, id="no other name"),
    ],
)
def test_the_most_exact_name_has_the_weight(rows: dict[str, Amount], name: str, value: Amount | None) -> None:
    found = weighed(rows).weight_of(name)

    assert (found.value if found else None) == value
    assert found is None or not found.is_assumed


def test_equal_weights_are_equal_values() -> None:
    one, other = weighed({"a.b/c": 1, "a.b/d": 2}), weighed({"a.b/d": 2, "a.b/c": 1})

    assert one == other
    assert hash(one) == hash(other)
    assert one != SHIPPED
    assert weighed({}) == SHIPPED


def test_a_pattern_is_told_which_shipped_weights_it_does_not_change() -> None:
    assert SHIPPED.stronger_than("gpu.intel.com/i915*") == ("gpu.intel.com/i915", "gpu.intel.com/i915_monitoring")
    assert SHIPPED.stronger_than("nvidia.com/mig-2g.*") == tuple(
        f"nvidia.com/mig-2g.{memory}gb{ending}"
        for memory in (12, 48)
        for ending in ("", "-me", ".gfx", ".me", ".me.all")
    )
    for pattern in ("nvidia.com/gpu", "example.com/*", "nvidia.com/mig-*.shared", "*/gpu-memory"):
        assert SHIPPED.stronger_than(pattern) == ()


def test_the_shipped_names_are_such_as_a_policy_may_write() -> None:
    for name in devices.SHIPPED_ROWS:
        devices.check_name(name)
    assert {weight.resource for weight in devices.SHIPPED_ROWS.values()} == LOGICAL


def test_the_documents_name_every_shipped_weight() -> None:
    table = (Path(__file__).parents[2] / "docs/policy.md").read_text()
    shown = set(re.findall(r"`([^`\n]+)`", table.partition("| shipped |")[2].partition("\n\n")[0]))

    for name, weight in devices.SHIPPED_ROWS.items():
        if not name.startswith("nvidia.com/mig-"):
            assert (name.removesuffix("/*") if weight.is_assumed else name) in shown


NO_NAME = "expected an extended resource such as example.com/gpu, or a device class as deviceclass/gpu.example.com"
BAD_NAMES = {
    **dict.fromkeys(["", "gpu", "cpu", "nvidia.com", "nvidia.com*", "a/b/c", "nvidia.com/", "nvidia.com/-x"], NO_NAME),
    **dict.fromkeys(
        ["kubernetes.io/x", "a.b/x y", "Nvidia.com/gpu", "deviceclass/", "deviceclass/A", "a.b/[ab]"], NO_NAME
    ),
    **dict.fromkeys(["a.b/?", "a.b/x\n", "deviceclass/a/b", "a.b/" + "x" * 64], NO_NAME),
    **dict.fromkeys(["a.b/**", "a.b/*x*", "*/*"], "only one * may stand in a name"),
    **dict.fromkeys(["*", "**"], "this would be every device there is; write a domain, as in example.com/*"),
    **dict.fromkeys(
        ["annotation/gpu", "annotation/gpu-*", "annotation/*", "annotation/", "annotation/gpu-fraction-num-devices"],
        "of annotations only these are counted: annotation/gpu-fraction, annotation/gpu-memory",
    ),
    "requests.annotation/gpu-memory": "write annotation/gpu-memory",
    "requests.nvidia.com/gpu": "write nvidia.com/gpu",
    "requests.nvidia.com/*": "write nvidia.com/*",
    f"{IMPLICIT}gpu.example.com": "write deviceclass/gpu.example.com",
    f"requests.{IMPLICIT}gpu.example.com": "write deviceclass/gpu.example.com",
}


@pytest.mark.parametrize(("name", "why"), BAD_NAMES.items(), ids=lambda text: text[:20])
def test_a_name_that_can_fit_no_device_is_refused(name: str, why: str) -> None:
    with pytest.raises(DeviceNameError) as refused:
        devices.check_name(name)

    assert str(refused.value) == why


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "nvidia.com/mig-*.shared",
        "*.example.com/gpu",
        "*/gpu",
        "deviceclass/x",
        "deviceclass/*.a.b",
        "deviceclass/*",
        "annotation/gpu-fraction",
        "annotation/gpu-memory",
        "annotation*/x",
    ],
)
def test_a_name_that_can_fit_is_taken(name: str) -> None:
    devices.check_name(name)


# Where it comes from.


def test_a_sum_is_explained_by_the_weights_in_it() -> None:
    amounts = request(
        {"nvidia.com/gpu": 1, "nvidia.com/mig-3g.20gb": 2, "nvidia.com/gpu.shared": 1, "google.com/tpu": 8}
    )

    assert SHIPPED.reason(amounts, GPU) == (
        "requests.nvidia.com/gpu x 1 + requests.nvidia.com/gpu.shared x 1 (no weight is set) + "
        "requests.nvidia.com/mig-3g.20gb x 3/7"
    )
    assert SHIPPED.reason(amounts, ACCELERATOR) == "requests.google.com/tpu x 1"
    assert SHIPPED.reason((CLAIM, ("device/gpu.amd.com", NANOS)), GPU) == "gpu.amd.com x 1"
    assert SHIPPED.reason((FRACTION, *request({"nvidia.com/gpu": 1})), GPU) == (
        "annotation gpu-fraction x 1 + requests.nvidia.com/gpu x 1"
    )
    assert SHIPPED.reason((FRACTION, MEMORY), GPU) == "annotation gpu-memory x 1"


def test_whether_an_annotation_asks_for_it_is_told() -> None:
    assert SHIPPED.is_annotated((FRACTION, *CHARGED), GPU)
    assert not SHIPPED.is_annotated((FRACTION, *CHARGED), ACCELERATOR)
    assert not SHIPPED.is_annotated(request({"nvidia.com/gpu": 1}), GPU)
    assert not weighed({"annotation/gpu-fraction": 0}).is_annotated((FRACTION,), GPU)


# Laws.

NAMES = [*COUNTS, *ASSUMED, "nvidia.com/gpumem", "example.com/other"]
PODS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 10**6), max_size=5).map(request)
CHOSEN = st.sampled_from([0, 1, 3, Fraction(1, 4), Fraction(2, 7)])


def added(left: dict[str, Amount], right: dict[str, Amount]) -> dict[str, Amount]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in left.keys() | right.keys()}


@given(PODS, PODS, st.dictionaries(st.sampled_from(NAMES), CHOSEN))
def test_what_two_objects_come_to_is_what_their_sum_comes_to(
    left: Amounts, right: Amounts, rows: dict[str, Amount]
) -> None:
    """So that a total may be derived from booked totals, or booked from what was derived."""
    weights = weighed(rows)
    both: Amounts = tuple(sorted(added(dict(left), dict(right)).items()))

    assert dict(weights.derive(both)) == added(dict(weights.derive(left)), dict(weights.derive(right)))


@given(PODS, st.randoms(use_true_random=False), st.dictionaries(st.sampled_from(NAMES), CHOSEN))
def test_the_order_of_amounts_and_of_weights_does_not_matter(
    amounts: Amounts, random: Random, rows: dict[str, Amount]
) -> None:
    shuffled, shuffled_rows = list(amounts), list(rows.items())
    random.shuffle(shuffled)
    random.shuffle(shuffled_rows)
    derived = weighed(rows).derive(amounts)

    assert dict(weighed(dict(shuffled_rows)).derive(tuple(shuffled))) == dict(derived)
    assert list(derived) == sorted(derived)


@given(PODS)
def test_a_sum_is_that_of_its_parts_and_has_no_rounding(amounts: Amounts) -> None:
    derived = dict(SHIPPED.derive(amounts))
    for resource in LOGICAL:
        counted = [
            amount * SHIPPED.weight_of(name.removeprefix("requests.")).value  # type: ignore[union-attr]
            for name, amount in amounts
            if (weight := SHIPPED.weight_of(name.removeprefix("requests."))) and weight.resource == resource
        ]
        assert derived.get(resource, 0) == sum(counted)
        assert (resource in derived) == bool(sum(counted))


def test_what_is_long_is_not_kept() -> None:
    """Anybody may send it, also without creating anything."""
    long = request({f"nvidia.com/{number}": 1 for number in range(500)})
    short = request({"nvidia.com/gpu": 1})

    assert SHIPPED.derive(short) is SHIPPED.derive(short)
    assert SHIPPED.derive(long) == SHIPPED.derive(long)
    assert SHIPPED.derive(long) is not SHIPPED.derive(long)
    assert SHIPPED.weight_of("nvidia.com/" + "x" * 5000) == Weight(GPU, 1, is_assumed=True)


@pytest.mark.parametrize(
    ("name", "weight", "amount"),
    [("nvidia.com/gpumem", Fraction(1, 40960), 10240), ("nvidia.com/gpumem-percentage", Fraction(1, 100), 25)],
)
def test_the_memory_of_shared_devices_may_be_weighed_instead_of_their_number(
    name: str, weight: Fraction, amount: int
) -> None:
    weights = DeviceWeights.over_shipped({"nvidia.com/gpu": Weight(GPU, 0), name: Weight(GPU, weight)})
    pod: Amounts = (("requests.nvidia.com/gpu", NANOS), (f"requests.{name}", amount * NANOS))

    assert dict(weights.derive(pod))[GPU] == Fraction(NANOS, 4)
