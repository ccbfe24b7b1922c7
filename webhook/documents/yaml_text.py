"""
YAML text as trees with positions, read the way kubectl reads it, with every mistake found on the way.

Anchors, aliases and merge keys are refused: what a policy or an object says stands where it says it. The meaning of
unquoted words is in ``yaml_scalars``; what a policy may contain is not known here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterator
from typing import Final, Protocol, TypeAlias

import yaml

from webhook.documents.mistake import Lines, Mistake, Position
from webhook.documents.tree import MAX_DEPTH, Document, Node, Scalar
from webhook.documents.tree_builder import SectionField, TreeBuilder
from webhook.documents.yaml_scalars import Refused, key_of, resolve

_Loader: TypeAlias = "type[yaml.SafeLoader | yaml.CSafeLoader]"
# libyaml's is seven times as fast; a build of PyYAML without it is rare, and reads the same.
_LOADER: Final[_Loader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# A ConfigMap holds at most this many bytes (Kubernetes' MaxSecretSize).
DEFAULT_LIMIT: Final = 1024 * 1024

_EVENTS_PER_STEP: Final = 100
_BYTE_ORDER_MARK: Final = "\ufeff"
# What YAML calls printable, less the byte order mark: inside a text it is always an accident, and invisible.
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TAG: Final = "tag:yaml.org,2002:"
_MAPPING_TAGS: Final = (f"{_TAG}map", "!")
_SEQUENCE_TAGS: Final = (f"{_TAG}seq", "!")
_MERGE: Final = "<<"
# In quotes such a mark is text, which other programs fill in: Argo Workflows, for one.
_TEMPLATE: Final = re.compile(r"^[^#\n\"']*?(\{\{|\{%)", re.MULTILINE)

NOT_RENDERED: Final = "this is a template: render it first, as with helm template"


def read_documents(
    text: str, *, source: str, limit: int = DEFAULT_LIMIT
) -> tuple[tuple[Node, ...], tuple[Mistake, ...]]:
    """
    Return the documents of a YAML text in order, and every mistake in them; *source* is what mistakes call the text.

    A syntax error ends the reading, and the document with it is left out; other mistakes do not end it. With
    mistakes, the trees lack what could not be read: look for further mistakes in them, but do not act upon them. An
    empty document is a ``Scalar`` of value ``None``. Never raises, whatever the text.

    *limit* is in characters.
    """
    documents = tuple(read_stream(text, source=source, limit=limit))
    roots = tuple(document.root for document in documents if document.root is not None)
    return roots, tuple(mistake for document in documents for mistake in document.mistakes)


def read_stream(text: str, *, source: str, limit: int, loader: _Loader = _LOADER) -> Iterator[Document]:
    """Yield each document with its own mistakes. See ``read_documents``."""
    for step in read_in_steps(text, source=source, limit=limit, loader=loader):
        if isinstance(step, Document):
            yield step


def read_in_steps(
    text: str, *, source: str, limit: int, sections: Container[str] = (), loader: _Loader = _LOADER
) -> Iterator[tuple[SectionField, ...] | Document]:
    """
    Yield each document, and before it in small portions the fields of its *sections*, which it then lacks.

    A portion comes after every 100 events of the parser and may be empty, so that a caller who has other things to do
    can pause at each. If the document turns out to be broken, forget its fields. See ``read_documents``.
    """
    text = text.removeprefix(_BYTE_ORDER_MARK)
    unreadable = _unreadable(text, limit)
    if unreadable is not None:
        message, position = unreadable
        yield TreeBuilder(source).break_off(message, position)
        return
    builder = TreeBuilder(source, sections=sections)
    try:
        # Events and not nodes: composing nodes recurses in C, where too many brackets end the process.
        for count, event in enumerate(yaml.parse(text, Loader=loader), start=1):
            if isinstance(event, yaml.CollectionStartEvent) and builder.is_full:
                yield builder.break_off(f"nested deeper than {MAX_DEPTH} levels", _position(event.start_mark))
                return
            _take(event, builder)
            if builder.is_complete:
                yield builder.section_fields()
                yield builder.finish()
                builder = TreeBuilder(source, sections=sections)
            elif count % _EVENTS_PER_STEP == 0:
                yield builder.section_fields()
    except yaml.MarkedYAMLError as error:
        yield builder.break_off(*_syntax_error(error, text))
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # Only the loader without libyaml: numbers in directives and escapes that Python cannot convert.
        yield builder.break_off(f"this is no YAML: {' '.join(str(error).split())}", Position(1, 1))


def template_in(text: str) -> Position | None:
    """Return where a text that is no YAML has a mark of a template outside of comments; None if it has none."""
    found = _TEMPLATE.search(text)
    return None if found is None else Lines(text).position(found.start(1))


def _unreadable(text: str, limit: int) -> tuple[str, Position] | None:
    if len(text) > limit:
        return f"the text has {len(text)} characters, at most {limit} are read", Position(1, 1)
    found = _UNPRINTABLE.search(text)
    if found is None:
        return None
    name = "byte order mark" if found[0] == _BYTE_ORDER_MARK else "character"
    return f"the {name} U+{ord(found[0]):04X} is not allowed here", Lines(text).position(found.start())


def _take(event: yaml.Event, builder: TreeBuilder) -> None:
    match event:
        case yaml.ScalarEvent():
            _take_scalar(event, builder)
        case yaml.CollectionStartEvent():
            _open(event, builder)
        case yaml.CollectionEndEvent():
            builder.close()
        case yaml.AliasEvent():
            message = f"the alias *{event.anchor} is not accepted: write the value out"
            builder.drop(message, _position(event.start_mark))


def _open(event: yaml.CollectionStartEvent, builder: TreeBuilder) -> None:
    position = _position(event.start_mark)
    is_mapping = isinstance(event, yaml.MappingStartEvent)
    _refuse_anchor(event, builder)
    if event.tag is not None and event.tag not in (_MAPPING_TAGS if is_mapping else _SEQUENCE_TAGS):
        builder.add_mistake(f"the tag {event.tag.replace(_TAG, '!!')} is not accepted here", position)
    if is_mapping:
        builder.open_mapping(position)
    else:
        builder.open_sequence(position)


def _take_scalar(event: yaml.ScalarEvent, builder: TreeBuilder) -> None:
    position = _position(event.start_mark)
    text = event.value
    if event.anchor is not None:
        _refuse_anchor(event, builder)
    if event.style == '"' and _SURROGATE.search(text):
        builder.drop("half of a surrogate pair is no character", position)
        return
    value = resolve(text, tag=event.tag, is_plain=event.implicit[0])
    if builder.awaits_key:
        is_merge = event.tag == f"{_TAG}merge" or (text == _MERGE and event.implicit[0])
        key = Refused("the merge key << is not accepted: write the fields out") if is_merge else value
        name = key if isinstance(key, Refused) else key_of(key)
        if isinstance(name, Refused):
            builder.drop(name.reason, position)
        else:
            builder.add_key(name, text=text, position=position)
    elif isinstance(value, Refused):
        builder.drop(value.reason, position)
    elif isinstance(value, float) and not math.isfinite(value):
        builder.drop(f"{text} is no number that JSON knows", position)
    else:
        builder.add(Scalar(value, text, position))


def _refuse_anchor(event: yaml.NodeEvent, builder: TreeBuilder) -> None:
    if event.anchor is not None:
        message = f"the anchor &{event.anchor} is not accepted: write the value out where it is needed"
        builder.add_mistake(message, _position(event.start_mark))


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> tuple[str, Position]:
    lines = Lines(text)
    mark = error.problem_mark
    end = lines.position(len(text))
    # libyaml counts one line more than there is when it meets the end.
    position = end if mark is None else min(_position(mark), end)
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        return "a tab cannot stand here: indent with spaces", position
    message = " ".join(f"{error.problem or 'this is no YAML'} {error.context or ''}".split())
    if error.context_mark is not None and error.context_mark.line + 1 < position.line:
        message += f" from line {error.context_mark.line + 1} on"
    return message, position


class _Mark(Protocol):
    """A place as both loaders report it: counted from 0."""

    index: int
    line: int
    column: int


def _position(mark: _Mark | None) -> Position:
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
