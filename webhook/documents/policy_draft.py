"""
The policy as it would be after an edit, and which of its mistakes the edit brings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from webhook.documents.mistake import Mistake
from webhook.documents.policy_config_map import PolicyConfigMap
from webhook.documents.policy_text import PolicyReading, read_in_steps
from webhook.quota.policy import Policy

T = TypeVar("T")

_LINE = re.compile(r":\d+")


class Complaint(NamedTuple):
    """One thing that is wrong, at `field` of a ConfigMap. `kind` is the same for the same mistake on another line."""

    config_map: str
    field: str
    kind: tuple[str, str, str]
    message: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What the ConfigMaps of a policy say together. `policy` is None if there is any complaint."""

    policy: Policy | None
    reading: PolicyReading
    complaints: tuple[Complaint, ...] = ()


def read_draft(maps: Sequence[PolicyConfigMap]) -> Generator[None, None, Draft]:
    """Yield after a millisecond of work or less, and return what *maps* say, by the reader of what is in force."""
    reading = yield from read_in_steps(text for each in maps for text in each.texts())
    faults = [fault for each in maps for fault in each.faults]
    complaints = [
        Complaint(each.config_map, "data", (each.config_map, "", each.message), each.message) for each in faults
    ]
    for each in reading.mistakes:
        config_map, _, key = each.source.partition("/")
        kind = (each.source, each.path, _LINE.sub("", each.message))
        complaints.append(Complaint(config_map, f"data[{key}]", kind, str(each)))
        yield
    return Draft(None if complaints else reading.policy, reading, tuple(complaints))


def brought(after: Iterable[Complaint], before: Iterable[Complaint]) -> tuple[Complaint, ...]:
    """Return what is wrong *after* an edit and was not *before*; a mistake that only moved to another line was."""
    return _new(after, before, lambda each: each.kind)


def brought_notes(after: Iterable[Mistake], before: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """Return the notes *after* an edit that there were not *before*, wherever they stood then."""
    return _new(after, before, lambda each: (each.source, each.path, _LINE.sub("", each.message)))


def _new(after: Iterable[T], before: Iterable[T], kind: Callable[[T], object]) -> tuple[T, ...]:
    known = Counter(map(kind, before))
    found = []
    for each in after:
        if known[kind(each)]:
            known[kind(each)] -= 1
        else:
            found.append(each)
    return tuple(found)
