"""
What msgspec says of a value that has another type than its field, in words that name no types of Python.
"""

from __future__ import annotations

import re

import msgspec

_WORDS = {
    "object": "fields, each with a value",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "bytes": "text",
}
_TYPES = re.compile(r"Expected `([a-z| ]+)`, got `([a-z]+)`")


def misfit(error: msgspec.MsgspecError) -> tuple[str, str]:
    """Return the path of the field, empty for the whole value, and what is wrong with it."""
    message, _, place = str(error).partition(" - at `")
    path = place.removeprefix("key` in `").removesuffix("`").removeprefix("$").lstrip(".")
    types = _TYPES.fullmatch(message)
    if types is None:
        return path, message[:1].lower() + message[1:]
    expected = [_WORDS.get(each, each) for each in types[1].split(" | ") if each != "null"]
    return path, f"expected {' or '.join(expected) or 'nothing'}, got {_WORDS.get(types[2], types[2])}"


def misfit_text(error: Exception) -> str:
    """Return an error as one text; that of msgspec with its path in front."""
    if not isinstance(error, msgspec.MsgspecError):
        return str(error)
    path, message = misfit(error)
    return f"{path}: {message}" if path else message
