"""
The text of a denial: ResourceQuota's wording first, then what a user needs to proceed. Text only, no decisions.

Programs read it, too: Argo Workflows, Tekton, Airflow and others ask again later if a 403 contains `exceeded quota`. So
these words stand in a denial if waiting can help, and nowhere else. docs/messages.md explains each form.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from webhook.quota.decision import Denied, Excess, Filled, Lack, OffShape, Unmet
from webhook.quota.devices import Part
from webhook.quota.durations import TIMES
from webhook.quota.endings import EndingLimit
from webhook.quota.expected import HOLD_SECONDS
from webhook.quota.fitting import Fitting, Room
from webhook.quota.limits import Limit
from webhook.quota.policy import Mode, Unlimited
from webhook.quota.quantity import Format
from webhook.quota.reservation import LONGEST_REQUEST, SLOP
from webhook.quota.resources import PODS, PODS_STORED, Amount, show_list
from webhook.quota.rounding import at_least, at_most
from webhook.quota.windows import written

_HELD = LONGEST_REQUEST + SLOP
_MOST_NAMED = 3
_NOTHING = "nothing"
_NO_SURGE = "a rolling update needs no further pod with maxSurge: 0 and maxUnavailable: 1"
_CAPPED = {
    "perPod": "pod",
    "perClaim": "claim",
    "perSession": "session",
    "minPerPod": "pod",
    "minPerSession": "session",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One exceeded limit in machine-readable form: an item of `status.details.causes` in the response."""

    reason: str
    message: str
    field: str


class Added(NamedTuple):
    """The containers that others have added to an object on the way to us, and what they ask for."""

    containers: tuple[str, ...]
    amounts: Mapping[str, Amount]


NOTHING_ADDED = Added((), {})


class Context(NamedTuple):
    """
    What a denial tells beside the limits: the payer and how it was found, and of the object what helps to change it.

    `sources` says where the amount of a resource comes from if that is hard to see in the object. `units` are the
    suffixes in which the client wrote its amounts, and `added` is what others have put into the object since.
    `may_roll_out`: a Deployment is above it, whose rolling update may make a pod before it takes one away.
    """

    owner: str
    found_by: str
    sources: Mapping[str, str] = {}
    units: Mapping[str, str] = {}
    added: Added = NOTHING_ADDED
    may_roll_out: bool = False


def sentence(
    excesses: Sequence[Excess], lacks: Sequence[Lack], context: Context, *, unmet: Sequence[Unmet] = ()
) -> str:
    """
    Return the whole denial in one line: every exceeded limit, what would fit, the payer and how it was found.

    Tools know the first clause from ResourceQuota: `exceeded quota: NAME, requested: ..., used: ..., limited: ...`, or
    `failed quota: NAME: must specify RESOURCE for: CONTAINER,...; RESOURCE for: ...`. What can never fit begins with
    `larger than quota`, what is too small with `below minimum`, and what does not go together with `off shape`.
    """
    clauses = [_lacking(entry, listed) for entry, listed in _by_entry(lacks)]
    clauses += map(_below, unmet)
    clauses += [clause for _, clause in _clauses(excesses, (*lacks, *unmet))]
    if excesses or not (lacks or unmet):
        clauses.append(f"would fit: {would_fit(excesses, context)}")
    if context.may_roll_out and any(each.rule.resource in (PODS, PODS_STORED) and each.rule.hard for each in excesses):
        clauses.append(_NO_SURGE)
    clauses += _told_of(context.added, excesses)
    if lacks:
        clauses.append(_declaring(lacks))
    clauses += [f"{name} comes from {source}" for name, source in sorted(context.sources.items())]
    broken: list[Excess | Lack | Unmet] = [*lacks, *unmet, *excesses]
    told = [*clauses, *_promised(excesses), *_freed_soon(excesses), *_meanings(broken), *_hints(broken)]
    return "; ".join([*told, f"charged to {context.owner} ({context.found_by})"])


def warning(excess: Excess) -> str:
    """Return the text on an exceeded but tolerated limit, for a Warning header (at most 120 characters are advised)."""
    rule = excess.rule
    return (
        f"over quota {rule.entry}: {rule.resource} requested {_up(rule, excess.requested)}, "
        f"free {_down(rule, excess.free)} of {_down(rule, rule.hard)}"
    )


def lack_warning(lack: Lack) -> str:
    """Return the text on a resource that is not declared, which is tolerated, for a Warning header."""
    return f"over quota {lack.rule.entry}: must specify {lack.rule.resource} for: {','.join(lack.containers)}"


def minimum_warning(shortfall: Unmet) -> str:
    """Return the text on a minimum that is tolerated, or a shape, for a Warning header."""
    if isinstance(shortfall, OffShape):
        asked, nearest = show_list(shortfall.asked), show_list(shortfall.nearest)
        return f"off shape {shortfall.rule.entry}: {asked} requested, in shape {nearest}"
    name, rule = shortfall.rule.resource, shortfall.rule
    least = f"minimum {_up(rule, rule.hard)} for one {_CAPPED[rule.cap or '']}"
    return f"below minimum {rule.entry}: {name} requested {_down(rule, shortfall.requested)}, {least}"


def filled_warning(filled: Filled) -> str:
    """Return the text on a limit that is nearly full, for a Warning header."""
    name, rule = filled.rule.resource, filled.rule
    percent = filled.taken * 100 // rule.hard
    return (
        f"nearly full: {rule.entry}: {name} {_up(rule, filled.taken)} of {_down(rule, rule.hard)} ({percent}%) "
        f"taken for {rule.subject}"
    )


def ending_warning(ending: EndingLimit) -> str:
    """Return the text on a limit that ends soon, and the lower one that follows, for a Warning header."""
    name, hard = ending.resource, ending.hard
    amount = hard.value if isinstance(hard, Unlimited) else at_most(name, hard, form=ending.form)
    after = at_most(name, ending.after, form=ending.form)
    return f"the limit {ending.entry} ({name} {amount}) ends on {ending.until:%Y-%m-%d}, {after} from then on"


def nobody_warning(kind: str) -> str:
    """Return the text on an object of *kind* that grows while nobody is known to own it, for a Warning header."""
    return f"nobody is known to own this {kind}, so no limit of a person binds it: userquota adopt gives it an owner"


def workload_sentence(fitting: Fitting, denied: Denied, *, noun: str, owner: str) -> str:
    """
    Return the refusal of a workload in one line, with the words of `sentence`; *noun* is what its copies are called.

    What is *denied* are all of them together, but what lacks and is too small is so of each.
    """
    excesses, lacks, unmet = denied.excesses, denied.lacks, denied.unmet
    clauses = [_lacking(entry, listed) for entry, listed in _by_entry(lacks)]
    clauses += map(_below, unmet)
    clauses += [clause for _, clause in _clauses(excesses, (*lacks, *unmet))]
    clauses.append(f"would fit: {_how_many(fitting, noun)}")
    if lacks:
        clauses.append(_declaring(lacks))
    broken: list[Excess | Lack | Unmet] = [*lacks, *unmet, *excesses]
    told = [*clauses, *_promised(excesses), *_freed_soon(excesses), *_meanings(broken), *_hints(broken)]
    return "; ".join([*told, f"charged to {owner}"])


def workload_warning(fitting: Fitting, excess: Excess, *, noun: str) -> str:
    """Return the text on a limit that not all copies of a workload fit under, for a Warning header."""
    name, rule = excess.rule.resource, excess.rule
    if rule.cap is not None:
        asked = f"{name} requested {_up(rule, excess.requested)}"
        return f"over quota {rule.entry}: no {noun} fit: {asked}, {_capped(rule)}"
    return f"{_how_many(fitting, noun)} fit now: {warning(excess)}"


def unfit_warnings(lacks: Iterable[Lack], unmet: Iterable[Unmet], *, noun: str) -> list[str]:
    """Return the texts on what keeps every copy of a workload from being made, for Warning headers."""
    told = [f"no {noun} fit: {lack_warning(each)}" for each in lacks]
    return told + [f"no {noun} fit: {minimum_warning(each)}" for each in unmet]


def surge_warning(excess: Excess) -> str:
    """Return the text on a rolling update that makes a pod before it takes one away, and has no room for it."""
    name, rule = excess.rule.resource, excess.rule
    if excess.never_fits:
        asked = f"{name} requested {_up(rule, excess.requested)}"
        return f"over quota {rule.entry}: the rolling update makes no pods: {asked}, {_capped(rule)}"
    needed = (
        f"the rolling update needs 1 more pod than is free: {rule.entry}: {name} free {_down(rule, excess.free)} of "
        f"{_down(rule, rule.hard)}"
    )
    # Above a limit that was lowered the pod that goes first makes no room for the next one.
    is_over = excess.used + excess.reserved > rule.hard
    return needed if is_over else f"{needed}; maxSurge: 0 with maxUnavailable: 1 would do"


def _capped(rule: Limit) -> str:
    whom = rule.subject if rule.cap is None else f"one {_CAPPED[rule.cap]}"
    return f"limited {_down(rule, rule.hard)} for {whom}"


def _how_many(fitting: Fitting, noun: str) -> str:
    return f"{fitting.fits} of {fitting.number} {noun}"


def assumed_weight(part: Part) -> str:
    """Return the warning that a device counts as a whole one because no weight is set for its name."""
    name, resource = part.name.removeprefix("requests."), part.weight.resource
    return f"{name} counts as one whole {resource} each: the policy sets no weight for it (resources.{resource})"


def causes(excesses: Iterable[Excess], lacks: Iterable[Lack] = (), unmet: Iterable[Unmet] = ()) -> tuple[Cause, ...]:
    """
    Return what is exceeded, not declared, below a minimum or off a shape, each limit in machine-readable form.

    Waiting helps if the reason of every cause is `QuotaExceeded`.
    """
    lacking, short = tuple(lacks), tuple(unmet)
    return (
        *(Cause("FieldValueRequired", _lacking(each.rule.entry, [each]), each.rule.resource) for each in lacking),
        *(Cause(_reason(each), _below(each), each.rule.resource) for each in short),
        *(
            Cause("NeverFits" if each.never_fits else "QuotaExceeded", clause, each.rule.resource)
            for each, clause in _clauses(excesses, (*lacking, *short))
        ),
    )


def would_fit(excesses: Iterable[Excess], context: Context) -> str:
    """
    Return the most that the client could request of each exceeded resource, or that nothing fits.

    Of an object that exists that is what it may have in all, beside what it has now. If no place is left for it and it
    is too large as well, both are told: it would be refused again once there is a place.
    """
    listed = tuple(excesses)
    full = [each for each in listed if counts_objects(each.rule.resource) and each.fits == 0]
    if full:
        most = _most_of_client(((each, max(each.rule.hard, each.fits)) for each in listed if each.never_fits), context)
        nothing = _nothing_fits(full)
        return f"{nothing}, and never more than {most}" if most and nothing != _NOTHING else nothing
    told = _most_of_client(((each, each.fits) for each in listed), context)
    had: dict[str, Amount] = {}
    for excess in listed:
        if excess.had:
            had[excess.rule.resource] = max(had.get(excess.rule.resource, 0), excess.had)
    return f"{told} in all (now {_listed(had, _forms(listed))})" if had else told


def _most_of_client(bounds: Iterable[tuple[Excess, Amount]], context: Context) -> str:
    """Return the least bound on each resource, without what others have added, in the units of the client."""
    fits: dict[str, Amount] = {}
    forms: dict[str, Format | None] = {}
    for excess, bound in bounds:
        name = excess.rule.resource
        fits[name] = min(fits.get(name, bound), bound)
        forms[name] = excess.rule.form
    of_client = {name: max(amount - context.added.amounts.get(name, 0), 0) for name, amount in fits.items()}
    return ",".join(
        f"{name}={at_most(name, of_client[name], context.units.get(name, ''), forms[name])}" for name in sorted(fits)
    )


def largest(rooms: Iterable[Room], noun: str | None) -> str:
    """
    Return the most that an object could ask for under all limits, or how many copies fit that are called *noun*.

    Limits that do not refuse do not count. Empty if none is left.
    """
    binding = [each for each in rooms if each.limit.mode is Mode.ENFORCE]
    if noun is not None:
        bounds = [each.copies for each in binding if each.copies is not None]
        return f"{min(bounds)} {noun}" if bounds else ""
    if any(counts_objects(each.limit.resource) and each.most < each.each for each in binding):
        return "nothing"
    fits: dict[str, Amount] = {}
    forms: dict[str, Format | None] = {}
    for each in binding:
        name = each.limit.resource
        if not counts_objects(name):
            fits[name] = min(fits.get(name, each.most), each.most)
            forms[name] = each.limit.form
    return ",".join(f"{name}={at_most(name, amount, form=forms[name])}" for name, amount in sorted(fits.items()))


def _told_of(added: Added, excesses: Iterable[Excess]) -> Iterator[str]:
    """Yield what others have added of what is exceeded: the client has not asked for it, and cannot leave it out."""
    forms = _forms(excesses)
    amounts = {name: amount for name, amount in added.amounts.items() if name in forms and amount > 0}
    if amounts:
        names = ",".join(added.containers[:_MOST_NAMED]) + (",..." if len(added.containers) > _MOST_NAMED else "")
        yield f"{names}, added to what was sent, asks for {_listed(amounts, forms)} more"


def _nothing_fits(full: Sequence[Excess]) -> str:
    """Return what has to happen before an object fits under all limits on the number of objects that are *full*."""
    if any(not each.rule.hard for each in full):
        return _NOTHING
    taken = [each for each in full if each.used + each.requested > each.rule.hard]
    if not taken:
        return "nothing now"  # all of it is only reserved
    # A pod that is deleted makes room under every limit, one that ends does not.
    return f"nothing until {_end(next((each for each in taken if each.rule.resource == PODS_STORED), taken[0]))}"


def counts_objects(name: str) -> bool:
    """Whether one object costs one of *name*, so that a smaller object would be refused as well."""
    return name in (PODS, "sessions") or name.startswith("count/") or name.endswith("persistentvolumeclaims")


def _end(excess: Excess) -> str:
    """Return what has to happen before another object fits."""
    name = excess.rule.resource
    if name == PODS:
        return "a pod ends"
    if name == "sessions":
        return "a session ends"
    if name == PODS_STORED and excess.ended:
        number, used = at_most(name, excess.ended), at_least(name, excess.used)
        return f"a pod is deleted: delete finished pods ({number} of {used} no longer run)"
    if name == PODS_STORED:
        return "a pod is deleted (those that have ended count, too)"
    if name.endswith("persistentvolumeclaims"):
        return "a claim is deleted"
    return f"one of the {name.removeprefix('count/')} is deleted"


_OF_NODES = ("promised", "on demand", "committed")
"""What of a pool of nodes is set aside, is left for others, and is the part of who asks."""


def _promised(excesses: Iterable[Excess]) -> Iterator[str]:
    """Yield what of each pool of nodes is not free because it was promised, and what was promised to who asks."""
    for excess in excesses:
        rule, name, each = excess.rule, excess.rule.resource, excess.on_demand
        if each is None:
            continue
        set_aside, shared, own = ("guaranteed", "shared", "guaranteed") if each.is_envelope else _OF_NODES
        aside = name if each.is_limit else f"{name}={_up(rule, each.set_aside)} {set_aside} and not used,"
        told = f"{rule.entry}: {aside} {shared} {_up(rule, each.used)} of {_down(rule, each.total)} taken"
        if each.committed:
            told += f", {own} {_up(rule, each.in_use)} of {_down(rule, each.committed)} in use"
        if each.ends is not None:
            told += f", the first promise to others ends {written(each.ends)}"
        yield told


def _freed_soon(excesses: Sequence[Excess]) -> Iterator[str]:
    """Yield a note on amounts that fail only because of what is reserved: a retry may succeed before any pod ends."""
    under_way: dict[str, Amount] = {}
    for_pods: dict[str, Amount] = {}
    kept: dict[str, Amount] = {}
    for excess in excesses:
        name = excess.rule.resource
        if not excess.never_fits and excess.used + excess.requested <= excess.rule.hard:
            under_way[name] = max(under_way.get(name, 0), excess.reserved - excess.held_for_pods - excess.kept_for_pods)
            for_pods[name] = max(for_pods.get(name, 0), excess.held_for_pods)
            kept[name] = max(kept.get(name, 0), excess.kept_for_pods)
    forms = _forms(excesses)
    if listed := _listed(under_way, forms):
        yield f"{listed} reserved for requests under way, free again in about {_HELD:g} s if they fail"
    if listed := _listed(for_pods, forms):
        yield f"{listed} held for pods of sessions, free again in about {HOLD_SECONDS:g} s if they do not come"
    if listed := _listed(kept, forms):
        yield f"{listed} set aside for what autoscalers and sessions may add"


def _forms(excesses: Iterable[Excess]) -> dict[str, Format | None]:
    return {each.rule.resource: each.rule.form for each in excesses}


def _listed(amounts: Mapping[str, Amount], forms: Mapping[str, Format | None]) -> str:
    """Return what is above 0, rounded up, in ResourceQuota's form."""
    above = sorted((name, amount) for name, amount in amounts.items() if amount > 0)
    return ",".join(f"{name}={at_least(name, amount, forms[name])}" for name, amount in above)


def _up(rule: Limit, amount: Amount) -> str:
    return at_least(rule.resource, amount, rule.form)


def _down(rule: Limit, amount: Amount) -> str:
    return at_most(rule.resource, amount, form=rule.form)


def _meanings(broken: Iterable[Excess | Lack | Unmet]) -> list[str]:
    """Return what the policy says of the resources of these limits, of each once: the sentence that says most."""
    said: dict[str, str] = {}
    for each in broken:
        name, meaning = each.rule.resource, _meaning(each.rule)
        if len(meaning) > len(said.get(name, "")):
            said[name] = meaning
    return list(said.values())[:_MOST_NAMED]


def _meaning(rule: Limit) -> str:
    """Return what the resource of a limit is, and that it has to be granted; empty if the policy says neither."""
    about, name = rule.about, rule.resource
    if about is None:
        return ""
    called = (about.display_name or about.description).rstrip(".")
    counted = "" if about.unit.casefold() in f"{called} {name}".casefold() else about.unit
    has_to_be_granted = rule.entry == about.entry and not rule.hard
    if not called:
        said = f"{name} is counted in {counted}" if counted else ""
        granted = f"{said} and has to be granted" if said else f"{name} has to be granted"
    else:
        said = f"{name} means {called}" + (f", counted in {counted}" if counted else "")
        granted = f"{said}, and has to be granted"
    return granted if has_to_be_granted else said


def _hints(broken: Iterable[Excess | Lack | Unmet]) -> list[str]:
    """Return what the admins say to whoever exceeds these limits, each sentence once."""
    return list(dict.fromkeys(each.rule.hint for each in broken if each.rule.hint))[:_MOST_NAMED]


def _by_entry(lacks: Iterable[Lack]) -> list[tuple[str, list[Lack]]]:
    listed: dict[str, list[Lack]] = {}
    for each in lacks:
        listed.setdefault(each.rule.entry, []).append(each)
    return list(listed.items())


def _lacking(entry: str, lacks: list[Lack]) -> str:
    """Return the clause in ResourceQuota's words, which names resources and containers in the order of the alphabet."""
    ordered = sorted(lacks, key=lambda each: each.rule.resource)
    lacking = "; ".join(f"{each.rule.resource} for: {','.join(each.containers)}" for each in ordered)
    limited = ",".join(f"{each.rule.resource}={_down(each.rule, each.rule.hard)}" for each in ordered)
    return f"failed quota: {entry}: must specify {lacking}; limited: {limited}"


def _declaring(lacks: Iterable[Lack]) -> str:
    """Return what to do about a lack. No amount fits under a limit of 0."""
    names = {each.rule.resource for each in lacks}
    if names <= TIMES:
        return f"without {' and '.join(sorted(names))} a default of the platform would hold, which is not known"
    forbidden = sorted({each.rule.resource for each in lacks if each.rule.hard == 0})
    if forbidden:
        return f"no pod may use {','.join(forbidden)}"
    return "each of these containers has to declare an amount above 0"


def _reason(shortfall: Unmet) -> str:
    return "OffShape" if isinstance(shortfall, OffShape) else "BelowMinimum"


def _below(shortfall: Unmet) -> str:
    if isinstance(shortfall, OffShape):
        asked, nearest = show_list(shortfall.asked), show_list(shortfall.nearest)
        return f"off shape: {shortfall.rule.entry}, requested: {asked}, unit: {shortfall.shape}, in shape: {nearest}"
    rule, name = shortfall.rule, shortfall.rule.resource
    asked, least = _down(rule, shortfall.requested), _up(rule, rule.hard)
    kind = _CAPPED[rule.cap or ""]
    return f"below minimum: {rule.entry}, requested: {name}={asked}, minimum: {name}={least} for one {kind}"


def _clauses(excesses: Iterable[Excess], others: Collection[Lack | Unmet] = ()) -> Iterator[tuple[Excess, str]]:
    """
    Yield each excess with its clause, those that never fit first.

    Where any of them, or one of the *others*, is there, waiting is of no use: no clause has the words for it then.
    """
    ordered = sorted(excesses, key=lambda each: not each.never_fits)
    waiting = "also over quota" if others or any(each.never_fits for each in ordered) else "exceeded quota"
    for each in ordered:
        yield each, _clause(each, "larger than quota" if each.never_fits else waiting)


def _clause(excess: Excess, words: str) -> str:
    rule, name = excess.rule, excess.rule.resource
    asked = f"{words}: {rule.entry}, requested: {name}={_up(rule, excess.requested)}"
    limited = f"limited: {name}={_down(rule, rule.hard)}"
    if rule.cap is not None:
        return f"{asked}, {limited} for one {_CAPPED[rule.cap]}"
    used, reserved = _up(rule, excess.used), _up(rule, excess.reserved)
    free = f"free: {name}={_down(rule, excess.free)} for {rule.subject}"
    return f"{asked}, used: {name}={used}, {limited}, reserved: {name}={reserved}, {free}"
