"""
The policies of a run: limits so low, for each user and for all together, that some are always reached.
"""

from __future__ import annotations

import json
import random

from nemesis.accounting import LIMITED_GROUPS

_USUAL = {
    "user": {"pods": 10, "cpu": 190},
    "ml": {"pods": 17, "cpu": 330},
    "staff": {"pods": 17, "cpu": 330},
    "cluster": {"pods": 42, "cpu": 820},
}
_FACTORS = (50, 75, 100, 100, 100, 110)
"""Per cent. Rarely above 100: reservations never stored under a higher limit fill the usual one for 40 s."""


def usual() -> str:
    """Return the policy that a run begins and ends with."""
    return _text({subject: dict.fromkeys(hard, 100) for subject, hard in _USUAL.items()})


def changed(chance: random.Random) -> str:
    """Return a policy with other limits, some lower, some higher."""
    return _text({subject: {name: chance.choice(_FACTORS) for name in hard} for subject, hard in _USUAL.items()})


def _text(factors: dict[str, dict[str, int]]) -> str:
    hard = {
        subject: {"pods": usual["pods"] * factors[subject]["pods"] // 100, "cpu": _cpu(subject, factors)}
        for subject, usual in _USUAL.items()
    }
    policy = {
        "version": 1,
        "defaults": {"user": {"hard": hard["user"]}},
        "groups": {name: {"pool": {"hard": hard[name]}} for name in LIMITED_GROUPS},
        "cluster": {"hard": hard["cluster"]},
    }
    return json.dumps(policy)  # JSON is YAML, too


def _cpu(subject: str, factors: dict[str, dict[str, int]]) -> str:
    return f"{_USUAL[subject]['cpu'] * factors[subject]['cpu'] // 100}m"
