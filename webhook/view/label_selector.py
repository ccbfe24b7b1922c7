"""
Label selectors of Kubernetes: `team=ml,cost-center!=7,!app,zone in (a, b)`. Here they select by the tags of objects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from webhook.quota.tags import Tags

_KEY = r"[-A-Za-z0-9_./]{1,317}"
"""Of the letters of a qualified name, and as long: an error quotes it."""

_VALUE = re.compile(r"[-A-Za-z0-9_.]*", re.ASCII)
_TERM = re.compile(
    rf"\s*(?:!\s*(?P<absent>{_KEY})"
    rf"|(?P<key>{_KEY})(?:\s*(?P<sign>==?|!=)\s*(?P<value>{_VALUE.pattern})"
    r"|\s+(?P<word>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?P<more>,|\Z)"
)
_LONGEST = 2048
"""Characters: each condition is looked at for all tags that objects have."""


class LabelSelectorError(ValueError):
    """The text is no label selector."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: the tag `key` has one of `values`, None for any; `is_excluded`: it has not, or is absent."""

    key: str
    values: frozenset[str] | None
    is_excluded: bool = False


def read_terms(text: str) -> tuple[Term, ...]:
    """Return the conditions in *text*, all of which have to hold; none if it is empty. Raises: LabelSelectorError."""
    if len(text) > _LONGEST:
        raise LabelSelectorError(_LONGEST)
    terms: list[Term] = []
    at = 0
    is_over = not text.strip()
    while not is_over:
        found = _TERM.match(text, at)
        if found is None:
            raise LabelSelectorError(at)
        terms.append(_term(found))
        at, is_over = found.end(), not found["more"]
    return tuple(terms)


def _term(found: re.Match[str]) -> Term:
    if found["absent"]:
        return Term(found["absent"], None, is_excluded=True)
    if found["sign"]:
        return Term(found["key"], frozenset({found["value"]}), is_excluded=found["sign"] == "!=")
    if found["word"]:
        values = frozenset(each.strip() for each in found["values"].split(","))
        if not all(map(_VALUE.fullmatch, values)):
            raise LabelSelectorError(found.start("values"))
        return Term(found["key"], values, is_excluded=found["word"] == "notin")
    return Term(found["key"], None)


def selects(terms: tuple[Term, ...], tags: Tags) -> bool:
    """Whether all *terms* hold of an object with *tags*."""
    known = dict(tags)
    return all(_holds(each, known.get(each.key)) for each in terms)


def _holds(term: Term, value: str | None) -> bool:
    has_it = value is not None and (term.values is None or value in term.values)
    return has_it is not term.is_excluded
