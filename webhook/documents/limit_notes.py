"""
What an admin should know of one limit that is valid: it has no effect, or its amount can hardly be meant.

Only what is surely wrong is noted. Names of devices are in `device_notes`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

from webhook.documents.mistake import Mistake
from webhook.kinds.registry import KINDS
from webhook.quota import quantity, resources
from webhook.quota.devices import SHIPPED
from webhook.quota.durations import DURATION, IDLE, TIMES
from webhook.quota.policy import CAPS, Hard, Unlimited
from webhook.quota.quantity import NANOS, Format
from webhook.quota.resources import Amount
from webhook.quota.windows import written

_REQUESTS: Final = "requests."
_CPU: Final = frozenset({"requests.cpu", "limits.cpu"})
_BINARY: Final = frozenset({"Ki", "Mi", "Gi", "Ti", "Pi", "Ei"})
_LARGE: Final = (_BINARY - {"Ki"}) | {"M", "G", "T", "P", "E"}
_SMALL: Final = frozenset({"n", "u", "m"})

_FEW_BYTES: Final = 1_000_000 * NANOS
"""No container runs in fewer. Written with k or Ki they are believed: somebody thought of the unit."""

_FEW_SECONDS: Final = 60 * NANOS
"""No session is made for less. Written with a unit they are believed."""

_UNIT_OF_TIME: Final = {DURATION: "h", IDLE: "m"}

_LEAST_CPU: Final = NANOS // 1000
_MOST_CPU: Final = 2000 * NANOS
"""More than any machine has. A sum may well be larger, the cap on one pod not."""

_CORE: Final = (
    "configmaps",
    "endpoints",
    "events",
    "limitranges",
    "persistentvolumeclaims",
    "pods",
    "podtemplates",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "serviceaccounts",
    "services",
)
"""The kinds of the core API that are in namespaces. New ones have a group."""

_IN_NO_NAMESPACE: Final = frozenset({"componentstatuses", "namespaces", "nodes", "persistentvolumes"})

_GROUPED: Final = (
    *(each.resource for each in KINDS if each.group),
    "horizontalpodautoscalers.autoscaling",
    "ingresses.networking.k8s.io",
    "leases.coordination.k8s.io",
    "networkpolicies.networking.k8s.io",
    "poddisruptionbudgets.policy",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
)
"""Kinds of Kubernetes whose group is easily left out."""


class WrittenLimit(NamedTuple):
    """
    One limit of a policy: its canonical name, the hard amount, and the text that this was read from.

    `scopes` select what it binds; `cap` is the cap that it is a part of, None for a sum.
    """

    resource: str
    hard: Hard
    text: str
    scopes: frozenset[str] = frozenset()
    cap: str | None = None


class Ending(NamedTuple):
    """
    A time from which on something is not in force any more, the place of a note on it, and the effect.

    It is an entry or an exemption if it `is_entry`, a commitment otherwise.
    """

    until: datetime
    place: Mistake
    effect: str
    is_entry: bool = True

    @property
    def config_map(self) -> str:
        """Return the ConfigMap that has it."""
        return self.place.source.partition("/")[0]

    @property
    def entry(self) -> str:
        """Return its path and its place, in one line."""
        return f"{self.place.path.rpartition('.')[0]} ({self.place.source}:{self.place.position.line})"

    @property
    def ended(self) -> Mistake:
        """Return the note that it is over."""
        return replace(self.place, message=f"ended at {self._time}: {self.effect}")

    @property
    def ends(self) -> Mistake:
        """Return the remark that it will be over."""
        return replace(self.place, message=f"ends at {self._time}")

    @property
    def _time(self) -> str:
        return written(self.until)


class DeviceLimit(NamedTuple):
    """A limit on devices whose *name* is not well known, and the place of a note on it."""

    name: str
    place: Mistake

    def meant(self, known: str) -> Mistake:
        """Return the note that it is a slip of *known*."""
        return replace(self.place, message=f"no known device, did you mean {known}?")


def limit_note(limit: WrittenLimit) -> str | None:
    """Return what is surely wrong with *limit*, None if nothing is known to be."""
    if limit.resource in TIMES:  # whether it has an effect depends on the presets of all texts
        return _odd_time(limit)
    return _without_effect(limit) or _number_of(limit.resource) or _odd_amount(limit)


def default_note(resource: str, amount: Amount, text: str) -> str | None:
    """Return what is surely wrong with *amount*, written as *text*, that a container gets which declares none."""
    return _odd_amount(WrittenLimit(resource, amount, text, cap="perPod"))


def _without_effect(limit: WrittenLimit) -> str | None:
    resource, scopes, cap = limit.resource, limit.scopes, limit.cap
    if resource == "sessions":  # depends on the presets of all texts
        return None
    if not KINDS.counts(resource):
        return "no kind of this release costs this; the limit has no effect yet"
    if not KINDS.counts(resource, scopes=scopes):
        return f"nothing that costs this is ever in {', '.join(sorted(scopes))}; the limit has no effect"
    if cap in KINDS.caps() and not KINDS.counts(resource, cap=cap):
        binding = [other for other in CAPS if other in KINDS.caps() and KINDS.counts(resource, cap=other)]
        return f"nothing that {cap} binds costs this; the limit has no effect" + _meant(*binding)
    return None


def _number_of(resource: str) -> str | None:
    """Return what is wrong with `count/NAME` of a kind that Kubernetes does not have, or not in namespaces."""
    kind = resource.removeprefix("count/")
    name, _, group = kind.partition(".")
    if kind == resource or kind in _CORE:
        return None
    if kind in _IN_NO_NAMESPACE:
        return f"{kind} are in no namespace; the limit has no effect"
    plurals = (name, f"{name}s", f"{name}es", f"{name.removesuffix('y')}ies")
    known = [each for each in (*_CORE, *_GROUPED) if each.partition(".")[0] in plurals]
    if group:
        meant = [each for each in known if each.partition(".")[2] == group and each != kind]
        return f"{group} has no such kind" + _meant(f"count/{meant[0]}") if meant else None
    likely = _meant(f"count/{known[0]}") if known else "; write the plural with its group, as in widgets.example.com"
    return f"the core API has no such kind{likely}"


def _odd_amount(limit: WrittenLimit) -> str | None:
    resource, hard, text = limit.resource, limit.hard, limit.text
    if isinstance(hard, Unlimited) or not hard:
        return None
    number = text.rstrip("numkKMGTPEi")
    suffix = text.removeprefix(number)
    if resource.startswith(resources.HUGEPAGES):
        return _odd_pages(resource, hard, text)
    if resources.is_in_bytes(resource):
        return _odd_bytes(hard, number, suffix)
    if resource in _CPU:
        return _odd_cpu(hard, number, suffix, is_of_one_pod=limit.cap == "perPod")
    return _odd_count(resource, hard, number, suffix)


def _odd_time(limit: WrittenLimit) -> str | None:
    """Return what is odd about a number without a unit, which is one of seconds."""
    if isinstance(limit.hard, Unlimited) or limit.hard >= _FEW_SECONDS or not limit.text.isdecimal():
        return None
    return f"{limit.text} is {_counted(limit.hard, 'second')}" + _meant(f"{limit.text}{_UNIT_OF_TIME[limit.resource]}")


def _odd_pages(resource: str, hard: Amount, text: str) -> str | None:
    size = resource.removeprefix(resources.HUGEPAGES)
    page = quantity.parse(size).nanos
    if hard >= page:
        return None
    pages = f"{quantity.canonical(int(text) * page, Format.BINARY_SI)}, {text} pages" if text.isdecimal() else ""
    return f"{text} is less than one page of {size}" + _meant(pages)


def _odd_bytes(hard: Amount, number: str, suffix: str) -> str | None:
    if hard >= _FEW_BYTES or (suffix and suffix not in _SMALL and hard >= NANOS):
        return None
    written = f"{number}{suffix}"
    means = "less than one byte" if hard < NANOS else _counted(hard, "byte")
    if suffix == "m":
        return f"{written} is {means}" + _meant(f"{number}M")
    if suffix or not number.replace(".", "").isdecimal():
        return f"{written} is {means}"
    return f"{written} is {means}" + _meant(f"{number}{'Gi' if hard < 1024 * NANOS else 'Mi'}")


def _odd_cpu(hard: Amount, number: str, suffix: str, *, is_of_one_pod: bool) -> str | None:
    written = f"{number}{suffix}"
    if suffix in _BINARY or suffix in _LARGE:
        return f"{written} is {_counted(hard, 'core')}" + _meant(f"{number}m" if suffix[0] == "M" else number)
    if hard < _LEAST_CPU:
        return f"{written} is less than 1m, the least that a container can ask for"
    if is_of_one_pod and hard >= _MOST_CPU and number.isdecimal() and not suffix:
        return f"{written} is {_counted(hard, 'core')}, more than any node has" + _meant(f"{number}m")
    return None


def _odd_count(resource: str, hard: Amount, number: str, suffix: str) -> str | None:
    """Return what is odd about an amount of what is counted in pieces. Logical resources may be fractions."""
    device = resource.removeprefix(_REQUESTS)
    is_logical = resource in resources.LOGICAL
    if not is_logical and hard % NANOS:
        means = hard // NANOS or "0, which forbids"
        return f"{number}{suffix} is as good as {means}: only whole ones are counted" + (
            _meant(number) if suffix == "m" else ""
        )
    # An amount of an extended resource may be one of bytes, as of gpu.intel.com/memory.max.
    weight = SHIPPED.weight_of(device)
    is_in_pieces = device == resource or (weight is not None and weight.value > 0 and not weight.is_assumed)
    if is_in_pieces and suffix in _LARGE and (suffix in _BINARY or is_logical):
        return f"{number}{suffix} is {_plain(hard)}" + _meant(number)
    return None


def _counted(hard: Amount, unit: str) -> str:
    return f"{_plain(hard)} {unit}{'' if hard == NANOS else 's'}"


def _plain(hard: Amount) -> str:
    """Return an amount without a suffix: `1.5`, `4294967296`."""
    whole, rest = divmod(int(hard), NANOS)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def _meant(*names: str) -> str:
    """Return a question after the first of *names*, nothing without one."""
    return f", did you mean {names[0]}?" if names and names[0] else ""
