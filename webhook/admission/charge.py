"""Builds the charge of a reviewed object. The evaluator of its kind computes the cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import structs

from webhook.admission.review import AdmissionRequest, ReviewError
from webhook.attribution.stamp import read_stamp
from webhook.kinds.evaluator import NO_DEFAULTS, AnyKind, Evaluator, PodDefaults, Size, UncountableError
from webhook.quota.expected import Expected
from webhook.quota.objects import ObjectKey, ObjectMeta
from webhook.quota.policy import Policy, subjects
from webhook.quota.reservation import CREATED, Charge, Pods, Prior
from webhook.quota.resources import Amounts
from webhook.quota.subject import NOBODY, Account, Payer

_LONGEST_NAMES = 16 * 1024
"""
Characters of the names that one reservation holds. The ledger has 1 MiB, and 40 of such requests would fill it; no real
object comes near.
"""


class Reviewed(NamedTuple):
    """
    The objects of one review, each decoded once. `old` is what `new` replaces, None for a create.

    `defaults` are what the pods of a session get when they are made.
    """

    kind: AnyKind
    new: Any
    old: Any | None
    defaults: PodDefaults = NO_DEFAULTS

    @property
    def old_metadata(self) -> ObjectMeta | None:
        """The metadata before an update, None for a create."""
        return None if self.old is None else self.old.metadata


def charge_for(
    request: AdmissionRequest, reviewed: Reviewed, *, payer: Payer, policy: Policy, now: datetime | None
) -> Charge:
    """
    Return the charge of *payer* for the object, counted at *now*; None counts it in full until it is gone.

    The presets of *policy* say of which session it is a pod.

    Raises: ReviewError if a field that the API server always sends is missing; UncountableError.
    """
    kind, new, old, defaults = reviewed
    evaluator: Evaluator[Any] = kind.evaluator
    meta = new.metadata
    if not meta.uid:
        raise ReviewError("request.object.metadata.uid is missing", request.uid)
    name = request.name or meta.name
    if not name:
        raise ReviewError("request.name is missing", request.uid)
    key = ObjectKey(kind.resource, request.namespace or meta.namespace, name)
    size = evaluator.size(new, defaults)
    if old is None:  # its deletion fields are ignored: it cannot have been deleted yet
        amounts, base, prior = evaluator.usage(new, now=None), CREATED, None
    else:
        amounts, base = evaluator.usage(new, now=now), request.version(old.metadata.resource_version)
        stamp = evaluator.payer(old) or read_stamp(old.metadata) or NOBODY
        cost, before = evaluator.former_cost(old, now=now, defaults=defaults)
        by_spec = evaluator.asked(old) if policy.judges_specs else None
        prior = Prior(stamp, frozenset(), cost, evaluator.scopes(old), _pods(before), by_spec)
    return Charge(
        key,
        meta.uid,
        base,
        payer,
        amounts,
        prior,
        kind.cap,
        scopes=evaluator.scopes(new),
        pods=_pods(size),
        expected=None if size is None else Expected(size.amounts, size.pod_labels),
        part_of=policy.sessions_of(evaluator.labels(new)),
        by_spec=None if old is None or not policy.judges_specs else evaluator.asked(new),
    )


def _pods(size: Size | None) -> Pods | None:
    if size is None:
        return None
    return Pods(size.amounts, size.amounts if size.is_running else (), size.times, size.is_partial)


def under(policy: Policy, charge: Charge, *, labels: Mapping[str, str]) -> Charge:
    """
    Return *charge* under *policy* in a namespace with *labels*.

    Groups and resources that bind nothing are removed from what is reserved: there can be thousands. The logical
    resources are derived with the policy's weights.
    """
    prior = charge.prior
    if prior is not None:
        account = Account(policy.named(prior.payer), prior.scopes)
        charged_before = frozenset(subjects(policy, account, charge.key.namespace, labels))
        prior = Prior(
            account.payer,
            charged_before,
            policy.devices.derive(prior.amounts),
            prior.scopes,
            _derived(policy, prior.pods),
            None if prior.by_spec is None else policy.devices.derive(prior.by_spec),
        )
    return Charge(
        charge.key,
        charge.uid,
        charge.base,
        policy.named(charge.payer),
        policy.held(charge.amounts),
        prior,
        charge.cap,
        policy.devices.derive(charge.amounts),
        charge.scopes,
        _derived(policy, charge.pods),
        None if charge.expected is None else Expected(policy.held(charge.expected.amounts), charge.expected.labels),
        charge.part_of,
        None if charge.by_spec is None else policy.devices.derive(charge.by_spec),
    )


def _derived(policy: Policy, pods: Pods | None) -> Pods | None:
    if pods is None:
        return None
    return structs.replace(pods, size=policy.devices.derive(pods.size), needed=policy.devices.derive(pods.needed))


def check_size(policy: Policy, charge: Charge) -> None:
    """Check that *charge* can be reserved. Raises: UncountableError for one with too many names to be held."""
    if _length(charge.amounts) > _LONGEST_NAMES and _length(policy.held(charge.amounts)) > _LONGEST_NAMES:
        message = f"it asks for {len(charge.amounts)} different resources, and their names are longer than can be held"
        raise UncountableError("spec", ValueError(message))


def _length(amounts: Amounts) -> int:
    return sum([len(name) for name, _ in amounts])
