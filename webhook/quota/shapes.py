"""
The shape of pods in a class of nodes: cpu, memory and devices in the ratio in which its nodes have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from webhook.quota import resources
from webhook.quota.quantity import NANOS
from webhook.quota.resources import LOGICAL, Amount, Amounts

_STEP = {"requests.cpu": NANOS // 1000}
"""The least that a container can ask for of what is neither counted in pieces nor in bytes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """
    The ratio of the amounts of `unit`, in which a pod asks for these resources: for any number of units, also a part
    of one.

    That number is told by the resource of which it asks for least. Of the others it may ask for more than that by the
    part `tolerance`, and in any case so much that it is a whole number of what can be asked for.
    """

    unit: Amounts
    tolerance: Fraction = Fraction(0)

    def __str__(self) -> str:
        within = f" within {self.tolerance * 100}%" if self.tolerance else ""
        return resources.show_list(self.unit) + within

    def holds(self, asked: Mapping[str, Amount]) -> bool:
        """Whether a pod that asks for these amounts has the shape. One that leaves a resource out has not."""
        number = min(Fraction(asked.get(name, 0)) / one for name, one in self.unit)
        most = number * (1 + self.tolerance)
        return number > 0 and all(asked[name] <= _asked_for(name, most * one) for name, one in self.unit)

    def nearest(self, asked: Mapping[str, Amount]) -> Amounts:
        """
        Return amounts that have the shape, for a pod which asks for amounts that have not.

        People choose a number of devices, and the rest follows; without a device it is as much as the pod asks for most
        of, in whole units if these have devices. One unit if it asks for nothing.
        """
        numbers = {name: Fraction(asked.get(name, 0)) / one for name, one in self.unit}
        devices = [(name, one) for name, one in self.unit if _is_device(name)]
        of_devices = max((numbers[name] for name, _ in devices), default=Fraction(0))
        number = of_devices or max(numbers.values()) or Fraction(1)
        # A part of a device is suggested only to those who ask for parts of it.
        if any(number * one % NANOS for name, one in devices if not (of_devices and name in LOGICAL)):
            number = Fraction(ceil(number))
        return tuple((name, _asked_for(name, number * one)) for name, one in self.unit)


def _asked_for(name: str, amount: Fraction) -> Amount:
    """Return the least amount that can be asked for and is no less than *amount*; of devices *amount* itself."""
    step = NANOS if resources.is_in_bytes(name) else _STEP.get(name)
    if step is not None:
        return ceil(amount / step) * step
    return int(amount) if amount.denominator == 1 else amount


def _is_device(name: str) -> bool:
    return name in LOGICAL or resources.is_extended(name.removeprefix("requests."))
