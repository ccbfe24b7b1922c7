"""
The logical resources `gpu` and `accelerator`: exact sums of raw amounts, each with the weight of its name.

Objects carry raw amounts only. What they come to is derived under the policy in force; `documents` reads its weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeAlias, TypeVar

from webhook.quota import resources, share
from webhook.quota.device_choice import HIDDEN_PREFIX, alternatives_of
from webhook.quota.errors import WebhookError
from webhook.quota.objects import GPU_FRACTION_ANNOTATION, GPU_MEMORY_ANNOTATION
from webhook.quota.resources import ACCELERATOR, GPU, Amount, Amounts

T = TypeVar("T")

CLASS_PREFIX = "deviceclass/"
"""Stands before the name of a DeviceClass where it is weighed: `deviceclass/gpu.nvidia.com`."""

_ANNOTATION_PREFIX = "annotation/"
FRACTION = _ANNOTATION_PREFIX + GPU_FRACTION_ANNOTATION
MEMORY = _ANNOTATION_PREFIX + GPU_MEMORY_ANNOTATION
ANNOTATIONS = (FRACTION, MEMORY)
"""
The names of what a pod asks for by an annotation. They are weighed like names of devices, and no policy can limit them.

They are two ways to ask for the same devices: of a pod that has both the larger one counts.
"""

MOST = 1000
"""The largest weight: that of a resource whose unit is a rack of devices, and far from a slip of a few digits."""

_CLAIMS = "count/resourceclaims.resource.k8s.io"
_REQUESTS = "requests."
_IMPLICIT_CLASS = "deviceclass.resource.kubernetes.io/"
IMPLICIT_CLASS = _REQUESTS + _IMPLICIT_CLASS
"""Begins the name under which ResourceQuota charges devices of a class that were asked for as an extended resource."""

_HIDDEN = (HIDDEN_PREFIX, _ANNOTATION_PREFIX)
_NO_RESOURCES = (CLASS_PREFIX, _ANNOTATION_PREFIX)
_CLASS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)

_CACHED = 4096
_LONGEST_CACHED = 4096
"""Characters of the names of one object's amounts. Anybody may send them, so that longer ones are not cached."""


class DeviceNameError(WebhookError, ValueError):
    """What is weighed is neither a name of devices nor a pattern of such names."""


class Weight(NamedTuple):
    """
    What one unit of a raw resource counts in the logical *resource*; with a *value* of 0 it is no device.

    *is_assumed*: nobody has said what the name stands for, only its vendor is known.
    """

    resource: str
    value: Amount
    is_assumed: bool = False


class Part(NamedTuple):
    """What the amount *name* of an object adds to a logical resource: billionths, the *weight* times its own."""

    name: str
    amount: Amount
    weight: Weight


_Patterns: TypeAlias = tuple[tuple[tuple[str, str], Weight], ...]
"""The texts before and after the `*` of each pattern, and its weight."""


def check_name(written: str) -> None:
    """
    Check a name that is weighed: an extended resource, `deviceclass/NAME`, or either with one `*` for any text.

    A `*` stands for any text without a slash, also for none. Of annotations only the names in ANNOTATIONS are weighed.
    Raises: DeviceNameError.
    """
    if written and not written.strip("*"):
        raise DeviceNameError("this would be every device there is; write a domain, as in example.com/*")
    if written.count("*") > 1:
        raise DeviceNameError("only one * may stand in a name")
    example = written.replace("*", "x")
    if example.startswith((_REQUESTS, _IMPLICIT_CLASS)):
        bare = written.removeprefix(_REQUESTS)
        right = CLASS_PREFIX + bare.removeprefix(_IMPLICIT_CLASS) if bare.startswith(_IMPLICIT_CLASS) else bare
        raise DeviceNameError(f"write {right}")
    if example.startswith(_ANNOTATION_PREFIX):
        if written in ANNOTATIONS:
            return
        raise DeviceNameError(f"of annotations only these are counted: {', '.join(ANNOTATIONS)}")
    if example.startswith(CLASS_PREFIX):
        is_name = _CLASS_NAME.fullmatch(example.removeprefix(CLASS_PREFIX)) is not None
    else:
        is_name = resources.is_extended(example)
    if not is_name:
        raise DeviceNameError(
            "expected an extended resource such as example.com/gpu, or a device class as deviceclass/gpu.example.com"
        )


@dataclass(frozen=True, slots=True)
class DeviceWeights:
    """
    The weights in force, by name or pattern, in the order in which they are tried: the first that fits is the weight.

    An exact name comes before every pattern, then the longest text before the `*`, then the policy's before the shipped
    ones, then the longest text in all. Two patterns of one table can never be equal in that and fit the same name.
    Any number of threads may derive.
    """

    rows: tuple[tuple[str, Weight], ...]
    second_names: Mapping[str, str] = field(default_factory=dict, hash=False)
    """For names of raw amounts the name under which they are charged as well: DeviceClasses with an extended name."""
    _exact: Mapping[str, Weight] = field(init=False, repr=False, compare=False)
    _patterns: _Patterns = field(init=False, repr=False, compare=False)
    _class_patterns: _Patterns = field(init=False, repr=False, compare=False)
    _cached_weight: Callable[[str], Weight | None] = field(init=False, repr=False, compare=False)
    _cached_sums: dict[Amounts, Amounts] = field(init=False, repr=False, compare=False, default_factory=dict)
    _cached_parts: dict[Amounts, tuple[Part, ...]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Build the index of exact names and the caches."""
        patterns = [(name, (_around(name), weight)) for name, weight in self.rows if "*" in name]
        object.__setattr__(self, "_exact", {name: weight for name, weight in self.rows if "*" not in name})
        for attribute, is_of_classes in (("_patterns", False), ("_class_patterns", True)):
            listed = tuple(each for name, each in patterns if name.startswith(CLASS_PREFIX) is is_of_classes)
            object.__setattr__(self, attribute, listed)
        object.__setattr__(self, "_cached_weight", lru_cache(maxsize=_CACHED)(self._find))

    @staticmethod
    def over_shipped(rows: Mapping[str, Weight]) -> DeviceWeights:
        """Return the shipped weights with *rows* over them; their names must be such as `check_name` accepts."""
        return DeviceWeights(_in_order(rows, {**SHIPPED_ROWS, **rows}))

    def with_second_names(self, names: Mapping[str, str]) -> DeviceWeights:
        """Return these weights where the DeviceClasses set *names*."""
        return self if names == self.second_names else DeviceWeights(self.rows, names)

    def weight_of(self, name: str) -> Weight | None:
        """Return the weight of a raw resource (`nvidia.com/gpu`) or of `deviceclass/NAME`; None: it is not counted."""
        return self._cached_weight(name) if len(name) <= _LONGEST_CACHED else self._find(name)

    def derive(self, amounts: Amounts) -> Amounts:
        """
        Return *amounts*, the raw ones of one object, with `gpu` and `accelerator` where they are not zero.

        Devices that a DeviceClass gives a second name have both: what is derived already would have them once more.
        Exact and sorted; what a claim leaves to the scheduler and what annotations ask for is left out, as it counts in
        these two alone. A logical amount that is there already stays if it is the larger one.
        """
        derived = self._cached_sums.get(amounts)
        return _cached(self._cached_sums, amounts, self._derive) if derived is None else derived

    def parts(self, amounts: Amounts) -> tuple[Part, ...]:
        """
        Return what each of *amounts* adds to a logical resource, without zeros.

        Of a choice that a claim leaves to the scheduler the largest alternative counts, for each logical resource. What
        ResourceQuota counts for a claim (`requests.…`, `….deviceclass.resource.k8s.io/devices`) names the same devices
        once more, and counts nothing here.
        """
        parts = self._cached_parts.get(amounts)
        return _cached(self._cached_parts, amounts, self._parts) if parts is None else parts

    def _parts(self, amounts: Amounts) -> tuple[Part, ...]:
        if any(name == _CLAIMS or name.startswith(HIDDEN_PREFIX) for name, _ in amounts):
            return tuple(
                part
                for name, amount in amounts
                if name.startswith(HIDDEN_PREFIX)
                for part in self._chosen(name, amount)
            )
        found = ((name, amount, self._of_request(name)) for name, amount in amounts if name.startswith(_REQUESTS))
        return (
            *self._annotated(amounts),
            *(
                Part(name, _plain(amount * weight.value), weight)
                for name, amount, weight in found
                if weight is not None and weight.value and amount
            ),
        )

    def reason(self, amounts: Amounts, resource: str) -> str:
        """
        Return where the logical *resource* of *amounts* comes from: `requests.nvidia.com/mig-3g.20gb x 3/7`.

        What an annotation asks for is shown as `annotation gpu-fraction x 1`.
        """
        return " + ".join(
            f"{_shown(part.name)} x {share.show(part.weight.value)}"
            + (" (no weight is set)" if part.weight.is_assumed else "")
            for part in self.parts(amounts)
            if part.weight.resource == resource
        )

    def is_annotated(self, amounts: Amounts, resource: str) -> bool:
        """Whether an annotation asks for any of the logical *resource* of *amounts*."""
        return any(part.name in ANNOTATIONS and part.weight.resource == resource for part in self.parts(amounts))

    def unweighted(self, amounts: Amounts) -> tuple[str, ...]:
        """Return the raw names in *amounts* that count as one device each because no weight is set for them."""
        return tuple(part.name.removeprefix(_REQUESTS) for part in self.parts(amounts) if part.weight.is_assumed)

    def stronger_than(self, pattern: str) -> tuple[str, ...]:
        """Return the names and patterns here that *pattern*, of a policy, includes and that are tried before it."""
        if "*" not in pattern:
            return ()
        key = _rank(pattern, is_policy=True)
        included = [
            name
            for name, weight in self.rows
            if not weight.is_assumed and name not in ANNOTATIONS and _fits(_around(pattern), name)
        ]
        return tuple(sorted(name for name in included if _rank(name, is_policy=False) < key))

    def _derive(self, amounts: Amounts) -> Amounts:
        derived = {name: amount for name, amount in amounts if not name.startswith(_HIDDEN)}
        sums: dict[str, Amount] = {}
        named_twice = [(self.second_names[name], amount) for name, amount in amounts if name in self.second_names]
        for name, amount in named_twice:
            derived[name] = derived.get(name, 0) + amount
        for part in self.parts(amounts):
            sums[part.weight.resource] = _plain(sums.get(part.weight.resource, 0) + part.amount)
        for resource, amount in sums.items():
            derived[resource] = max(amount, derived.get(resource, 0))
        return tuple(sorted(derived.items())) if sums or named_twice or len(derived) < len(amounts) else amounts

    def _of_request(self, name: str) -> Weight | None:
        """Return the weight of `requests.NAME`; a request may name a DeviceClass instead of an extended resource."""
        requested = name.removeprefix(_REQUESTS)
        if requested.startswith(_IMPLICIT_CLASS):
            return self.weight_of(CLASS_PREFIX + requested.removeprefix(_IMPLICIT_CLASS))
        if "/" not in requested or requested.startswith(_NO_RESOURCES):  # cpu, or what looks like a class and is none
            return None
        return self.weight_of(requested)

    def _annotated(self, amounts: Amounts) -> Iterable[Part]:
        """Return the most that any annotation asks for, for each logical resource."""
        most: dict[str, Part] = {}
        for name, amount in amounts:
            weight = self.weight_of(name) if name in ANNOTATIONS else None
            if weight is None or not weight.value:
                continue
            part = Part(name, _plain(amount * weight.value), weight)
            if weight.resource not in most or part.amount > most[weight.resource].amount:
                most[weight.resource] = part
        return most.values()

    def _chosen(self, name: str, amount: Amount) -> Iterator[Part]:
        """Yield the most that *amount* choices of the hidden *name* can come to, for each logical resource."""
        most: dict[str, Amount] = {}
        for device_class, count in alternatives_of(name) or ():
            weight = self.weight_of(CLASS_PREFIX + device_class)
            if weight is not None and weight.value * count > most.get(weight.resource, 0):
                most[weight.resource] = weight.value * count
        for resource, value in most.items():
            yield Part(name, _plain(amount * value), Weight(resource, _plain(value)))

    def _find(self, name: str) -> Weight | None:
        found = self._exact.get(name)
        if found is not None:
            return found
        patterns = self._class_patterns if name.startswith(CLASS_PREFIX) else self._patterns
        return next((weight for around, weight in patterns if _fits(around, name)), None)


def _cached(cache: dict[Amounts, T], amounts: Amounts, compute: Callable[[Amounts], T]) -> T:
    """Return what *compute* makes of *amounts*, and keep it in *cache* unless the names are long."""
    computed = compute(amounts)
    if sum([len(name) for name, _ in amounts]) <= _LONGEST_CACHED:
        if len(cache) >= _CACHED:
            cache.clear()
        cache[amounts] = computed
    return computed


def _shown(name: str) -> str:
    """Return the *name* of a raw amount for people."""
    if name in ANNOTATIONS:
        return f"annotation {name.removeprefix(_ANNOTATION_PREFIX)}"
    return name.removeprefix(HIDDEN_PREFIX)


def _around(pattern: str) -> tuple[str, str]:
    before, _, after = pattern.partition("*")
    return before, after


def _fits(around: tuple[str, str], name: str) -> bool:
    before, after = around
    if len(name) < len(before) + len(after) or not name.startswith(before) or not name.endswith(after):
        return False
    return "/" not in name[len(before) : len(name) - len(after)]


def _rank(name: str, *, is_policy: bool) -> tuple[bool, int, bool, int]:
    """Return a key by which the weights of names are tried, the smallest first."""
    return "*" in name, -len(_around(name)[0]), not is_policy, -len(name)


def _in_order(of_policy: Iterable[str], rows: Mapping[str, Weight]) -> tuple[tuple[str, Weight], ...]:
    own = frozenset(of_policy)
    return tuple(sorted(rows.items(), key=lambda row: (_rank(row[0], is_policy=row[0] in own), row[0])))


def _plain(amount: Amount) -> Amount:
    return int(amount) if amount.denominator == 1 else amount


def _each(resource: str, value: Amount, *names: str) -> dict[str, Weight]:
    return {name: Weight(resource, value) for name in names}


def _assumed(resource: str, *domains: str) -> dict[str, Weight]:
    return {f"{domain}/*": Weight(resource, 1, is_assumed=True) for domain in domains}


_MIG = "nvidia.com/mig-"
_MIG_ENDINGS = ("", ".me", ".me.all", "-me", ".gfx")
"""What a profile may end in: with or without the media engines, with graphics. `+me` is `.me` in a resource name."""

_MIG_SLICES = {
    **{f"{slices}g.*gb": Fraction(slices, 7) for slices in range(1, 8)},
    **{f"{slices}c.*gb": Fraction(slices, 7) for slices in range(1, 8)},
    # Cards of four slices: A30 (24 GB) and RTX PRO 6000 (96 GB).
    **{f"1g.{memory}gb": Fraction(1, 4) for memory in (6, 24)},
    **{f"2g.{memory}gb": Fraction(2, 4) for memory in (12, 48)},
    **{f"4g.{memory}gb": Fraction(4, 4) for memory in (24, 96)},
    **{f"1c.{profile}gb": Fraction(1, 4) for profile in ("2g.12", "4g.24", "2g.48", "4g.96")},
    **{f"2c.{profile}gb": Fraction(2, 4) for profile in ("4g.24", "4g.96")},
}
"""
The share of a card by MIG profile. A GPU instance `<g>g` has g slices of seven.

A compute instance `<c>c.<g>g` has c of the slices of its GPU instance, and the rest of them goes to others: by c the
parts add up to the whole, by g three `1c.3g` would cost nine sevenths of a card.
"""

SHIPPED_ROWS: Mapping[str, Weight] = {
    # Whole devices.
    **_each(GPU, 1, "nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe"),
    # Sold as general-purpose GPUs, under the name of one.
    **_each(GPU, 1, "metax-tech.com/gpu", "birentech.com/gpu", "iluvatar.com/gpu", "iluvatar.ai/gpu"),
    **_each(GPU, 1, "mthreads.com/gpu", "mthreads.com/vgpu", "iluvatar.ai/vgpu", "volcano.sh/vgpu-number"),
    **{
        f"{_MIG}{profile}{ending}": Weight(GPU, _plain(part))
        for profile, part in _MIG_SLICES.items()
        for ending in _MIG_ENDINGS
    },
    # Not devices but a view of all of them, network cards, or how much of the devices that are counted beside them.
    **_each(GPU, 0, "gpu.intel.com/monitoring", "gpu.intel.com/i915_monitoring", "gpu.intel.com/xe_monitoring"),
    **_each(GPU, 0, "gpu.intel.com/memory.max", "gpu.intel.com/millicores", "gpu.intel.com/tiles"),
    **_each(GPU, 0, "nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores", "nvidia.com/priority"),
    **_each(
        GPU, 0, "nvidia.com/hostdev", "amd.com/nic", "amd.com/vnic", "metax-tech.com/vcore", "metax-tech.com/vmemory"
    ),
    **_each(GPU, 0, "mthreads.com/sgpu-core", "mthreads.com/sgpu-memory"),
    **_each(GPU, 0, "iluvatar.ai/vcuda-core", "iluvatar.ai/vcuda-memory"),
    **_each(GPU, 0, "volcano.sh/vgpu-memory", "volcano.sh/vgpu-memory-percentage", "volcano.sh/vgpu-cores"),
    # Accelerators that are no GPUs.
    **_each(ACCELERATOR, 1, "habana.ai/gaudi", "google.com/tpu", "qualcomm.com/qaic", "vastaitech.com/va"),
    **_each(ACCELERATOR, 1, "aws.amazon.com/neuron", "aws.amazon.com/neuroncore", "aws.amazon.com/neurondevice"),
    **_each(ACCELERATOR, 1, "huawei.com/Ascend*", "cambricon.com/mlu*", "cambricon.com/vmlu"),
    **_each(ACCELERATOR, 1, "hygon.com/dcu", "hygon.com/dcunum", "kunlunxin.com/xpu", "enflame.com/gcu"),
    **_each(ACCELERATOR, 0, "huawei.com/Ascend*-memory", "hygon.com/dcumem", "hygon.com/dcucores"),
    **_each(ACCELERATOR, 0, "cambricon.com/mlu.smlu.vmemory", "cambricon.com/mlu.smlu.vcore"),
    **_each(ACCELERATOR, 0, "kunlunxin.com/vxpu-memory", "enflame.com/vgcu-percentage"),
    # DeviceClasses. The size of a MIG device is not in the name of its class.
    **_each(GPU, 1, "deviceclass/gpu.nvidia.com", "deviceclass/mig.nvidia.com", "deviceclass/vfio.gpu.nvidia.com"),
    **_each(GPU, 1, "deviceclass/gpu.amd.com", "deviceclass/gpu.intel.com"),
    **_each(GPU, 0, "deviceclass/compute-domain-*.nvidia.com"),
    **_each(ACCELERATOR, 1, "deviceclass/neuron.aws.com"),
    # What KAI Scheduler reads from annotations: devices, or parts of them. The size of a part in MiB says no share.
    **_each(GPU, 1, *ANNOTATIONS),
    # Any other name of these vendors: shares (`nvidia.com/gpu.shared`), vGPUs (`nvidia.com/GRID_T4-2Q`), partitions
    # (`amd.com/cpx_nps4`). How many make a device is a matter of the node, so that each counts as a whole one.
    **_assumed(GPU, "nvidia.com", "amd.com", "gpu.intel.com", "metax-tech.com", "mthreads.com", "birentech.com"),
    **_assumed(GPU, "iluvatar.com", "iluvatar.ai"),
    **_assumed(ACCELERATOR, "habana.ai", "cambricon.com", "hygon.com", "kunlunxin.com", "enflame.com"),
}
"""
The weights without a policy.

Sources: NVIDIA's MIG user guide (supported profiles) and k8s-device-plugin (their resource names), the documents of
the device plugins of AMD, Intel, AWS, Google, Habana and Qualcomm and of AMD's and NVIDIA's network operators, HAMi's
and Volcano's defaults for what they share, KAI Scheduler's documents of GPU sharing, and the DeviceClasses of the DRA
drivers. docs/policy.md explains them.
"""

SHIPPED = DeviceWeights(_in_order((), SHIPPED_ROWS))
