"""
Pods of every shape that can cost something: the same ones for the same seed.

What they cost is not known here: the tests compare what two programs answer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.oracle.random_json import Json, RandomJson

CONTAINER_RESOURCES = (
    "cpu",
    "memory",
    "ephemeral-storage",
    "hugepages-2Mi",
    "hugepages-1Gi",
    "nvidia.com/gpu",
    "nvidia.com/mig-3g.20gb",
    "example.com/Licence_v1.2",
    "deviceclass.resource.kubernetes.io/gpu.example.com",
    "kubernetes.io/native",
    "vendor.kubernetes.io/native",
    "requests.example.com/thing",
    "storage",
)
"""Resources that are charged, and some that only look so: native names, and names that are no extended resources."""

COMMON_RESOURCES = CONTAINER_RESOURCES[:6]
POD_RESOURCES = ("cpu", "memory", "hugepages-2Mi", "hugepages-1Gi", "ephemeral-storage", "nvidia.com/gpu")

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
"""The moment at which the pods are counted; some are released before it, some after it, some at that very second."""

GRACE_PERIODS = (-1, 0, 1, 2, 30, 3600, 86400 * 365)
AROUND = (-3600, -31, -2, -1, 0, 1, 2, 31, 3600)
"""Seconds from the moment at which a pod is released to NOW."""

PHASES = (None, "", "Pending", "Running", "Running", "Unknown", "Succeeded", "Failed")
CONDITIONS: tuple[tuple[str, str | None], ...] = (
    ("PodResizePending", "Infeasible"),
    ("PodResizePending", "Deferred"),
    ("PodResizePending", None),
    ("PodResizeInProgress", "Infeasible"),
    ("Ready", None),
)


class RandomPods(RandomJson):
    """Makes pods from one sequence of random numbers."""

    def pod(self) -> Json:
        """Return a pod: mostly small and plain, sometimes with everything at once."""
        containers, inits = (self._containers(prefix) for prefix in ("app", "init"))
        names = [str(container["name"]) for container in (*containers, *inits)]
        spec: dict[str, Json] = {"containers": list(containers)}
        if inits or self._chance(0.1):
            spec["initContainers"] = list(inits) or self._random.choice([None, []])
        if self._chance(0.3):
            spec["overhead"] = self._resource_list(("cpu", "memory", "ephemeral-storage", "nvidia.com/gpu"))
        if self._chance(0.35):
            spec["resources"] = self._requirements(POD_RESOURCES)
        pod: dict[str, Json] = {"apiVersion": "v1", "kind": "Pod", "metadata": self._metadata(), "spec": spec}
        if self._chance(0.5):
            pod["status"] = self._status(names)
        return pod

    def _containers(self, prefix: str) -> list[dict[str, Json]]:
        count = self._random.choice([0, 1, 1, 1, 2, 3, 5] if prefix == "app" else [0, 0, 0, 1, 2, 3, 6])
        return [self._container(f"{prefix}-{number}", is_init=prefix == "init") for number in range(count)]

    def _container(self, name: str, *, is_init: bool) -> dict[str, Json]:
        container: dict[str, Json] = {"name": name, "image": "example.com/image"}
        if self._chance(0.9):
            container["resources"] = self._requirements(CONTAINER_RESOURCES)
        if self._chance(0.5 if is_init else 0.05):
            container["restartPolicy"] = self._random.choice(["Always", "Always", "Always", "OnFailure", "Never", None])
        return container

    def _requirements(self, names: tuple[str, ...]) -> Json:
        """Return limits only, requests only, both alike, both unlike, or nothing in its several spellings."""
        kind = self._random.random()
        if kind < 0.25:
            return {"limits": self._resource_list(names)}
        if kind < 0.5:
            return {"requests": self._resource_list(names)}
        if kind < 0.6:
            same = self._resource_list(names)
            return {"limits": same, "requests": same}
        if kind < 0.95:
            return {key: self._resource_list(names) for key in ("limits", "requests")}
        nothing: list[Json] = [None, {}, {"limits": None}, {"requests": None}]
        return self._random.choice(nothing)

    def _resource_list(self, names: tuple[str, ...]) -> Json:
        if self._chance(0.8):
            names = tuple(name for name in names if name in COMMON_RESOURCES)
        chosen = self._random.sample(names, k=min(len(names), self._random.choice([0, 1, 2, 2, 3, 4])))
        return {name: self.quantity() for name in chosen}

    def _metadata(self) -> Json:
        metadata: dict[str, Json] = {"name": "p"}
        if self._chance(0.4):
            grace = self._random.choice(GRACE_PERIODS)
            marked = NOW - timedelta(seconds=grace) + timedelta(seconds=self._random.choice(AROUND))
            self._maybe(metadata, "deletionTimestamp", lambda: marked.strftime("%Y-%m-%dT%H:%M:%SZ"))
            self._maybe(metadata, "deletionGracePeriodSeconds", lambda: grace)
        return metadata

    def _status(self, names: list[str]) -> Json:
        if self._chance(0.05):
            return self._random.choice([None, {}])
        status: dict[str, Json] = {"phase": self._random.choice(PHASES)}
        if self._chance(0.5):
            self._maybe(status, "conditions", self._conditions)
        for field in ("containerStatuses", "initContainerStatuses"):
            if self._chance(0.1):
                status[field] = self._random.choice([None, []])
            elif self._chance(0.6):
                status[field] = [self._container_status(name) for name in self._some_of(names)]
        if self._chance(0.3):  # read by kubelet and scheduler, not by ResourceQuota
            self._status_resources(status, POD_RESOURCES)
        return status

    def _conditions(self) -> Json:
        kinds = self._random.sample(CONDITIONS, k=self._random.choice([0, 1, 1, 2, 3]))
        return [
            {"type": kind, "reason": reason, "status": self._random.choice(["True", "False"])} for kind, reason in kinds
        ]

    def _some_of(self, names: list[str]) -> list[str]:
        """Return some of *names* in any order, rarely one of them twice or one that no container has."""
        some = self._random.sample(names, k=self._random.randint(0, len(names)))
        return [*some, self._random.choice([*names, "gone"])] if self._chance(0.05) else some

    def _container_status(self, name: str) -> Json:
        status: dict[str, Json] = {"name": name}
        self._status_resources(status, CONTAINER_RESOURCES)
        return status

    def _status_resources(self, status: dict[str, Json], names: tuple[str, ...]) -> None:
        """Set `resources` and its two lists and `allocatedResources`; each is absent, null, empty or full by itself."""

        def listed() -> Json:
            return self._resource_list(names)

        def requirements() -> Json:
            resources: dict[str, Json] = {}
            for half in ("requests", "limits"):
                self._maybe(resources, half, listed)
            return resources

        self._maybe(status, "resources", requirements)
        self._maybe(status, "allocatedResources", listed)
