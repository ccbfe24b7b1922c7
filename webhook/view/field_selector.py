"""
Field selectors of Kubernetes: `status.owner=alice,status.resource=pods`. Only equality, each field once.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

_TERM = re.compile(r"([a-zA-Z.]+)==?((?:[^\\,=]|\\[\\,=])+)(?:,|\Z)")
"""A backslash stands before each comma, equals sign and backslash of a value: `fields.EscapeValue` of Kubernetes."""

_SPECIAL = re.compile(r"[\\,=]")
_ESCAPED = r"\\\g<0>"


class FieldSelectorError(ValueError):
    """The text selects by something else than the equality of known fields, or twice by one."""


def read_fields(text: str, known: Container[str]) -> dict[str, str]:
    """Return the values of the fields that *text* names; all have to be *known*. Raises: FieldSelectorError."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None or term[1] not in known or term[1] in fields:
            raise FieldSelectorError(at)
        fields[term[1]] = re.sub(r"\\(.)", r"\1", term[2])
        at = term.end()
    return fields


def write_fields(fields: Mapping[str, str]) -> str:
    """Return the field selector by *fields*, none of which is empty."""
    return ",".join(f"{name}={_SPECIAL.sub(_ESCAPED, value)}" for name, value in fields.items())
