"""
Amounts of a class of nodes that are written as a number of its units: known only when all texts are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from webhook.documents.mistake import Mistake
from webhook.documents.policy_amounts import whole_if_possible
from webhook.quota.policy import Hard, Unlimited
from webhook.quota.resources import Amount, show_list


class UnitUse(NamedTuple):
    """
    So many `units` of a class, for `amounts`, which are empty until `fill`; `place` is that of a mistake.
    """

    node_class: str
    units: int | Unlimited
    amounts: dict[str, Hard]
    place: Mistake

    def fill(self, unit: Mapping[str, Amount]) -> None:
        """Put into `amounts` what the units come to, of one *unit*: exactly, and of unlimited ones each resource is."""
        for name, one in unit.items():
            units = self.units
            self.amounts[name] = units if isinstance(units, Unlimited) else whole_if_possible(Fraction(one * units))


def uneven(amounts: Mapping[str, Amount], unit: Mapping[str, Amount]) -> str:
    """Return what of *amounts* is no whole number of units, as text; empty if all is."""
    odd = [(name, amount) for name, amount in sorted(amounts.items()) if name in unit and amount % unit[name]]
    return f"no whole number of units: {show_list(odd)}; one is {show_list(sorted(unit.items()))}" if odd else ""
