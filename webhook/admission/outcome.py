"""
What the outcome of a review says to the client: the answer, its warnings, and the annotations of the audit log.

`quota.message` has the text of a denial for lack of room.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from webhook.admission import review
from webhook.admission.charge import Reviewed
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.attribution.answers import Attributed, Refused
from webhook.attribution.stamp import carries_stamp, has_stamp, read_stamp
from webhook.kinds.evaluator import Authored
from webhook.ports import Denial
from webhook.quota import message, resources
from webhook.quota.decision import Allowed, Decision, Denied, Excess
from webhook.quota.endings import EndingLimit
from webhook.quota.exemption import Exemption
from webhook.quota.limits import LimitsInForce
from webhook.quota.policy import Mode, Policy
from webhook.quota.reservation import Charge
from webhook.quota.resources import Amounts
from webhook.quota.subject import NOBODY

_MAX_AUDIT_VALUE = 1024
_MAX_SHOWN = 20
_MAX_DENIAL = 1024
"""Characters of a refusal that are kept to be told again: as many as an Event holds."""
_WITHOUT_A_CAUSE = "Forbidden"

_LONGEST_NAME = 253
"""Characters of a name that the API accepts. What an owner reference says may have a megabyte, and would be kept."""


class Terms(NamedTuple):
    """
    What a charge was decided on: the policy, the charge under it, the limits that bind it, and what exempts it.

    `ending` is a limit that ends soon, if whoever asks is to be told.
    """

    policy: Policy
    charge: Charge
    in_force: LimitsInForce
    exemption: Exemption | None
    ending: EndingLimit | None = None


def answer(
    request: AdmissionRequest,
    decision: Decision,
    attributed: Attributed,
    *,
    reviewed: Reviewed,
    terms: Terms,
) -> AdmissionResponse:
    """Return the response to a *decision* on *terms*; warnings of what is tolerated or ends go to whoever asked."""
    audit = audit_of(attributed, shown(terms.charge.compared), terms.exemption)
    match decision:
        case Denied(excesses, lacking, unmet):
            authored = _authored(request, reviewed)
            context = message.Context(
                attributed.payer.owner,
                attributed.found_by,
                _sources(terms, excesses),
                authored.units,
                _added(authored, terms),
                may_roll_out=attributed.above is not None and attributed.above.kind == "Deployment",
            )
            text = message.sentence(excesses, lacking, context, unmet=unmet)
            causes = message.causes(excesses, lacking, unmet)
            return review.denied(request.uid, text, causes=causes, audit=audit)
        case Allowed(_, tolerated, lacking, fullest, unmet):
            told = [(each.rule.mode, message.lack_warning(each)) for each in lacking]
            told += [(each.rule.mode, message.minimum_warning(each)) for each in unmet]
            told += [(each.rule.mode, message.warning(each)) for each in tolerated]
            warned = [text for mode, text in told if mode is Mode.WARN]
            if told:
                audit = {**audit, "tolerated": "; ".join(text for _, text in told)[:_MAX_AUDIT_VALUE]}
            warned += [message.filled_warning(fullest)] if fullest is not None else []
            warned += [message.ending_warning(terms.ending)] if terms.ending is not None else []
            return review.allowed(request.uid, warnings=[*warned, *_assumed_weights(terms)], audit=audit)


def payer_notes(reviewed: Reviewed, attributed: Attributed) -> Iterator[str]:
    """Yield what the person is told if an update does not do what it says, or more: it is about who pays."""
    if reviewed.old is None:
        return
    written, owner = reviewed.new.metadata, attributed.payer.owner
    is_put_right = carries_stamp(written) and not has_stamp(written, attributed.stamp, attributed.maker)
    if attributed.payer == NOBODY:
        if is_put_right:
            yield "the userquota.dev annotations were left as they are: nobody is known to own this object"
    elif has_stamp(reviewed.old.metadata, attributed.stamp, attributed.maker):
        if is_put_right:
            yield f"the userquota.dev annotations were left as they are: {owner} pays"
    elif owner == (read_stamp(reviewed.old.metadata) or NOBODY).owner:
        yield f"{owner} pays with the groups of today from now on"
    else:
        yield f"{owner} pays from now on ({attributed.found_by})"


def stamp_refused(request: AdmissionRequest, attributed: Attributed) -> AdmissionResponse:
    """
    Return the denial of an object that does not carry the stamp that it must: nobody but us may write it.

    A request that the mutating call stamps carries another one if the answer has changed since, e.g. because somebody
    took the Deployment above over in between. That is a conflict, which clients and controllers try again.
    """
    pays = f"{attributed.payer.owner} pays ({attributed.found_by})"
    if attributed.stamp is None:
        return review.denied(
            request.uid, "userquota.dev annotations cannot be added to an object that was never attributed"
        )
    if request.sub_resource:
        return review.denied(request.uid, f"the userquota.dev annotations say who pays and cannot be changed: {pays}")
    return review.conflict(
        request.uid,
        f"the request does not carry the userquota.dev annotations of who pays: {pays}. If that has just changed, try "
        f"again; otherwise the mutating webhook of userquota was not asked, or another one changes its annotations",
    )


def refusal(request: AdmissionRequest, refused: Refused) -> AdmissionResponse:
    """Return the denial of a request that attribution has refused."""
    return review.denied(request.uid, refused.message)


def denial_of(
    request: AdmissionRequest, reviewed: Reviewed, attributed: Attributed | Refused, response: AdmissionResponse
) -> Denial | None:
    """
    Return what is to be told to the controller on top of a new object that is denied; None if there is nothing to tell.

    The top is as far up as attribution has read, otherwise the controller of the object itself.
    """
    status = response.status
    if request.operation != "CREATE" or request.dry_run or status is None or status.code != 403:
        return None
    payer, above = ("", None) if isinstance(attributed, Refused) else (attributed.payer.owner, attributed.above)
    above = above or reviewed.new.metadata.controller
    if above is None or max(map(len, (above.api_version, above.kind, above.name, above.uid))) > _LONGEST_NAME:
        return None
    reason = status.details.causes[0].reason if status.details is not None else _WITHOUT_A_CAUSE
    return Denial(request.namespace, above, reason, status.message[:_MAX_DENIAL], payer[:_MAX_DENIAL])


def audit_of(attributed: Attributed, requested: str = "", exemption: Exemption | None = None) -> dict[str, str]:
    """Return the annotations for the audit log: who pays and why, what was requested, and what exempts it."""
    audit = {"owner": attributed.payer.owner[:_MAX_AUDIT_VALUE], "found-by": attributed.found_by[:_MAX_AUDIT_VALUE]}
    if attributed.left_out:
        audit["groups-not-stamped"] = str(attributed.left_out)
    if requested:
        audit["requested"] = requested[:_MAX_AUDIT_VALUE]
    if exemption is not None:
        audit["exempt"] = str(exemption)[:_MAX_AUDIT_VALUE]
    return audit


_show_amounts = lru_cache(maxsize=1024)(resources.show_list)
"""Cached: the pods of one workload cost the same, and formatting the amounts takes longer than deciding on them."""


def shown(amounts: Amounts) -> str:
    """Return amounts as text, at most 20 of them: an object may request tens of thousands of resources."""
    shown = _show_amounts(amounts[:_MAX_SHOWN])
    return shown if len(amounts) <= _MAX_SHOWN else f"{shown},..."


def _assumed_weights(terms: Terms) -> Iterable[str]:
    """Return a warning for each device of a new object that counts as a whole one because nobody has weighed it."""
    policy, charge, in_force = terms.policy, terms.charge, terms.in_force
    if charge.prior is not None or resources.LOGICAL.isdisjoint([name for name, _ in charge.compared]):
        return ()
    limited = {limit.resource for limit in (*in_force.sums, *in_force.caps)}
    assumed = (part for part in policy.devices.parts(charge.amounts) if part.weight.is_assumed)
    return [message.assumed_weight(part) for part in assumed if part.weight.resource in limited]


def _authored(request: AdmissionRequest, reviewed: Reviewed) -> Authored:
    """Return what the client has written of a new object. What an update changes of an older one is not known."""
    if reviewed.old is not None:
        return Authored()
    return reviewed.kind.evaluator.authored(reviewed.new, bytes(request.object))


def _added(authored: Authored, terms: Terms) -> message.Added:
    """Return what the containers ask for that others have added."""
    if not authored.others:
        return message.NOTHING_ADDED
    own = dict(terms.policy.devices.derive(authored.own))
    added = {name: amount - own.get(name, 0) for name, amount in terms.charge.compared}
    return message.Added(authored.others, added)


def _sources(terms: Terms, excesses: Iterable[Excess]) -> dict[str, str]:
    """Return where exceeded logical resources come from, of those for which an annotation asks."""
    weights, amounts = terms.policy.devices, terms.charge.amounts
    exceeded = {each.rule.resource for each in excesses} & resources.LOGICAL
    return {name: weights.reason(amounts, name) for name in exceeded if weights.is_annotated(amounts, name)}
