"""
Scopes: what a limit may select objects by, as ResourceQuota does, and the selectors of a policy.

An object is in some scopes for as long as it is stored as it is; `kinds` says in which.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Scopes: TypeAlias = tuple[str, ...]
"""
The scopes that an object is in, sorted: `BestEffort`, or `PriorityClass=high` with the value of one that has values.

An object that could have a value and has none is in the scope without a value: `PriorityClass` for a pod without one.
"""

TERMINATING, NOT_TERMINATING = "Terminating", "NotTerminating"
BEST_EFFORT, NOT_BEST_EFFORT = "BestEffort", "NotBestEffort"
CROSS_NAMESPACE = "CrossNamespacePodAffinity"
PRIORITY_CLASS, VOLUME_CLASS = "PriorityClass", "VolumeAttributesClass"
NODE_CLASS, ZONE = "NodeClass", "Zone"
"""Scopes of our own: where a pod may run, by `node_classes`. An object is in them only under a policy with classes."""

WITHOUT_VALUES = (BEST_EFFORT, CROSS_NAMESPACE, NOT_BEST_EFFORT, NOT_TERMINATING, TERMINATING)
WITH_VALUES = (NODE_CLASS, PRIORITY_CLASS, VOLUME_CLASS, ZONE)
KNOWN = tuple(sorted((*WITHOUT_VALUES, *WITH_VALUES)))

OPPOSITES = ((TERMINATING, NOT_TERMINATING), (BEST_EFFORT, NOT_BEST_EFFORT))
"""Scopes of which an object is in exactly one, so that no object is in both."""


class Operator(enum.Enum):
    """How the values of a scope are compared, in the words of a `scopeSelector`."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a scope. `values` are sorted, and empty unless the operator is IN or NOT_IN."""

    scope: str
    operator: Operator = Operator.EXISTS
    values: tuple[str, ...] = ()

    def holds(self, scopes: Scopes) -> bool:
        """
        Whether it holds for an object in *scopes*.

        Of several values of one scope any may decide, so that a claim whose class is being changed is in both classes.
        Source: `podMatchesScopeFunc` and `pvcMatchesSelector` of Kubernetes 1.37.2.
        """
        if self.scope in WITHOUT_VALUES:
            return self.scope in scopes
        values = [each.partition("=")[2] for each in scopes if each.partition("=")[0] == self.scope]
        return any(self._accepts(value) for value in values)

    def _accepts(self, value: str) -> bool:
        """Whether a *value* is selected; empty for an object that could have one and has none."""
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return bool(value)
            case Operator.DOES_NOT_EXIST:
                return not value

    def __str__(self) -> str:
        """Return it as in a message: `BestEffort`, `PriorityClass In (high,urgent)`."""
        if self.scope in WITHOUT_VALUES:
            return self.scope
        values = f" ({','.join(self.values)})" if self.values else ""
        return f"{self.scope} {self.operator.value}{values}"


@dataclass(frozen=True, slots=True, order=False)
class Selector:
    """
    Selects the objects for which all of `requirements` hold. They are sorted, so that equal selectors are equal.

    With `on_demand` only that counts of these which no commitment covers, see `commitments`: they are the pods of one
    class of nodes, `node_class`.
    """

    requirements: tuple[Requirement, ...]
    on_demand: bool = False

    @staticmethod
    def of(requirements: Iterable[Requirement]) -> Selector:
        """Return the selector of *requirements* in whatever order."""
        return Selector(tuple(sorted(set(requirements), key=str)))

    @property
    def node_class(self) -> str:
        """The class of nodes, if it selects by one alone; else empty."""
        match self.requirements:
            case (Requirement(scope="NodeClass", operator=Operator.IN, values=(name,)),):
                return name
        return ""

    def selects(self, scopes: Scopes) -> bool:
        """Whether an object in *scopes* is selected."""
        return all(each.holds(scopes) for each in self.requirements)

    def __str__(self) -> str:
        """Return it as in a message."""
        return ", ".join((*map(str, self.requirements), *(("on demand",) if self.on_demand else ())))


def values_of(scope: str, scopes: Scopes) -> tuple[str, ...]:
    """Return the values that an object in *scopes* has of *scope*."""
    prefix = f"{scope}="
    return tuple(each.removeprefix(prefix) for each in scopes if each.startswith(prefix))


def valued(scope: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes of an object with these *names* as values of *scope*; with none, the scope without a value."""
    return tuple(f"{scope}={name}" for name in sorted(set(names))) or (scope,)
