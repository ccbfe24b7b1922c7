"""Resource names are those of Kubernetes; names that a pod can be charged for are distinguished from others."""

import pytest

from webhook.kinds.pods import PODS
from webhook.quota import resources

CANONICAL = {
    "cpu": "requests.cpu",
    "memory": "requests.memory",
    "storage": "requests.storage",
    "ephemeral-storage": "requests.ephemeral-storage",
    "nvidia.com/gpu": "requests.nvidia.com/gpu",
    "nvidia.com/mig-1g.5gb": "requests.nvidia.com/mig-1g.5gb",
    "example.com/Licence_v1.2": "requests.example.com/Licence_v1.2",
    "hugepages-2Mi": "requests.hugepages-2Mi",
}
ALREADY_CANONICAL = [
    *(
        "pods",
        "gpu",
        "accelerator",
        "sessions",
        "persistentvolumeclaims",
        "count/pods",
        "count/jobs.batch",
        "count/widgets.example.com",
    ),
    *("limits.cpu", "limits.memory", "limits.ephemeral-storage", "requests.hugepages-1Gi"),
    "gold.storageclass.storage.k8s.io/requests.storage",
    "gold.storageclass.storage.k8s.io/persistentvolumeclaims",
    "gpu.example.com.deviceclass.resource.k8s.io/devices",
    "requests.deviceclass.resource.kubernetes.io/gpu.example.com",
    *("requests.devices.k8s.io/x", "requests.limits.example.com/x"),
    *CANONICAL.values(),
]
UNKNOWN = [
    *(
        "",
        "cpus",
        "CPU",
        "ram",
        "gpus",
        "requests",
        "requests.",
        "requests.gpu",
        "requests.accelerator",
        "accelerators",
        "limits.nvidia.com/gpu",
        "limits.storage",
    ),
    *(
        "hugepages-2MB",
        "hugepages-2",
        "hugepages-",
        "count/",
        "count/Pods",
        "count/jobs.",
        "nvidia.com/",
        "/gpu",
        "a/b/c",
        "annotation/gpu-fraction",
    ),
    *("Nvidia.com/gpu", "nvidia.com/gpu ", "nvidia.com/-gpu", "storageclass.storage.k8s.io/requests.storage", "cpu\n"),
    *("gold.storageclass.storage.k8s.io/request.storage", "requests.kubernetes.io/native", "requests.requests.x/y"),
    *("example.com/" + "a" * 64, "requests.example.com/" + "a" * 64),
]


@pytest.mark.parametrize(("written", "name"), CANONICAL.items())
def test_a_short_name_stands_for_the_name_that_resourcequota_uses(written: str, name: str) -> None:
    assert resources.canonical_name(written) == name


@pytest.mark.parametrize("name", ALREADY_CANONICAL)
def test_a_name_of_resourcequota_stands_for_itself(name: str) -> None:
    assert resources.canonical_name(name) == name


@pytest.mark.parametrize("written", UNKNOWN)
def test_a_name_unknown_to_kubernetes_is_unknown(written: str) -> None:
    assert resources.canonical_name(written) is None


def test_every_name_that_is_suggested_is_known() -> None:
    assert [name for name in resources.known_names() if resources.canonical_name(name) is None] == []
    assert set(resources.known_names()) >= {"cpu", "requests.cpu", "pods", "gpu"}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "pods",
            "count/pods",
            "gpu",
            "accelerator",
            "requests.cpu",
            "limits.cpu",
            "requests.ephemeral-storage",
            "requests.nvidia.com/gpu",
        ),
        *("requests.hugepages-2Mi", "requests.deviceclass.resource.kubernetes.io/gpu.example.com", "limits.memory"),
    ],
)
def test_a_pod_is_charged_for_it(name: str) -> None:
    assert PODS.evaluator.counts(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "requests.storage",
            "persistentvolumeclaims",
            "count/jobs.batch",
            "sessions",
            "requests.kubernetes.io/native",
        ),
        *("gold.storageclass.storage.k8s.io/requests.storage", "gpu.example.com.deviceclass.resource.k8s.io/devices"),
    ],
)
def test_no_pod_is_charged_for_it(name: str) -> None:
    assert not PODS.evaluator.counts(name)


@pytest.mark.parametrize(
    "name",
    [
        *("nvidia.com/gpu", "example.com/Licence_v1.2", "a/b", "e.x/a-_.b", "deviceclass.resource.kubernetes.io/x"),
        *("a" * 244 + "/b", "example.com/" + "a" * 63, "deviceclass.resource.kubernetes.io/"),
    ],
)
def test_is_an_extended_resource(name: str) -> None:
    assert resources.is_extended(name)


@pytest.mark.parametrize(
    "name",
    [
        *("cpu", "memory", "storage", "gpu", "kubernetes.io/gpu", "vendor.kubernetes.io/gpu", "x/kubernetes.io/y"),
        *(
            "requests.example.com/gpu",
            "example.com/",
            "/gpu",
            "example.com/gpu/2",
            "Example.com/gpu",
            "example..com/gpu",
        ),
        *("a" * 245 + "/b", "example.com/" + "a" * 64, "example.com/-gpu", "example.com/gpu.", "example.com/gpü"),
    ],
)
def test_is_no_extended_resource(name: str) -> None:
    assert not resources.is_extended(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cpu", True), ("memory", True), ("hugepages-2Mi", True), ("ephemeral-storage", False), ("nvidia.com/gpu", False)],
)
def test_only_cpu_memory_and_hugepages_have_pod_level_requests(name: str, *, expected: bool) -> None:
    assert resources.is_pod_level(name) is expected
