"""
Names of devices that are known, and the one that was meant where a name is misspelt.

Anybody may give a device a name, so that a new one is nothing odd. It is taken for misspelt only where a slip of one
letter lies between it and a known name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from webhook.quota.devices import ANNOTATIONS, CLASS_PREFIX, SHIPPED, SHIPPED_ROWS, DeviceWeights

_OTHERS: Final = (
    "devices.kubevirt.io/kvm",
    "devices.kubevirt.io/tun",
    "devices.kubevirt.io/vhost-net",
    "github.com/fuse",
    "huawei.com/Ascend310",
    "huawei.com/Ascend310P",
    "huawei.com/Ascend910",
    "huawei.com/Ascend910B",
    "rdma/hca",
    "sgx.intel.com/enclave",
    "sgx.intel.com/epc",
    "sgx.intel.com/provision",
    "vpc.amazonaws.com/efa",
    "vpc.amazonaws.com/pod-eni",
)
"""Well-known devices that have no shipped weight under their own name."""

_UNMISTAKABLE: Final = 5
"""Letters of a vendor's name from which on a slip is one whatever the device is: `adm.com` may be another vendor."""


class DeviceNames:
    """Some names of extended resources, and a search among them that takes as long as a name is, not as there are."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._domains = {name.partition("/")[0] for name in self._names}
        self._by_rest: dict[str, set[str]] = {}
        for known in (*self._names, *self._domains):
            for rest in _rests(known):
                self._by_rest.setdefault(rest, set()).add(known)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def meant_by(self, name: str) -> str | None:
        """Return the name of which *name* is a slip; None for one that is known itself, or like no other."""
        if name in self._names:
            return None
        domain, _, device = name.partition("/")
        found = {each for each in self._near(name) if each.startswith(f"{domain}/")}
        if domain not in self._domains:
            elsewhere = {f"{each}/{device}" for each in self._near(domain)}
            found |= elsewhere & self._names
        return min(found, default=None)

    def domain_meant_by(self, domain: str) -> str | None:
        """Return the domain of which *domain* is a slip, None if there is none."""
        near = () if domain in self._domains else self._near(domain)
        return min((each for each in near if "/" not in each), default=None)

    def _near(self, text: str) -> set[str]:
        candidates = {known for rest in _rests(text) for known in self._by_rest.get(rest, ())}
        return {known for known in candidates if is_slip(text, known)}


@cache
def shipped_names() -> DeviceNames:
    """Return the names with a shipped weight, and others that are well known."""
    return DeviceNames((*_named(SHIPPED_ROWS), *_OTHERS))


def weighed_names(devices: DeviceWeights) -> DeviceNames:
    """Return the names that a policy weighs beside the shipped ones."""
    return DeviceNames(name for name in _named(name for name, _ in devices.rows) if name not in SHIPPED_ROWS)


def is_familiar(name: str) -> bool:
    """Whether *name* is well known: it has a shipped weight that is no guess by its domain, or is one of the others."""
    weight = SHIPPED.weight_of(name)
    return (weight is not None and not weight.is_assumed) or name in shipped_names()


def misspelt(name: str) -> str | None:
    """Return the well-known name of which *name* is a slip, None if there is none."""
    found = shipped_names().meant_by(name)
    if found is not None or is_familiar(name):
        return found
    domain, _, device = name.partition("/")
    vendor = shipped_names().domain_meant_by(domain)
    if vendor is None or len(vendor.partition(".")[0]) < _UNMISTAKABLE:
        return None
    return f"{vendor}/{device}"


def is_slip(written: str, known: str) -> bool:
    """
    Whether *written* may be *known* with one slip: a letter in another case, doubled, left out, added or wrong, or two
    of them in each other's place.

    Digits tell names apart, and so do letters at the ends of short words: `vgpu`, `npu` and `gpu-a` are no slips.
    """
    if written.casefold() == known.casefold():
        return written != known
    start = next((i for i, (one, other) in enumerate(zip(written, known, strict=False)) if one != other), None)
    start = min(len(written), len(known)) if start is None else start
    if len(written) == len(known):
        return _is_swap(written, known, start) or _is_wrong_letter(written, known, start)
    if len(written) < len(known):
        return _is_extra_letter(known, written, start, is_end_open=True)
    return _is_extra_letter(written, known, start, is_end_open=written[start] == "s")


def _is_swap(written: str, known: str, start: int) -> bool:
    pair = known[start : start + 2]
    return pair.isalpha() and written[start:] == pair[::-1] + known[start + 2 :]


def _is_wrong_letter(written: str, known: str, start: int) -> bool:
    begin, end = _word_around(known, start)
    is_letter = written[start].isalpha() and known[start].isalpha()
    return is_letter and written[start + 1 :] == known[start + 1 :] and begin < start < end - 1 and end - begin > 4


def _is_extra_letter(longer: str, shorter: str, start: int, *, is_end_open: bool) -> bool:
    """Whether *longer* is *shorter* with a letter at *start*; at the end of a word only if *is_end_open*."""
    if longer[start + 1 :] != shorter[start:] or not longer[start].isalpha():
        return False
    begin, end = _word_around(longer, start)
    if begin < start and longer[start - 1] == longer[start]:
        return True
    if start == end - 1:
        return is_end_open and end - begin > 2
    return begin < start and end - begin > 4


def _word_around(text: str, index: int) -> tuple[int, int]:
    """Return where the letters and digits around *index* begin and end."""
    begin = end = index
    while begin > 0 and text[begin - 1].isalnum():
        begin -= 1
    while end < len(text) and text[end].isalnum():
        end += 1
    return begin, end


def _named(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if "*" not in name and not name.startswith(CLASS_PREFIX) and name not in ANNOTATIONS)


def _rests(text: str) -> set[str]:
    """Return *text* in small letters, and that with one character left out: two texts one slip apart share one."""
    text = text.casefold()
    return {text, *(text[:index] + text[index + 1 :] for index in range(len(text)))}
