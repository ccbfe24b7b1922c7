"""
PersistentVolumeClaims and what Kubernetes 1.37.2 charges for them: tests compare us and Kubernetes with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.oracle.building import Object
from tests.oracle.random_claims import STORAGE_CLASS_ANNOTATION


@dataclass(frozen=True, slots=True)
class ClaimExample:
    """A claim and its charge by resource name, without the two names that count the claim itself."""

    claim: Object
    charged: dict[str, str]


def volume_claim(
    storage: Any = None, *, annotations: Object | None = None, status: Object | None = None, **spec: Any
) -> Object:
    """Return a claim that requests *storage*; None requests nothing."""
    requests = {} if storage is None else {"storage": storage}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "example", "annotations": annotations or {}},
        "spec": {"resources": {"requests": requests}, **spec},
        **({"status": status} if status else {}),
    }


def allocated(storage: str) -> Object:
    """Return the status of a claim whose volume has been given *storage*."""
    return {"phase": "Bound", "allocatedResources": {"storage": storage}}


def of_class(name: str, storage: str) -> dict[str, str]:
    """Return the charge of a claim for *storage* of a class."""
    return {
        "requests.storage": storage,
        f"{name}.storageclass.storage.k8s.io/requests.storage": storage,
        f"{name}.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
    }


CLAIMS = {
    "storage is charged as it is written": ClaimExample(volume_claim("1.5Gi"), {"requests.storage": "1536Mi"}),
    "once more under the name of its class": ClaimExample(
        volume_claim("10G", storageClassName="gold"), of_class("gold", "10G")
    ),
    "an empty class is no class": ClaimExample(volume_claim("1", storageClassName=""), {"requests.storage": "1"}),
    "the old annotation names the class": ClaimExample(
        volume_claim("1Gi", annotations={STORAGE_CLASS_ANNOTATION: "gold"}), of_class("gold", "1Gi")
    ),
    "the old annotation wins over the field": ClaimExample(
        volume_claim("1Gi", annotations={STORAGE_CLASS_ANNOTATION: "old"}, storageClassName="new"),
        of_class("old", "1Gi"),
    ),
    "even an empty annotation wins over the field": ClaimExample(
        volume_claim("1Gi", annotations={STORAGE_CLASS_ANNOTATION: ""}, storageClassName="new"),
        {"requests.storage": "1Gi"},
    ),
    "the class of a claim without a request counts the claim": ClaimExample(
        volume_claim(storageClassName="gold"), {"gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1"}
    ),
    "a part of a byte is a byte": ClaimExample(volume_claim("1n"), {"requests.storage": "1"}),
    "a request is rounded up to a byte": ClaimExample(volume_claim("0.3Gi"), {"requests.storage": "322122548"}),
    "what is allocated counts if it is more": ClaimExample(
        volume_claim("1Gi", status=allocated("5Gi"), storageClassName="gold"), of_class("gold", "5Gi")
    ),
    "and not if it is less": ClaimExample(volume_claim("1Gi", status=allocated("1023Mi")), {"requests.storage": "1Gi"}),
    "of two equal ones the format of the request": ClaimExample(
        volume_claim("1024Mi", status=allocated("1073741824")), {"requests.storage": "1Gi"}
    ),
    "what is allocated is compared with the request rounded up": ClaimExample(
        volume_claim("0.2", status=allocated("0.9")), {"requests.storage": "1"}
    ),
    "and is rounded up if it is more": ClaimExample(
        volume_claim("0.2", status=allocated("1.1")), {"requests.storage": "2"}
    ),
    "what is allocated does not count without a request": ClaimExample(volume_claim(status=allocated("5Gi")), {}),
    "the capacity does not count": ClaimExample(
        volume_claim("1Gi", status={"capacity": {"storage": "9Gi"}}), {"requests.storage": "1Gi"}
    ),
    "a volume attributes class costs nothing": ClaimExample(
        volume_claim(
            "1Gi", volumeAttributesClassName="fast-writes", status={"currentVolumeAttributesClassName": "slow-writes"}
        ),
        {"requests.storage": "1Gi"},
    ),
    "a limit costs nothing": ClaimExample(
        volume_claim(resources={"requests": {"storage": "1Gi"}, "limits": {"storage": "9Gi"}}),
        {"requests.storage": "1Gi"},
    ),
}
