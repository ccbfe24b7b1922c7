"""
Which rule of the policy makes a number: for `userquota explain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from webhook.quota.limits import Limit
from webhook.quota.policy import Combine, Entry, Policy, Unlimited


@dataclass(frozen=True, slots=True)
class Rule:
    """
    The rule in words, and when what sets the number ends: None if it does not.

    An entry joined of several ends with the first of them, because the sum or the maximum is another one then.
    """

    text: str
    until: datetime | None = None


class _Part(NamedTuple):
    """An `entry` that sets limits, and the `whole` one that it is a part of, or itself."""

    whole: Entry
    entry: Entry


class Rules:
    """The rules of one policy."""

    def __init__(self, policy: Policy) -> None:
        """Read *policy*."""
        self._policy = policy
        self._parts: Mapping[str, _Part] = {
            each.path: _Part(whole, each)
            for whole in policy.whole_entries()
            for part in policy.parts_of(whole, None)
            for each in (part, *part.scoped, *part.windows)
        }
        members = {group.per_member.path for group in policy.groups.values() if group.per_member is not None}
        self._members = {path: part.entry for path, part in self._parts.items() if part.whole.path in members}

    def of(self, limit: Limit, others: Iterable[Limit]) -> Rule:
        """
        Return the rule that makes *limit*; *others* bind the same subject.

        Of several limits on one resource the lowest counts, of several minima the highest, and each says whether it is
        that one.
        """
        path = limit.entry if limit.cap is None else limit.entry.removesuffix(f".{limit.cap}")
        part = self._parts.get(path)
        joined = [] if part else [each for key, each in self._members.items() if f"+{key}+" in f"+{path}+"]
        ends = [each.until for each in ([part.entry] if part else joined) if each.until is not None]
        kind = self._kind(part, limit) if part else self._combined(limit)
        rivals = [each for each in others if (each.resource, each.cap) == (limit.resource, limit.cap)]
        if len(rivals) > 1:
            pick, word = (max, "highest") if limit.is_minimum else (min, "lowest")
            if limit.hard == pick(each.hard for each in rivals):
                kind += f"; the {word} of {len(rivals)}, the most restrictive binds"
            else:
                kind += f"; not the {word} of {len(rivals)}"
        return Rule(kind, min(ends, default=None))

    def _combined(self, limit: Limit) -> str:
        how = "sum" if self._policy.combine is Combine.SUM and limit.cap is None else "largest"
        what = "smallest" if limit.is_minimum else how
        return f"the {what} of the perMember caps of groups (combine: {self._policy.combine.value})"

    def _kind(self, part: _Part, limit: Limit) -> str:
        path, within = part.whole.path, self._within(part)
        first = path.replace("[", ".").partition(".")[0]
        match first:
            case "defaults" | "resources":
                return "default" + (" of the resource" if first == "resources" else within)
            case "users" | "serviceAccounts" | "rules":
                return ("by a rule" if first == "rules" else "own entry") + within + self._replaced(first, limit)
            case "groups":
                return ("cap for each member" if path.endswith(".perMember") else "pool shared by all members") + within
            case "tenants":
                return ("for each namespace of the tenant" if path.endswith(".perNamespace") else "tenant") + within
            case "namespaces":
                return "namespace" + within
            case _:
                return "whole cluster" + within

    def _within(self, part: _Part) -> str:
        """Return where the amount of an entry is from, if the entry itself does not have it."""
        if part.entry.window is not None:
            return f", in a window ({part.entry.window})"
        is_of_tier = part.entry.path.startswith(f"{part.whole.path} (")
        return f", by {self._policy.tiers[part.whole.tier].path}" if is_of_tier else ""

    def _replaced(self, first: str, limit: Limit) -> str:
        defaults = self._policy.defaults
        default = defaults.service_account if first == "serviceAccounts" else defaults.user
        if ".scoped[" in limit.entry:
            return ""
        last = () if first == "serviceAccounts" else self._policy.catalogue_defaults
        for part in (*(self._policy.parts_of(default, None) if default else ()), *last):
            hards = part.hard if limit.cap is None else part.caps.get(limit.cap, {})
            if limit.resource in hards and not isinstance(hards[limit.resource], Unlimited):
                return f", in the place of {part.path}"
        return ""
