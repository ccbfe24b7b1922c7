"""
What a policy says of containers that do not declare a resource: the requests and limits it may name, and the words.

Which containers lack what is known to `kinds`; `decision` has the rule by which a lack is a refusal.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from webhook.quota.quantity import Quantity
from webhook.quota.resources import COMPUTE

NAMES: Mapping[str, str] = {
    **{name: f"requests.{name}" for name in COMPUTE},
    **{f"limits.{name}": f"limits.{name}" for name in COMPUTE},
}
"""Every request and limit that a container may lack: the name in a policy, and ResourceQuota's name for it."""

DECLARABLE = frozenset(NAMES.values())


class Missing(enum.Enum):
    """What happens with a pod that does not declare a resource: it is refused where it is limited, or nothing."""

    REQUIRE = "require"
    IGNORE = "ignore"


OnMissing: TypeAlias = Missing | Quantity
"""A quantity is filled in when the pod is created."""

DEFAULT_CATEGORY = "default"
"""The category of sessions that have none, or one that the policy does not know."""

Categories: TypeAlias = Mapping[str, Mapping[str, Quantity]]
"""What is filled in for each category of sessions, by its name in small letters and ResourceQuota's name."""

NO_CATEGORIES: Categories = {}


@dataclass(frozen=True, slots=True)
class Category:
    """What a policy fills in for one category of sessions, by ResourceQuota's name of the resource."""

    amounts: Mapping[str, Quantity]


def of_category(categories: Categories, name: str, missing: Mapping[str, Quantity]) -> Mapping[str, Quantity]:
    """
    Return what is filled into the pods of a session of category *name*, empty for none, before what is *missing*.

    A limit that is only *missing* gives way to a larger request of the category.
    """
    of_it = categories.get(name.casefold(), categories.get(DEFAULT_CATEGORY, {}))
    merged = {**missing, **of_it}
    for resource in COMPUTE:
        request, limit = of_it.get(f"requests.{resource}"), merged.get(f"limits.{resource}")
        if request is not None and limit is not None and f"limits.{resource}" not in of_it:
            merged[f"limits.{resource}"] = max(limit, request, key=lambda each: each.nanos)
    return merged


Undeclared: TypeAlias = Mapping[str, tuple[str, ...]]
"""The names of the containers that do not declare a resource, by ResourceQuota's name of the resource."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    What a container may declare of one resource; None: anything. `ratio` is the most that limit / request may be.

    `request` and `limit` are what LimitRanger fills in where a container declares none.
    Source: LimitRange items of type Container.
    """

    least: int | None = None
    most: int | None = None
    ratio: Fraction | None = None
    request: Quantity | None = None
    limit: Quantity | None = None

    def within(self, nanos: int) -> int:
        """Return the amount that is nearest to *nanos*, in billionths. Of bounds that contradict, the most counts."""
        raised = nanos if self.least is None else max(nanos, self.least)
        return raised if self.most is None else min(raised, self.most)


NO_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Filled:
    """
    What is filled into the `resources` of one container: amounts by list (`requests`, `limits`) and name (`cpu`).

    `path` is the JSON pointer of `resources`. `existing` has those of `resources`, `requests` and `limits` that the
    object has already.
    """

    path: str
    amounts: Mapping[str, Mapping[str, Quantity]]
    existing: frozenset[str]


class Filling(NamedTuple):
    """What is filled into an object, and a sentence for each default that had to be left out."""

    parts: tuple[Filled, ...] = ()
    left_out: tuple[str, ...] = ()


NO_FILLING = Filling()
