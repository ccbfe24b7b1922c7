"""
What a policy says of the resources themselves: what people call them, and how their amounts are shown.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from webhook.quota import resources
from webhook.quota.quantity import Format

_CLASS = "deviceclass.resource.kubernetes.io/"


class Notation(enum.Enum):
    """How amounts are shown: in powers of ten (`8G`) or of two (`8Gi`)."""

    DECIMAL = "decimal"
    BINARY = "binary"

    @property
    def form(self) -> Format:
        """Return it in Kubernetes' words."""
        return Format.BINARY_SI if self is Notation.BINARY else Format.DECIMAL_SI


@dataclass(frozen=True, slots=True)
class About:
    """
    What a policy says of one resource.

    `entry` is the name of what says it (`resources.gpu`), `place` its source and line. Texts are empty where it says
    nothing. `notation` is how amounts are shown, None: as Kubernetes shows them.
    """

    entry: str
    place: str = ""
    display_name: str = ""
    description: str = ""
    unit: str = ""
    notation: Notation | None = None

    @property
    def form(self) -> Format | None:
        """Return how amounts are shown in Kubernetes' words, None: as it shows them."""
        return None if self.notation is None else self.notation.form


Catalogue: TypeAlias = Mapping[str, About]
"""By the canonical name of the resource."""


def form_of(catalogue: Catalogue, name: str) -> Format | None:
    """Return how amounts of resource *name* are shown, None: as Kubernetes shows them."""
    about = catalogue.get(name)
    return None if about is None else about.form


def fixed_form(name: str) -> Format | None:
    """Return the notation that Kubernetes has for amounts of *name*, a canonical one; None if that is open."""
    if resources.is_in_bytes(name):
        return Format.BINARY_SI
    device = name.removeprefix("requests.")
    is_open = device != name and resources.is_extended(device) and not device.startswith(_CLASS)
    return None if is_open else Format.DECIMAL_SI


def is_in_parts(name: str) -> bool:
    """Whether somebody may use a part of one of *name*: of a core, or of a device."""
    return name in resources.LOGICAL or name in {"requests.cpu", "limits.cpu"}


def other_name(name: str) -> str:
    """Return the second name of the devices of a class, whose name *name* is; empty for all others."""
    ending = ".deviceclass.resource.k8s.io/devices"
    if name.endswith(ending):
        return f"requests.{_CLASS}{name.removesuffix(ending)}"
    device = name.removeprefix(f"requests.{_CLASS}")
    return f"{device}{ending}" if device != name else ""
