"""
What is created, by which users, and how many at a time. The contestants: see `stage`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

PLACES = 100
"""The limit of all users of the rush together, by our policy and by ResourceQuota."""

_PLENTY = {"pods": "1000000", "requests.cpu": "100000", "requests.memory": "400Ti"}
_RUSHER = "rusher"
_POOL = "pool"

POLICY = f"""\
version: 1
defaults: {{user: {{hard: {{pods: 1000000, cpu: 100000, memory: 400Ti}}}}}}
users: {{{_RUSHER}: {{hard: {{pods: {PLACES}}}}}}}
groups: {{{_POOL}: {{pool: {{hard: {{pods: 1000000, cpu: 100000, memory: 400Ti}}}}}}}}
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """*creates* pods in one namespace, *in_flight* at a time, by *users* people in turn, for *places* if few."""

    name: str
    told: str
    creates: int
    in_flight: int
    users: int = 1
    places: int | None = None

    @property
    def expected(self) -> int:
        """Return the number of creates that an exact limit allows."""
        return self.creates if self.places is None else self.places

    def hard(self) -> dict[str, str]:
        """Return the ResourceQuota with the same limits as our policy."""
        return _PLENTY if self.places is None else {"pods": str(self.places)}

    def creator(self, number: int) -> str:
        """Return the user of create *number*."""
        if self.places is not None:
            return _RUSHER
        return f"person-{number % self.users:04}"

    def groups(self) -> Iterator[str]:
        """Return the groups of every user; the members of the pool share its limit."""
        yield "people"  # has the rights: see localcluster.users
        if self.users == 1:
            yield _POOL


HOT = Workload("hot", "one person, one pool, 50 at a time", 600, 50)
SPREAD = Workload("spread", "1 000 people, 50 at a time", 1000, 50, users=1000)
RUSH = Workload("rush", f"200 at a time, for {PLACES} places", 500, 200, places=PLACES)
ALONE = Workload("alone", "one at a time", 150, 1)

WORKLOADS = (HOT, SPREAD, RUSH, ALONE)


def pod(name: str) -> bytes:
    """Return the body of a create."""
    requests = {"cpu": "10m", "memory": "16Mi"}
    container = {"name": "main", "image": "example/x", "resources": {"requests": requests}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}
    return msgspec.json.encode(body)
