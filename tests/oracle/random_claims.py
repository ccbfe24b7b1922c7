"""
PersistentVolumeClaims of every shape that can cost something: the same ones for the same seed.

An annotation is never null: the API server stores it as an empty text, which is not an absent one.
"""

from __future__ import annotations

from tests.oracle.random_json import Json, RandomJson

STORAGE_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
STORAGE_CLASSES = ("gold", "slow.example.com", "")
ATTRIBUTES_CLASSES = ("fast-writes", "")
NO_CLASS: tuple[Json, ...] = (None, {}, {"example.com/note": "gold"})
NO_STORAGE: tuple[Json, ...] = (None, {}, {"cpu": "1", "ephemeral-storage": "1Gi"})

NEIGHBOURS = (
    *("1Gi", "1024Mi", "1073741824", "1073741825", "1073741823999m", "1073741824001m", "1.07374182400000001G"),
    *("0", "1n", "1m", "500m", "0.7", "999m", "1", "1001m", "1.5", "2", "1e-3", "2e0"),
)
"""Amounts that are equal, or equal once they are rounded up to a byte, or a byte or less apart."""


class RandomClaims(RandomJson):
    """Makes PersistentVolumeClaims from one sequence of random numbers."""

    def claim(self) -> Json:
        """Return a claim: mostly a request and a class, sometimes with everything at once."""
        asked = self._storage()
        claim: dict[str, Json] = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": self._metadata(),
            "spec": self._spec(asked),
        }
        if self._chance(0.6):
            claim["status"] = self._status(asked)
        return claim

    def _storage(self) -> Json:
        return self._random.choice(NEIGHBOURS) if self._chance(0.3) else self.quantity()

    def _metadata(self) -> Json:
        metadata: dict[str, Json] = {"name": "c"}
        if self._chance(0.2):
            metadata["annotations"] = {STORAGE_CLASS_ANNOTATION: self._random.choice(STORAGE_CLASSES)}
        elif self._chance(0.2):
            metadata["annotations"] = self._random.choice(NO_CLASS)
        if self._chance(0.1):
            metadata["deletionTimestamp"] = "2026-11-01T12:00:00Z"
            metadata["finalizers"] = ["kubernetes.io/pvc-protection"]
        return metadata

    def _spec(self, asked: Json) -> Json:
        spec: dict[str, Json] = {"accessModes": ["ReadWriteOnce"]}
        if self._chance(0.95):
            spec["resources"] = self._resources(asked)
        self._maybe(spec, "storageClassName", lambda: self._random.choice(STORAGE_CLASSES))
        if self._chance(0.3):
            self._maybe(spec, "volumeAttributesClassName", lambda: self._random.choice(ATTRIBUTES_CLASSES))
        return spec

    def _resources(self, asked: Json) -> Json:
        """Return a request for storage, mostly alone; sometimes other resources and limits, which cost nothing."""
        resources: dict[str, Json] = {}
        if self._chance(0.9):
            resources["requests"] = {"storage": asked}
        else:
            resources["requests"] = self._random.choice(NO_STORAGE)
        if self._chance(0.1):
            resources["limits"] = {"storage": self._storage()}
        return resources

    def _status(self, asked: Json) -> Json:
        """Return a status; what is allocated may be what is asked for, something close to it, or anything else."""
        status: dict[str, Json] = {"phase": self._random.choice(["Pending", "Bound", "Lost"])}
        self._maybe(status, "allocatedResources", lambda: self._allocated(asked))
        if self._chance(0.5):
            self._maybe(status, "capacity", lambda: {"storage": self._storage()})
        if self._chance(0.2):
            self._maybe(status, "currentVolumeAttributesClassName", lambda: self._random.choice(ATTRIBUTES_CLASSES))
        if self._chance(0.2):
            self._maybe(status, "modifyVolumeStatus", self._modification)
        return status

    def _allocated(self, asked: Json) -> Json:
        kind = self._random.random()
        if kind < 0.1:
            return {}
        if kind < 0.2:
            return {"example.com/other": "1Gi"}
        return {"storage": asked if kind < 0.4 else self._storage()}

    def _modification(self) -> Json:
        wanted = self._random.choice(ATTRIBUTES_CLASSES)
        return {"status": "InProgress", "targetVolumeAttributesClassName": wanted}
