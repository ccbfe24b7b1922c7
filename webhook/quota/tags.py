"""
Tags: those labels of charged objects that a policy names, for reports by them.

They are free text of the people who write the objects. Nothing is decided or charged by them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw, structs

Tags: TypeAlias = tuple[tuple[str, str], ...]
"""Keys and values, in the order of the policy; only the keys that the object has."""

MOST_TAGS = 8
"""Keys that a policy may name. A value has 63 characters at most, so that this bounds what is kept of an object."""


class Tagging:
    """Reads the tags of objects by the policy in force. Belongs to one event loop."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """Read the labels *keys*; none by default."""
        self.keys: tuple[str, ...] = ()
        self.generation = 0
        """A number that changes when other labels are read, so that all objects have to be read anew."""
        self._decoder: msgspec.json.Decoder[Any] = _decoder_of(())
        self.read_by(keys)

    def read_by(self, keys: Iterable[str]) -> bool:
        """Read the labels *keys* from now on; return whether these are others than before."""
        wanted = tuple(keys)
        if wanted == self.keys:
            return False
        self.keys = wanted
        self.generation += 1
        self._decoder = _decoder_of(wanted)
        return True

    def of(self, labels: Raw) -> Tags:
        """Return the tags among *labels*, a JSON map; none if it cannot be read, which no API server stores."""
        if not self.keys or not bytes(labels):
            return ()
        try:
            found = self._decoder.decode(labels)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ()
        if found is None:
            return ()
        values = zip(self.keys, structs.astuple(found), strict=True)
        return tuple([(key, value) for key, value in values if value is not None])


def _decoder_of(keys: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return a decoder of a map in which all but *keys* is skipped."""
    fields: list[tuple[str, Any, None]] = [(f"tag{number}", str | None, None) for number in range(len(keys))]
    names = {name: key for (name, _, _), key in zip(fields, keys, strict=True)}
    shape = msgspec.defstruct("Tagged", fields, rename=names, frozen=True, gc=False)
    return msgspec.json.Decoder(shape | None)
