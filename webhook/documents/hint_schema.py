"""
What people are told: a sentence and a link of the admins beside a refusal, and when they are warned before one.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, WithJsonSchema

from webhook.quota.policy import WarnAt

_LONGEST = 200
_LONGEST_LABEL = 60
_PERCENT = re.compile(r"([1-9][0-9]?|100)%", re.ASCII)
_WAIT = "exceeded quota"


def _sentence(text: str) -> str:
    if not text.strip():
        raise ValueError("it says nothing")
    _check_length(text)
    if not text.isprintable():
        raise ValueError("expected one line without control characters")
    if _WAIT in text.casefold():
        raise ValueError(f"programs take the words {_WAIT} as a reason to wait and ask again: use others")
    return text


def _label(text: str) -> str:
    if text != text.strip():
        raise ValueError("expected a text without spaces around it")
    if len(text) > _LONGEST_LABEL:
        raise ValueError(f"it has {len(text)} characters, at most {_LONGEST_LABEL} are told")
    return _sentence(text)


def _link(text: str) -> str:
    _check_length(text)
    try:
        parts = urlsplit(text)
        is_link = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_link = False
    if not (is_link and text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("expected a link that begins with https:// or http://")
    return text


def _check_length(text: str) -> None:
    if len(text) > _LONGEST:
        raise ValueError(f"it has {len(text)} characters, at most {_LONGEST} are told")


Sentence = Annotated[str, AfterValidator(_sentence)]
Label = Annotated[str, AfterValidator(_label)]
Link = Annotated[str, AfterValidator(_link)]


def hint_of(message: str | None, link: str | None) -> str:
    """Return both as one text, empty if there is neither."""
    return ", ".join(filter(None, (message, f"see {link}" if link else "")))


def read_warn_at(value: Any) -> WarnAt:
    """Return the share of a limit in percent, or never for `off`, which YAML takes for false without quotes."""
    if value is False or value == "off":
        return WarnAt()
    percent = _percent(value)
    if percent is None:
        raise ValueError("expected a share of a limit from 1% to 100%, as in 80%, or off")
    return WarnAt(percent)


def read_share(value: Any) -> Fraction:
    """Return a share in percent as a fraction of the whole."""
    percent = _percent(value)
    if percent is None:
        raise ValueError("expected a share from 1% to 100%, as in 80%")
    return Fraction(percent, 100)


def _percent(value: Any) -> int | None:
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else int(found[1])


SHARE = WithJsonSchema({"type": "string", "pattern": f"^{_PERCENT.pattern}$"})
"""What `read_share` takes, as JSON Schema."""


WARN_AT = WithJsonSchema({"anyOf": [{"const": False}, {"type": "string", "pattern": f"^({_PERCENT.pattern}|off)$"}]})
"""What `read_warn_at` takes, as JSON Schema."""
