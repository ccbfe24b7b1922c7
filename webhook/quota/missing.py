"""
What a policy says of containers that do not declare a resource: the requests and limits it may name, and the words.

Which containers lack what is known to `kinds`; `decision` has the rule by which a lack is a refusal.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from webhook.quota.quantity import Quantity
from webhook.quota.resources import COMPUTE, Amount

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

Undeclared: TypeAlias = Mapping[str, tuple[str, ...]]
"""The names of the containers that do not declare a resource, by ResourceQuota's name of the resource."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a container may declare of one resource. `ratio` bounds the limit by the request; None: nothing does."""

    least: Amount | None = None
    most: Amount | None = None
    ratio: Fraction | None = None


NO_BOUNDS = Bounds()
