"""
Who may say for whom they act, and where that is written: delegates, and the owner marks of namespaces.

Pure: `attribution.rules` says in which order they are asked.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

_ESCAPED = re.compile(r"-([0-9a-f]{2})", re.ASCII)
LONGEST = 253
"""Characters of a name that is read from a mark."""


class Place(enum.Enum):
    """Where a name is written, in the words of the policy."""

    ANNOTATION = "annotation"
    LABEL = "label"
    NAMESPACE_ANNOTATION = "namespaceAnnotation"
    NAMESPACE_LABEL = "namespaceLabel"
    NAMESPACE_NAME = "namespaceName"

    @property
    def is_of_namespace(self) -> bool:
        """Whether the namespace says it, not the object."""
        return self not in (Place.ANNOTATION, Place.LABEL)


class Decoding(enum.Enum):
    """
    How a name is read: `lower` in small letters, `escaped` with each byte of other characters as `-` and two
    hexadecimal digits, as JupyterHub writes it, `at` with `.at.` for `@`, as Argo Workflows writes it.
    """

    LOWER = "lower"
    ESCAPED = "escaped"
    AT = "at"


class Texts(NamedTuple):
    """What an object and its namespace carry."""

    namespace: str
    namespace_labels: Mapping[str, str]
    namespace_annotations: Mapping[str, str]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mark:
    """
    One place where the name of a payer may be written: under `key`, or in the name of the namespace.

    The `*` of `pattern` stands for the name, which is decoded and gets `prefix` before it, as logins of an identity
    provider have.
    """

    place: Place
    key: str = ""
    pattern: str = "*"
    decode: tuple[Decoding, ...] = ()
    prefix: str = ""

    def __str__(self) -> str:
        """Return it as in the audit log: `annotation hub.jupyter.org/username`."""
        return f"{self.place.value} {self.key or self.pattern}"

    def read(self, texts: Texts) -> str | None:
        """Return the name that is written there, None if none is. Takes time in proportion to its length."""
        match self.place:
            case Place.ANNOTATION:
                written = texts.annotations.get(self.key)
            case Place.LABEL:
                written = texts.labels.get(self.key)
            case Place.NAMESPACE_ANNOTATION:
                written = texts.namespace_annotations.get(self.key)
            case Place.NAMESPACE_LABEL:
                written = texts.namespace_labels.get(self.key)
            case Place.NAMESPACE_NAME:
                written = texts.namespace
        return name_in(written, self.pattern, self.decode, self.prefix) if written else None


def name_in(written: str, pattern: str, decode: Iterable[Decoding], prefix: str) -> str | None:
    """Return the name in *written*, as a `Mark` says; None if there is none. Takes time in proportion to the length."""
    before, _, after = pattern.partition("*")
    if len(written) > LONGEST or len(written) <= len(before) + len(after):
        return None
    if not (written.startswith(before) and written.endswith(after)):
        return None
    name = written[len(before) : len(written) - len(after)]
    for each in decode:
        name = _DECODERS[each](name)
    return prefix + name if name else None


@dataclass(frozen=True, slots=True)
class Delegate:
    """
    A user who may say for whom they act when they create objects of `kinds`, of any kind if there are none.

    The first of `marks` that says a name counts; where none does, and they `names_sessions`, what the preset of the
    object's kind finds. `never` are names that must not be said.
    """

    username: str
    marks: tuple[Mark, ...]
    kinds: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    names_sessions: bool = False

    def acts_on(self, resource: str) -> bool:
        """Whether it may say whom an object of *resource* is for."""
        return not self.kinds or resource in self.kinds

    def may_name(self, name: str) -> bool:
        """Whether *name* may be said: never a name of the system, such as that of a service account."""
        return is_person(name) and name not in self.never


class Named(NamedTuple):
    """A name, and the mark that said it."""

    name: str
    mark: Mark


def first_named(marks: Iterable[Mark], texts: Texts, *, skip: Callable[[str], bool] = lambda _: False) -> Named | None:
    """Return the first name that *marks* say, of those that are not to *skip*; None if they say none."""
    found = ((mark.read(texts), mark) for mark in marks)
    return next((Named(name, mark) for name, mark in found if name is not None and not skip(name)), None)


def is_person(name: str) -> bool:
    """Whether *name* can be that of a person: one line of printable characters that is no name of the system."""
    return bool(name) and name.isprintable() and not name.startswith("system:")


def _unescape(text: str) -> str:
    """Return what was escaped byte by byte; the text as it is if that is no text."""
    raw = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    try:
        return raw.encode("latin-1").decode()
    except UnicodeError:
        return text


_DECODERS: Mapping[Decoding, Callable[[str], str]] = {
    Decoding.LOWER: str.lower,
    Decoding.ESCAPED: _unescape,
    Decoding.AT: lambda text: text.replace(".at.", "@"),
}

PRESETS: Mapping[str, tuple[Mark, ...]] = {
    "jupyterhub": (Mark(Place.ANNOTATION, "hub.jupyter.org/username"),),
    "coder": (Mark(Place.LABEL, "com.coder.user.username"),),
    "che": (Mark(Place.NAMESPACE_ANNOTATION, "che.eclipse.org/username"),),
    "kubeflow": (Mark(Place.NAMESPACE_ANNOTATION, "owner"),),
    # The id of a user, which is also the name that Rancher's proxy gives to the API server.
    "rancher": (Mark(Place.NAMESPACE_ANNOTATION, "field.cattle.io/creatorId"),),
    # Where Che makes the project, the requester is its service account, which is skipped.
    "openshift": (
        Mark(Place.NAMESPACE_ANNOTATION, "che.eclipse.org/username"),
        Mark(Place.NAMESPACE_ANNOTATION, "openshift.io/requester"),
    ),
}
"""The marks of well-known platforms. Capsule has none: what it writes names a tenant, and that has several owners."""
