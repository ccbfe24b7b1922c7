"""
What each feature needs of a Kubernetes version, and what happens where the API server is older.

The table in `docs/doctor.md` is compared with this by a test.
"""

from __future__ import annotations

from typing import NamedTuple

NEEDED_VERSION = (1, 30)
"""The Kubernetes version from which on `matchConditions` of webhooks are stable: the manifests have them."""


class Feature(NamedTuple):
    """Something that userquota does, the version that it takes, and what happens `below` it."""

    name: str
    needed: tuple[int, int]
    below: str


FEATURES = (
    Feature("the manifests", NEEDED_VERSION, "they are refused: `matchConditions` are not stable"),
    Feature("`lifecycle.preStop.sleep` of our pods", (1, 30), "the field is dropped, and a rollout may fail calls"),
    Feature("resizes of running pods", (1, 33), "they do not exist, unless a feature gate is set"),
    Feature("resources of whole pods", (1, 34), "`spec.resources` does not exist, unless a feature gate is set"),
    Feature("ResourceClaims", (1, 34), "none is counted: `resource.k8s.io/v1` is not served"),
    Feature("changes of a VolumeAttributesClass", (1, 34), "they do not exist, unless a feature gate is set"),
    Feature("resizes of pods with resources of their own", (1, 36), "they are refused, unless a feature gate is set"),
    Feature("`extendedResourceName` of a DeviceClass", (1, 36), "the field is dropped, unless a feature gate is set"),
    Feature("MutatingAdmissionPolicies beside us", (1, 36), "they do not exist, unless a feature gate is set"),
    Feature(
        "the sums of ResourceQuota during resizes",
        (1, 37),
        "they are not ours: ResourceQuota adds up the most of each container, of those whose status has `resources`",
    ),
)


def lacking(version: tuple[int, int]) -> tuple[Feature, ...]:
    """Return the features that an API server of *version* is too old for."""
    return tuple(each for each in FEATURES if version < each.needed)


def written(version: tuple[int, int]) -> str:
    """Return *version* as Kubernetes writes it."""
    return f"{version[0]}.{version[1]}"
