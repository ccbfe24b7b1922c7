"""
What a workload makes: how many pods at a time, each with which claims, and whether a rolling update has to add one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from msgspec import Raw

from webhook.kinds.claims import CLAIMS, PersistentVolumeClaim
from webhook.kinds.evaluator import UncountableError
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.workloads import PodTemplate, Strategy, Workload, number_of
from webhook.quota.errors import UNREADABLE
from webhook.quota.objects import NOTHING, ObjectKey, Shape

_MOST_ORDINALS = 1000
"""Ordinals of a StatefulSet whose claims are looked up. Replicas may be billions; no cluster has so many claims."""

_DEFAULT_SHARE = "25%"
"""`maxSurge` and `maxUnavailable` of a Deployment that says nothing."""


class Claim(NamedTuple):
    """A claim that comes with each pod, and the name of the volume or template that it is made for."""

    of: str
    claim: PersistentVolumeClaim


class Made(NamedTuple):
    """
    What a workload makes: *number* pods at a time, and claims with each of them.

    *number* is None if the workload says none: one on each node for a DaemonSet, one at a time for a job.

    *ephemeral* claims belong to a pod; those of *templates* stay when the pods of a StatefulSet go, and are used again
    by the pod of the same ordinal, the first of which is *start*. *is_later*: a CronJob makes them at its times.
    *devices* names a ResourceClaimTemplate for each claim for devices that comes with a pod; it may name one twice.
    """

    number: int | None
    pod: Pod
    ephemeral: tuple[Claim, ...] = ()
    templates: tuple[Claim, ...] = ()
    start: int = 0
    is_later: bool = False
    devices: tuple[str, ...] = ()

    @property
    def claims(self) -> tuple[PersistentVolumeClaim, ...]:
        """Return the claims of one pod for storage."""
        return tuple(each.claim for each in (*self.ephemeral, *self.templates))

    def objects(self, namespace: str, workload: str, pods: Iterable[str]) -> Iterator[ObjectKey]:
        """Yield the keys of *pods* (names), of their ephemeral claims, and of the template claims of every ordinal."""
        for pod in pods:
            yield ObjectKey("pods", namespace, pod)
            yield from (ObjectKey(CLAIMS, namespace, f"{pod}-{each.of}") for each in self.ephemeral)
        for ordinal in range(self.start, self.start + min(self.number or 0, _MOST_ORDINALS)):
            for each in self.templates:
                yield ObjectKey(CLAIMS, namespace, f"{each.of}-{workload}-{ordinal}")


def made_by(workload: Workload) -> Made | None:
    """
    Return what *workload* makes now, or by its schedule; None if that is nothing, as while it is suspended.

    Raises: UncountableError for a volume, or a claim for devices, that cannot be read.
    """
    spec, is_later = workload.spec, False
    if spec.suspend:
        return None
    if spec.job_template is not None:
        spec, is_later = spec.job_template.spec, True
    if spec.template is None or spec.suspend:
        return None
    number = number_of(spec)
    if number is not None and number <= 0:
        return None
    templates = tuple(Claim(each.metadata.name, each) for each in spec.volume_claim_templates or ())
    start = spec.ordinals.start if spec.ordinals is not None else 0
    devices = tuple(_devices(spec.template))
    return Made(number, spec.template.pod, tuple(_ephemeral(spec.template)), templates, start, is_later, devices)


class _ClaimTemplate(Shape, frozen=True):
    volume_claim_template: PersistentVolumeClaim | None = None


_ephemeral_decoder = msgspec.json.Decoder(_ClaimTemplate | None)


def _ephemeral(template: PodTemplate) -> Iterator[Claim]:
    for position, volume in enumerate(template.spec.volumes or ()):
        if not bytes(volume.ephemeral):
            continue
        try:
            read = _ephemeral_decoder.decode(volume.ephemeral)
        except UNREADABLE as error:
            raise UncountableError(f"spec.template.spec.volumes[{position}].ephemeral", error) from error
        if read is not None and read.volume_claim_template is not None:
            yield Claim(volume.name, read.volume_claim_template)


class _PodClaim(Shape, frozen=True):
    """`PodResourceClaim`: a claim of the pod's own if it names a template, else one that pods share."""

    resource_claim_template_name: str | None = None


_pod_claim_decoder = msgspec.json.Decoder(_PodClaim | None)


def _devices(template: PodTemplate) -> Iterator[str]:
    for position, raw in enumerate(template.spec.resource_claims or ()):
        try:
            read = _pod_claim_decoder.decode(raw)
        except UNREADABLE as error:
            raise UncountableError(f"spec.template.spec.resourceClaims[{position}]", error) from error
        if read is not None and read.resource_claim_template_name:
            yield read.resource_claim_template_name


class _RolledOutSpec(Shape, frozen=True):
    template: Raw = NOTHING


class RolledOut(Shape, frozen=True):
    """A workload, decoded for its template as it is written: any change of that is judged as a rollout."""

    spec: _RolledOutSpec = _RolledOutSpec()

    @property
    def template(self) -> bytes:
        """Return the JSON of the template; the API server writes equal ones equally."""
        return bytes(self.spec.template)


def needs_surge(workload: Workload) -> bool:
    """
    Whether a rolling update of *workload* can remove no pod before it has added one.

    True for a Deployment with pods, not paused, whose maxUnavailable is 0 and maxSurge above 0, after rounding. A text
    that is no percentage counts as 0. A DaemonSet that surges is not recognised.
    Source: `ResolveFenceposts` of Kubernetes 1.37.2.
    """
    spec = workload.spec
    strategy = spec.strategy
    if strategy is None or strategy.type != "RollingUpdate" or spec.paused or not spec.replicas:
        return False
    surge, unavailable = _shares(strategy)
    is_stuck = _of(unavailable, spec.replicas, is_rounded_up=False) == 0
    return is_stuck and _of(surge, spec.replicas, is_rounded_up=True) > 0


def _shares(strategy: Strategy) -> tuple[int | str, int | str]:
    rolling = strategy.rolling_update
    surge = rolling.max_surge if rolling is not None else None
    unavailable = rolling.max_unavailable if rolling is not None else None
    return (
        _DEFAULT_SHARE if surge is None else surge,
        _DEFAULT_SHARE if unavailable is None else unavailable,
    )


def _of(share: int | str, replicas: int, *, is_rounded_up: bool) -> int:
    if isinstance(share, int):
        return share
    digits = share.removesuffix("%")
    if digits == share or not (digits.isascii() and digits.isdecimal() and len(digits) <= 9):
        return 0
    hundredths = int(digits) * replicas
    return -(-hundredths // 100) if is_rounded_up else hundredths // 100
