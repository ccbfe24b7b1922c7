"""
ResourceClaims of every shape that can cost something: the same ones for the same seed.

No class is missing and no count is negative: Kubernetes counts both, and its API server stores neither.
"""

from __future__ import annotations

from tests.oracle.random_json import Json, RandomJson

CLASSES = ("gpu.example.com", "gpu-small.example.com", "nic", "0.a-b")
MODES = ("ExactCount", "ExactCount", "All", "", None)
UNKNOWN_MODES = ("Half", "exactcount")
COUNTS = (0, 1, 1, 2, 3, 8, 31, 32, 33, 1000, 2**63 - 1, None)
FUTURE = "anyOf"
"""A form of request that Kubernetes 1.37 does not know, and skips."""


class RandomResourceClaims(RandomJson):
    """Makes ResourceClaims from one sequence of random numbers."""

    def claim(self) -> Json:
        """Return a claim: mostly one request or two in forms that are known."""
        claim: dict[str, Json] = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": self._metadata(),
        }
        if self._chance(0.03):
            self._maybe(claim, "spec", dict)
        else:
            claim["spec"] = {"devices": self._devices()}
        if self._chance(0.2):
            claim["status"] = self._status()
        return claim

    def _metadata(self) -> Json:
        metadata: dict[str, Json] = {"name": "c"}
        if self._chance(0.4):
            mark = self._random.choice(["true", "true", "true", "false", "True", ""])
            metadata["annotations"] = {"resource.kubernetes.io/extended-resource-claim": mark}
        if self._chance(0.6):
            metadata["ownerReferences"] = [self._owner() for _ in range(self._random.choice([0, 1, 1, 1, 2]))]
        return metadata

    def _owner(self) -> Json:
        owner: dict[str, Json] = {
            "apiVersion": self._random.choice(["v1", "v1", "v1", "v2", "example.com/v1"]),
            "kind": self._random.choice(["Pod", "Pod", "Pod", "ConfigMap"]),
            "name": "p",
            "uid": "u",
        }
        self._maybe(owner, "controller", lambda: self._chance(0.8))
        return owner

    def _devices(self) -> Json:
        kind = self._random.random()
        if kind < 0.04:
            return self._random.choice((None, {}))
        count = self._random.choice([0, 1, 1, 1, 2, 2, 3, 5])
        if count == 0:
            return {"requests": self._random.choice((None, []))}
        return {"requests": [self._request(f"r{number}") for number in range(count)]}

    def _request(self, name: str) -> Json:
        """Return a request in one form; the fields of the others are mostly absent, else null or empty."""
        request: dict[str, Json] = {"name": name}
        kind = self._random.random()
        if kind < 0.55:
            request["exactly"] = self._exactly()
            if self._chance(0.1):
                request["firstAvailable"] = self._random.choice((None, []))
        elif kind < 0.95:
            request["firstAvailable"] = [self._asked(f"s{number}") for number in range(self._random.randint(1, 8))]
            if self._chance(0.1):
                request["exactly"] = self._random.choice((None, self._exactly()))
        elif kind < 0.98:
            request[FUTURE] = [self._exactly()]
        else:
            request[self._random.choice(["exactly", "firstAvailable"])] = None
        return request

    def _exactly(self) -> Json:
        asked = self._asked(None)
        if self._chance(0.2):
            self._maybe(asked, "adminAccess", lambda: self._chance(0.8))
        return asked

    def _asked(self, name: str | None) -> dict[str, Json]:
        asked: dict[str, Json] = {"deviceClassName": self._random.choice(CLASSES)}
        if name is not None:
            asked["name"] = name
        self._maybe(asked, "count", lambda: self._random.choice(COUNTS))
        modes = UNKNOWN_MODES if self._chance(0.03) else MODES
        self._maybe(asked, "allocationMode", lambda: self._random.choice(modes))
        if self._chance(0.1):
            asked["selectors"] = [{"cel": {"expression": "true"}}]
        return asked

    def _status(self) -> Json:
        given: dict[str, Json] = {"request": "r0", "driver": "example.com", "pool": "p", "device": "d"}
        return {"allocation": {"devices": {"results": [given] * self._random.randint(0, 3)}}}
