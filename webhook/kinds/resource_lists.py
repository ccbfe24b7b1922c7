"""
Quantities by resource name, as the API sends them in lists such as `requests` and `allocatedResources`.

The API server reads quantities more freely than a policy may write them; here they are read as it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from webhook.kinds.evaluator import UncountableError
from webhook.quota import quantity
from webhook.quota.quantity import Quantity, QuantityError
from webhook.quota.resources import ResourceList

_Read = TypeVar("_Read")
_UNIT = re.compile(r"[0-9]([KMGTPE]i|[mkMGTPE])\"?$", re.ASCII)
_LIST = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


def read_list(raw: bytes, path: str) -> ResourceList | None:
    """Return the list in *raw* at *path*; None if it is absent or null. Raises: UncountableError."""
    return read_quantities(decoded(_LIST, raw, path), path)


def decoded(decoder: msgspec.json.Decoder[_Read], raw: bytes, path: str) -> _Read | None:
    """Return *raw* at *path* as *decoder* reads it, None if it is absent. Raises: UncountableError."""
    try:
        return decoder.decode(raw) if raw else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        given = raw.decode(errors="replace")
        raise UncountableError(path, QuantityError(given, "expected quantities by resource name")) from error


def read_quantities(listed: Mapping[str, msgspec.Raw] | None, path: str) -> ResourceList | None:
    """Return the quantities of *listed* at *path*, None for None. Raises: UncountableError."""
    if listed is None:
        return None
    read = {}
    for name, token in listed.items():
        try:
            read[name] = read_quantity(bytes(token).decode(errors="replace"))
        except QuantityError as error:
            raise UncountableError(f"{path}.{name}", error) from error
    return read


def read_quantity(written: str) -> Quantity:
    """
    Return one JSON value, read as `Quantity.UnmarshalJSON` does: a string with spaces trimmed, a number, or null.

    Raises: QuantityError.
    """
    if written == "null":
        return quantity.ZERO
    if written[0] == '"':
        written = written[1:-1].strip()  # escapes stay as they are, and are refused
    elif written[0] not in "-0123456789":
        raise QuantityError(written, "expected a string or a number")
    read = quantity.parse(written)
    if read.nanos < 0:
        raise QuantityError(written, "it must not be negative")
    return read


def unit_of(written: bytes) -> str:
    """Return the suffix of a quantity as JSON, `Gi` for `"2Gi"`; empty if it has none that people would ask for."""
    found = _UNIT.search(written.decode(errors="replace"))
    return found[1] if found else ""
