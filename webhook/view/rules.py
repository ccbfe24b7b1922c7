"""
Which rule of the policy makes a number: for `userquota explain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

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


class Rules:
    """The rules of one policy."""

    def __init__(self, policy: Policy) -> None:
        """Read *policy*."""
        self._policy = policy
        self._entries: Mapping[str, Entry] = {each.path: each for each in policy.entries()}
        self._members = {each.per_member.path: each.per_member for each in policy.groups.values() if each.per_member}

    def of(self, limit: Limit, others: Iterable[Limit]) -> Rule:
        """
        Return the rule that makes *limit*; *others* bind the same subject.

        Of several limits on one resource the lowest counts, of several minima the highest, and each says whether it is
        that one.
        """
        path = limit.entry if limit.cap is None else limit.entry.removesuffix(f".{limit.cap}")
        entry = self._entries.get(path)
        joined = [] if entry else [each for key, each in self._members.items() if f"+{key}+" in f"+{path}+"]
        ends = [each.until for each in ([entry] if entry else joined) if each.until is not None]
        kind = self._combined(limit) if joined else self._kind(path, limit)
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

    def _kind(self, path: str, limit: Limit) -> str:
        first = path.replace("[", ".").partition(".")[0]
        base, _, _ = path.partition(".scoped[")
        match first:
            case "defaults":
                return "default"
            case "users" | "serviceAccounts":
                return "own entry" + self._replaced(first, limit)
            case "groups":
                return "cap for each member" if base.endswith(".perMember") else "pool shared by all members"
            case "tenants":
                return "for each namespace of the tenant" if base.endswith(".perNamespace") else "tenant"
            case "namespaces":
                return "namespace"
            case _:
                return "whole cluster"

    def _replaced(self, first: str, limit: Limit) -> str:
        defaults = self._policy.defaults
        default = defaults.user if first == "users" else defaults.service_account
        if default is None or ".scoped[" in limit.entry:
            return ""
        hards = default.hard if limit.cap is None else default.caps.get(limit.cap, {})
        if limit.resource not in hards or isinstance(hards[limit.resource], Unlimited):
            return ""
        return f", in the place of {default.path}"
