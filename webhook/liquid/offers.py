"""
The resources that are offered to a broker: what nodes of each class have, under LIQUID's names and in its units.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from webhook.quota import resources
from webhook.quota.node_classes import NodeClass
from webhook.quota.policy import Policy
from webhook.quota.quantity import NANOS
from webhook.quota.resources import LOGICAL, Amount

MEBIBYTES = "MiB"

UNLIMITED = -1
"""The number of units that says that there is no limit, whatever the unit."""

_MEBIBYTE = 2**20 * NANOS
_MOST = (2**63 - 1) * NANOS
"""The largest quantity of Kubernetes, which writes no more bytes than fit into 63 bits."""

_OF_EVERY_CLASS = ("requests.cpu", "requests.memory")
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9._-]*", re.ASCII)
"""Names of resources that LIQUID permits: `identifierRx` of its `validation.go`."""


@dataclass(frozen=True, slots=True)
class Offer:
    """
    A resource of a class of nodes: `name` is LIQUID's name of it, `resource` the canonical one.

    Bytes are told in MiB, all others as numbers of cores and devices. Commitments are made of it where its class
    `takes_commitments`.
    """

    name: str
    node_class: str
    resource: str
    takes_commitments: bool = True

    @property
    def unit(self) -> str:
        """Return the unit in LIQUID's words, empty for what is counted."""
        return MEBIBYTES if resources.is_in_bytes(self.resource) else ""

    @property
    def most(self) -> int:
        """Return the most units that Kubernetes has a quantity for."""
        return self.at_most(_MOST)

    def exact(self, units: int) -> Amount:
        """Return the amount of so many *units*."""
        return units * self._scale

    def at_least(self, amount: Amount) -> int:
        """Return the number of units in which *amount*, which is used, has room."""
        return int(-(-amount // self._scale))

    def at_most(self, amount: Amount) -> int:
        """Return the number of whole units in *amount*, which is there."""
        return int(amount // self._scale)

    @property
    def _scale(self) -> int:
        return _MEBIBYTE if self.unit else NANOS


@dataclass(frozen=True, slots=True)
class Offers:
    """
    All that is offered, by name, in the order of the policy; and a sentence for each resource that is left out.
    """

    by_name: Mapping[str, Offer] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Offer]:
        return iter(self.by_name.values())

    def of_class(self, node_class: str) -> tuple[Offer, ...]:
        """Return the resources of one class."""
        return tuple(each for each in self if each.node_class == node_class)

    def of(self, node_class: str, resource: str) -> Offer | None:
        """Return the offer of a *resource*, by its canonical name; None if there is none."""
        return next((each for each in self.of_class(node_class) if each.resource == resource), None)


def offers_of(policy: Policy) -> Offers:
    """
    Return what *policy* offers: cpu and memory of each class, and its devices as they are counted in commitments.

    Devices with a weight are offered as `gpu` or `accelerator` alone, so that a broker gives none of them away twice.
    A resource whose name LIQUID does not permit, or would be that of another one, is left out.
    """
    found: defaultdict[str, list[Offer]] = defaultdict(list)
    for node_class in policy.node_classes.classes:
        for resource in dict.fromkeys((*_OF_EVERY_CLASS, *_devices(policy, node_class))):
            name = f"{node_class.name}_{short_name(resource).replace('/', '_')}"
            takes_commitments = policy.terms_of(node_class.name).takes_commitments
            found[name].append(Offer(name, node_class.name, resource, takes_commitments))
    left_out: list[str] = []
    for name, named in found.items():
        first = named[0]
        if not _NAME.fullmatch(name):
            left_out.append(f"{name!a}: LIQUID wants a name of letters, digits and ._- that begins with a letter")
        elif len(named) > 1:
            same = " and ".join(each.resource for each in named)
            left_out.append(f"{name}: {same} of nodeClasses.{first.node_class} would have the same name")
    by_name = {name: named[0] for name, named in found.items() if len(named) == 1 and _NAME.fullmatch(name)}
    return Offers(by_name, tuple(left_out))


def short_name(resource: str) -> str:
    """Return a canonical name without `requests.`, as people write it."""
    return resource.removeprefix("requests.")


def _devices(policy: Policy, node_class: NodeClass) -> Iterator[str]:
    for device in sorted(node_class.devices):
        raw = f"requests.{device}"
        logical = [name for name, amount in policy.devices.derive(((raw, NANOS),)) if name in LOGICAL and amount]
        yield from logical or (raw,)
