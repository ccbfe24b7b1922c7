"""
The policies of a run: limits so low, for most users and for groups, that some are always reached; and what is promised
of classes of nodes.

Two users have plenty of room for all but sessions and what is gold, and so has the cluster: their creates are far from
every limit, unless those are lowered to about what is used.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

from nemesis.accounting import DEVICE_CLASSES, LIMITED_GROUPS
from nemesis.promising import WHOLE, ZONED, Entries
from nemesis.records import CLASS_LABEL

_GOLD = "gold.storageclass.storage.k8s.io"
_GPUS, _CARDS = (f"{each}.deviceclass.resource.k8s.io/devices" for each in DEVICE_CLASSES)
_NAMES = (
    "sessions",
    "pods",
    "cpu",
    "gpu",
    "persistentvolumeclaims",
    "storage",
    f"{_GOLD}/persistentvolumeclaims",
    f"{_GOLD}/requests.storage",
    _GPUS,
    _CARDS,
)
ROOMY = ("dave", "erin")
"""They are in no group that has limits."""

_GROUP = (5, 22, 420, 12, 10, 320, 6, 190, 5, 6)
_USUAL = {
    subject: dict(zip(_NAMES, amounts, strict=True))
    for subject, amounts in {
        "user": (3, 13, 240, 7, 6, 180, 4, 110, 3, 4),
        "ml": _GROUP,
        "staff": _GROUP,
        "cluster": (11, 1000, 24000, 600, 600, 24000, 15, 440, 300, 300),
        **dict.fromkeys(ROOMY, (3, 500, 12000, 300, 300, 12000, 4, 110, 150, 150)),
    }.items()
}
_UNITS = {"cpu": "m", "storage": "Mi", f"{_GOLD}/requests.storage": "Mi"}
_FACTORS = (50, 75, 100, 100, 100, 110)
"""Per cent. Rarely above 100: reservations never stored under a higher limit fill the usual one for 40 s."""

_PLENTY = {"pods", "cpu", "gpu", "persistentvolumeclaims", "storage", _GPUS, _CARDS}
"""Of what the cluster and roomy users have plenty."""

_LOWERED = (2, 4, 6, 10, 15)
"""Per cent of what is plenty: some of what is used, and a little more."""

_LOWERS = 0.4
"""How often what is plenty is lowered, for each subject, when limits change."""


Factors = Mapping[str, Mapping[str, int]]
"""By subject and name, per cent of what is usual."""


def usual() -> Factors:
    """Return the limits that a run begins and ends with."""
    return {subject: dict.fromkeys(hard, 100) for subject, hard in _USUAL.items()}


def changed(chance: random.Random) -> Factors:
    """Return other limits, some lower, some higher."""
    lowers = {subject: chance.random() < _LOWERS for subject in _USUAL}
    return {
        subject: {name: chance.choice(_factors(subject, name, lowers=lowers[subject])) for name in hard}
        for subject, hard in _USUAL.items()
    }


def _factors(subject: str, name: str, *, lowers: bool) -> tuple[int, ...]:
    if subject not in ("cluster", *ROOMY) or name not in _PLENTY:
        return _FACTORS
    return _LOWERED if lowers else (100,)


def text(factors: Factors, commitments: Entries) -> str:
    """Return a policy with these limits and commitments."""
    hard = {
        subject: {
            name: f"{amount * factors[subject][name] // 100}{_UNITS.get(name, '')}" for name, amount in usual.items()
        }
        for subject, usual in _USUAL.items()
    }
    policy = {
        "version": 1,
        "sessions": {"presets": ["kubeflow-notebook"], "count": "running"},
        "defaults": {"user": {"hard": hard["user"]}},
        "users": {name: {"hard": hard[name]} for name in ROOMY},
        "groups": {name: {"pool": {"hard": hard[name]}} for name in LIMITED_GROUPS},
        "cluster": {"hard": hard["cluster"]},
        "tenants": {"north": {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "nemesis-b"}}}},
        "nodeClasses": {name: {"nodes": {"matchLabels": {CLASS_LABEL: name}}} for name in (ZONED, WHOLE)},
        "commitments": commitments,
    }
    return json.dumps(policy)  # JSON is YAML, too
