"""
What the objects of manifests would cost with all that is made for them, where no API server is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from webhook.documents.manifest_notes import misspelt_kind, notes_on
from webhook.documents.object_text import RawObject
from webhook.kinds.as_stored import as_stored
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.evaluator import AnyKind, CostLine, UncountableError
from webhook.kinds.misfits import misfit_text
from webhook.kinds.pods import PODS
from webhook.kinds.registry import Registry
from webhook.kinds.workload_copies import Claim, Made, made_by
from webhook.kinds.workloads import PodTemplate, Workload, WorkloadSpec
from webhook.quota import resources
from webhook.quota.errors import WebhookError
from webhook.quota.objects import AnyObject
from webhook.quota.policy import Policy
from webhook.quota.presets import PER_SESSION
from webhook.quota.quantity import Quantity
from webhook.quota.resources import Amount
from webhook.wiring.file_kinds import kind_in_file, kinds_under


class ManifestError(WebhookError):
    """An object whose cost nobody can tell. The message does not name its place."""


class Line(NamedTuple):
    """One resource of a cost, and where it comes from. `quantity` has the format that was written, if there is one."""

    resource: str
    amount: Amount
    quantity: Quantity | None
    source: str

    @property
    def shown(self) -> str:
        """Return the amount as text."""
        return resources.show(self.resource, self.amount) if self.quantity is None else str(self.quantity)


@dataclass(frozen=True, slots=True)
class ObjectCost:
    """
    What an object costs with all that is made for it. If that is nothing, `nothing` says why.

    `uncounted` are the resources that it asks for and that nothing counts, `notes` tell what is surely misspelt in it,
    or that nobody knows its kind.
    """

    read: RawObject
    lines: tuple[Line, ...] = ()
    uncounted: tuple[str, ...] = ()
    nothing: str = ""
    notes: tuple[str, ...] = ()


def costs_of(objects: Sequence[RawObject], policy: Policy) -> tuple[list[ObjectCost], list[str]]:
    """
    Return what each of *objects* costs, counted as *policy* counts, and what is wrong with the others, with its place.

    An object that another of them makes, by its owner reference, is counted with that one.
    """
    kinds = kinds_under(policy)
    costs, mistakes = [], []
    made = {}
    for each in objects:
        try:
            meta = msgspec.json.decode(each.body, type=AnyObject).metadata
            if meta.uid and _makes(kind_in_file(each, kinds, policy)):
                made[meta.uid] = f"{each.kind} {each.name}"
        except msgspec.MsgspecError:
            continue  # it is told below
    for each in objects:
        try:
            cost = _cost(each, kinds, policy, made)
            costs.append(replace(cost, notes=notes_on(each, kind_in_file(each, kinds, policy))))
        except (ManifestError, UncountableError, msgspec.MsgspecError) as error:
            mistakes.append(f"{each.title}: {misfit_text(error)}")
    return costs, mistakes


def total(costs: Iterable[ObjectCost]) -> tuple[Line, ...]:
    """Return the sums by resource, sorted; each with the different sources of its parts."""
    return _added(line for each in costs for line in each.lines)


def _makes(kind: AnyKind | None) -> bool:
    return kind is not None and (kind.demand is not None or kind.cap == PER_SESSION)


def _cost(each: RawObject, kinds: Registry, policy: Policy, made: Mapping[str, str]) -> ObjectCost:
    """Raises: ManifestError, UncountableError, MsgspecError."""
    kind = kind_in_file(each, kinds, policy)
    if kind is None:
        if why := misspelt_kind(each, kinds):
            raise ManifestError(why)
        return ObjectCost(each, nothing="no kind that is counted, unless a policy limits its number")
    decoded = msgspec.json.decode(each.body, type=kind.shape)
    above = decoded.metadata.controller
    if above is not None and above.uid in made:
        return ObjectCost(each, nothing=f"counted with {made[above.uid]}, which makes it")
    lines = list(_lines(kind.evaluator.explain(decoded), policy))
    uncounted, nothing = kind.evaluator.uncounted(decoded), "it asks for nothing"
    if kind.demand is not None:
        workload = _workload(kind, each.body)
        copies = made_by(workload)
        if copies is None:
            nothing = _why_nothing(workload)
        else:
            lines += _made_lines(copies, policy)
            uncounted |= PODS.evaluator.uncounted(copies.pod)
    elif kind.resource == PODS.resource:
        template = msgspec.json.decode(each.body, type=PodTemplate)
        copies = made_by(Workload(spec=WorkloadSpec(replicas=1, template=template)))
        lines += _claim_lines(copies.ephemeral if copies is not None else (), 1, policy)
    elif kind.cap == PER_SESSION:
        lines += _session_lines(kind, decoded, policy)
    added = _added(lines)
    return ObjectCost(each, added, tuple(sorted(uncounted)), "" if added else nothing)


def _workload(kind: AnyKind, body: bytes) -> Workload:
    """Return a workload with the numbers that the API server fills in; all others keep their digits."""
    workload = msgspec.json.decode(body, type=Workload)
    spec = as_stored(kind, msgspec.json.decode(body)).get("spec") or {}
    numbers = {name: spec[name] for name in ("replicas", "parallelism", "completions") if name in spec}
    return Workload(workload.metadata, msgspec.structs.replace(workload.spec, **numbers))


def _lines(explained: Mapping[str, CostLine], policy: Policy, *, times: int = 1, of: str = "") -> Iterator[Line]:
    """Yield what *times* of something cost, with the logical resources; *of* says how many of what."""
    raw = resources.amounts({name: line.quantity for name, line in explained.items()})
    for name, amount in policy.devices.derive(raw):
        written = explained.get(name)
        source = written.source if written is not None else policy.devices.reason(raw, name)
        one = written.quantity if written is not None else None
        quantity = Quantity(one.nanos * times, one.format) if one is not None else None
        yield Line(name, amount * times, quantity, of + source)


def _made_lines(copies: Made, policy: Policy) -> Iterator[Line]:
    """Yield what the pods of a workload cost, and their claims. Raises: UncountableError."""
    number = 1 if copies.number is None else copies.number
    template = "spec.jobTemplate.spec.template" if copies.is_later else "spec.template"
    is_per_node = copies.number is None and not copies.is_later  # a job that says no number has one pod at a time
    pods = "a pod on each node" if is_per_node else "1 pod" if number == 1 else f"{number} pods"
    try:
        explained = PODS.evaluator.explain(copies.pod)
    except UncountableError as error:
        raise UncountableError(f"{template}.{error.path}", error.cause) from error
    when = " whenever it runs" if copies.is_later else ""
    yield from _lines(explained, policy, times=number, of=f"{pods}{when}: ")
    yield from _claim_lines((*copies.ephemeral, *copies.templates), number, policy)


def _claim_lines(claims: Iterable[Claim], number: int, policy: Policy) -> Iterator[Line]:
    for each in claims:
        of = f"{number} claim{'s' if number != 1 else ''} {each.of}: "
        try:
            explained = PERSISTENT_VOLUME_CLAIMS.evaluator.explain(each.claim)
        except UncountableError as error:
            raise UncountableError(f"the claim {each.of}: {error.path}", error.cause) from error
        yield from _lines(explained, policy, times=number, of=of)


def _session_lines(kind: AnyKind, decoded: Any, policy: Policy) -> Iterator[Line]:
    size = kind.evaluator.size(decoded)
    if size is None or not size.is_running:
        return
    for name, amount in policy.devices.derive(size.amounts):
        reason = policy.devices.reason(size.amounts, name)
        yield Line(name, amount, None, f"its pods: {reason}" if reason else "its pods")


def _why_nothing(workload: Workload) -> str:
    spec = workload.spec
    if spec.suspend or (spec.job_template is not None and spec.job_template.spec.suspend):
        return "it is suspended"
    if spec.job_template is None and spec.template is None:
        return "it has no template of pods"
    return "it makes no pod: 0 replicas"


def _added(lines: Iterable[Line]) -> tuple[Line, ...]:
    added: dict[str, Line] = {}
    sources: dict[str, dict[str, None]] = {}
    for each in lines:
        sources.setdefault(each.resource, {})[each.source] = None
        if each.resource in added:
            before = added[each.resource]
            both = before.quantity + each.quantity if before.quantity and each.quantity else None
            added[each.resource] = Line(each.resource, before.amount + each.amount, both, "")
        else:
            added[each.resource] = each
    return tuple(added[name]._replace(source="; ".join(sources[name])) for name in sorted(added))
