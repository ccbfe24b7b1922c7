"""
PersistentVolumeClaims: the row, and what a claim costs, exactly as Kubernetes' ResourceQuota counts it.

Source: the claim evaluator of Kubernetes 1.37.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from webhook.kinds.counted import Counted
from webhook.kinds.evaluator import Authored, CostLine, Effect, Kind, UncountableError
from webhook.kinds.resource_lists import read_list, read_quantities, unit_of
from webhook.quota import quantity, scopes
from webhook.quota.objects import NOTHING, LabelledMeta, Shape
from webhook.quota.quantity import NANOS, Quantity
from webhook.quota.resources import Amounts
from webhook.quota.scopes import Scopes
from webhook.quota.subject import controller

CLAIMS = "persistentvolumeclaims"
STORAGE = "requests.storage"
_COUNT = "count/persistentvolumeclaims"
_OF_CLASS = ".storageclass.storage.k8s.io/"
_REQUESTED = "spec.resources.requests"
_ALLOCATED = "status.allocatedResources"


class ClaimResources(Shape, frozen=True, gc=False):
    """`VolumeResourceRequirements`."""

    requests: dict[str, Raw] | None = None


class ClaimSpec(Shape, frozen=True, gc=False):
    """The fields of the spec that decide what a claim costs."""

    storage_class_name: str | None = None
    volume_attributes_class_name: str | None = None
    resources: ClaimResources | None = None


class ModifyVolumeStatus(Shape, frozen=True, gc=False):
    """A change of the VolumeAttributesClass that is under way."""

    target_volume_attributes_class_name: str | None = None


class ClaimStatus(Shape, frozen=True, gc=False):
    """`allocated_resources`: the size that an expansion has set aside; it stays when the expansion is called off."""

    allocated_resources: Raw = NOTHING
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: ModifyVolumeStatus | None = None


class PersistentVolumeClaim(Shape, frozen=True, gc=False):
    """A claim."""

    metadata: LabelledMeta = LabelledMeta()
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus | None = None

    @property
    def storage_class(self) -> str:
        """Return the name of its StorageClass, empty if it has none. The annotation of old clients goes first."""
        annotations = self.metadata.annotations
        if annotations is not None and annotations.storage_class is not None:
            return annotations.storage_class
        return self.spec.storage_class_name or ""


class ClaimEvaluator(Counted[PersistentVolumeClaim]):
    """
    Charges a claim and its storage, in all and for its StorageClass, until the claim is gone.

    The storage is what the claim asks for, or what is allocated for it if that is more: until a shrink is real,
    nothing is credited. It is rounded up to whole bytes.
    """

    def effect(self, operation: str, subresource: str) -> Effect:
        """Return CHARGE for the claim, and RECORD for its status, which the storage's controllers write."""
        if operation == "UPDATE" and subresource == "status":
            return Effect.RECORD
        return super().effect(operation, subresource)

    def usage(self, obj: PersistentVolumeClaim, *, now: object) -> Amounts:  # noqa: ARG002 - time changes nothing
        """Return the amounts of the claim. Raises: UncountableError."""
        return tuple(sorted((name, amount.nanos) for name, amount in _charge(obj).items() if amount.nanos))

    def scopes(self, obj: PersistentVolumeClaim) -> Scopes:
        """Return the VolumeAttributesClasses that the claim asks for, has, or is being changed to: it is in each."""
        status = obj.status or ClaimStatus()
        modified = status.modify_volume_status or ModifyVolumeStatus()
        names = (
            obj.spec.volume_attributes_class_name,
            status.current_volume_attributes_class_name,
            modified.target_volume_attributes_class_name,
        )
        return scopes.valued(scopes.VOLUME_CLASS, filter(None, names))

    def counts(self, resource: str) -> bool:
        """Whether claims can cost *resource*."""
        return resource in (CLAIMS, _COUNT, STORAGE) or resource.endswith((_OF_CLASS + CLAIMS, _OF_CLASS + STORAGE))

    def explain(self, obj: PersistentVolumeClaim) -> Mapping[str, CostLine]:
        """Return what the claim would cost. A default StorageClass is not known here. Raises: UncountableError."""
        charged = _charge(obj)
        if not charged.get(STORAGE, quantity.ZERO).nanos:
            raise UncountableError(f"{_REQUESTED}.storage", ValueError("a claim has to request storage"))
        return {name: CostLine(amount, _source(obj, name)) for name, amount in charged.items()}

    def authored(self, obj: PersistentVolumeClaim, raw: bytes) -> Authored:  # noqa: ARG002 - nothing is added to claims
        """Return the unit in which it asks for storage. Raises: UncountableError."""
        asked = obj.spec.resources
        unit = unit_of(bytes((asked.requests or {}).get("storage", NOTHING))) if asked is not None else ""
        return Authored({name: unit for name in _charge(obj) if name.endswith(STORAGE)})


def _charge(claim: PersistentVolumeClaim) -> dict[str, Quantity]:
    charged = {CLAIMS: quantity.ONE, _COUNT: quantity.ONE}
    storage, of_class = _storage(claim), claim.storage_class
    if storage is not None:
        charged[STORAGE] = storage
    if of_class:
        shared = {f"{of_class}{_OF_CLASS}{name}": charged[name] for name in (CLAIMS, STORAGE) if name in charged}
        charged.update(shared)
    return charged


def _storage(claim: PersistentVolumeClaim) -> Quantity | None:
    """Return the bytes that are charged; None if the claim does not ask for storage, whatever its status says."""
    resources = claim.spec.resources
    requests = read_quantities(resources.requests, _REQUESTED) if resources is not None else None
    if not requests or "storage" not in requests:
        return None
    requested = _whole_bytes(requests["storage"])
    status = claim.status
    allocated = (read_list(bytes(status.allocated_resources), _ALLOCATED) if status is not None else None) or {}
    if "storage" in allocated and allocated["storage"].nanos > requested.nanos:
        return _whole_bytes(allocated["storage"])
    return requested


def _whole_bytes(amount: Quantity) -> Quantity:
    return Quantity(-(-amount.nanos // NANOS) * NANOS, amount.format)


def _source(claim: PersistentVolumeClaim, name: str) -> str:
    if name in (CLAIMS, _COUNT):
        return "one claim"
    suffix = f", of StorageClass {claim.storage_class}" if _OF_CLASS in name else ""
    return ("one claim" if name.endswith(CLAIMS) else f"{_REQUESTED}.storage") + suffix


PERSISTENT_VOLUME_CLAIMS = Kind(
    CLAIMS,
    "v1",
    "PersistentVolumeClaim",
    PersistentVolumeClaim,
    ClaimEvaluator(_COUNT),
    cap="perClaim",
    scopes=frozenset({scopes.VOLUME_CLASS}),
    never_denied=frozenset({controller("persistent-volume-binder")}),
    is_made_by_name=True,
)
