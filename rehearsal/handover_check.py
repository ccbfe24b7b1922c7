"""
Judges hand-overs: all has moved or all is back, and what the command says of an object is so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from nemesis.records import Revision
from rehearsal.handing_over import HandedOver
from rehearsal.installing import owner_of


@dataclass(slots=True)
class Halves:
    """
    What was found in one hand-over: who pays in the end, by the number of objects, and what must not be.

    `made_meanwhile` were made for the heir by workloads that were the heir's for a while, and stay so: see
    docs/attribution.md.
    """

    owners: Counter[str] = field(default_factory=Counter)
    made_meanwhile: int = 0
    violations: list[str] = field(default_factory=list)


def first_owners(revisions: Iterable[Revision]) -> dict[str, str]:
    """Return who paid for each pod and claim when it was created, by its UID."""
    owners: dict[str, str] = {}
    for each in revisions:
        owners.setdefault(each.uid, each.owner)
    return owners


def judge_handover(done: HandedOver, first: dict[str, str]) -> Halves:
    """
    Return whether all has moved, or all is back where that did not fit; *first* are the owners of pods and claims at
    their creation.
    """
    case, found = done.case, Halves()
    is_back = case.is_room_taken and done.ended.code == 1
    owner = case.leaver if is_back else case.heir
    if done.ended.code != int(is_back) or done.ended.document is None:
        found.violations.append(f"{case.name}: exit code {done.ended.code}: {done.ended.trouble}")
    for each in done.left:
        meta, now = each["metadata"], owner_of(each)
        found.owners[now] += 1
        if now == owner:
            continue
        if is_back and now == case.heir == first.get(meta["uid"]):
            found.made_meanwhile += 1
        else:
            found.violations.append(f"{case.name}: {each['kind']} {meta['name']} is paid by {now}")
    owners = {each["metadata"]["uid"]: owner_of(each) for each in done.left}
    for each in done.items:
        said = _owner_said(each["state"], leaver=case.leaver, heir=case.heir)
        if said and owners.get(each["uid"], said) != said:
            found.violations.append(f"{case.name}: {each['name']} is said to be {each['state']}")
    return found


def _owner_said(state: str, *, leaver: str, heir: str) -> str:
    """Return who pays for an object by its state; empty where the state does not tell."""
    if state in ("moved", "stays"):
        return heir
    return leaver if state in ("handed back", "not moved") else ""
