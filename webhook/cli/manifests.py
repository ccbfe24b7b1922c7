"""
Manifests in files and folders, as kubectl and kustomize print them, with what is wrong in them and what is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from webhook.cli.errors import tell
from webhook.cli.inputs import (
    MANIFEST_SUFFIXES,
    MOST_TEXT,
    NO_OBJECT,
    STANDARD_INPUT,
    Input,
    InputError,
    input_names,
    is_empty,
    read_input,
)
from webhook.documents.mistake import Mistake
from webhook.documents.object_text import RawObject, read_objects

_KUSTOMIZE = "kustomize.config.k8s.io/"
_OPENING = "{{"
NOTHING_LEFT = "no object that can be read in what was given"
"""What is said where a command has nothing to do."""

_WITHOUT_KIND = ("kind", "missing")
_WITHOUT_VERSION = ("apiVersion", "missing")
_NOT_RENDERED = "a template that is not rendered? give what helm template or kustomize build prints"


@dataclass(slots=True)
class Manifests:
    """The objects that were read, a line for every mistake, and one for each file of a folder that is no manifest."""

    objects: list[RawObject] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def given_manifests(
    names: Iterable[str], *, goes_on: bool, is_deep: bool = False, may_repeat: bool = False
) -> Manifests:
    """
    Return what *names* name, after printing what is passed over and, if it *goes_on*, the mistakes.

    See `read_manifests`. Raises: InputError with the mistakes if it does not go on; if nothing is left.
    """
    found = read_manifests(names, is_deep=is_deep, may_repeat=may_repeat)
    for each in found.passed_over:
        click.echo(f"passed over: {each}", err=True)
    end_if_unreadable(found.mistakes, goes_on=goes_on)
    if not found.objects and (found.mistakes or found.passed_over):
        raise InputError(NOTHING_LEFT)
    return found


def end_if_unreadable(mistakes: Sequence[str], *, goes_on: bool) -> None:
    """Print *mistakes* if it *goes_on*. Raises: InputError with them if not."""
    if mistakes and not goes_on:
        raise InputError("\n".join(mistakes))
    for each in mistakes:
        tell(each)


def read_manifests(names: Iterable[str], *, is_deep: bool, may_repeat: bool = False) -> Manifests:
    """
    Return what *names* name; folders with all below them if it *is_deep*.

    That an object is given twice is a mistake unless it *may_repeat*. A file that cannot be read is one, too.
    """
    found = Manifests()
    for name in names:
        is_folder = name != STANDARD_INPUT and Path(name).is_dir()
        if is_folder:
            found.passed_over += (f"{each}: no manifest" for each in _others(Path(name), is_deep=is_deep))
        try:
            listed = input_names(name, is_deep=is_deep)
        except InputError as error:
            found.mistakes.append(str(error))
            continue
        for each in listed:
            try:
                given = read_input(each)
            except InputError as error:
                found.mistakes.append(str(error))
            else:
                _read(given, found, may_be_none=is_folder)
    if not may_repeat:
        found.mistakes += _twice(found.objects)
    return found


def _read(given: Input, found: Manifests, *, may_be_none: bool) -> None:
    if is_empty(given.text):
        if may_be_none:
            found.passed_over.append(f"{given.source}: no manifest: nothing in it")
        else:
            found.mistakes.append(f"{given.source}: {NO_OBJECT}")
        return
    objects, mistakes = read_objects(given.text, source=given.source, limit=MOST_TEXT)
    if may_be_none and not objects and mistakes and _is_no_manifest(mistakes):
        found.passed_over.append(f"{given.source}: no manifest: nothing in it has a kind")
        return
    found.mistakes += map(str, mistakes)
    for each in objects:
        if not each.api_version.startswith(_KUSTOMIZE):
            found.objects.append(each)
        elif may_be_none:
            found.passed_over.append(f"{given.source}: no manifest: give what kustomize build prints instead")
        else:
            place = f"{each.source}:{each.position.line}:{each.position.column}"
            found.mistakes.append(f"{place}: no object of a cluster: give what kustomize build prints instead")


def _is_no_manifest(mistakes: Sequence[Mistake]) -> bool:
    """Whether no document has a kind, or all are no objects: a file of values, the head of a chart."""
    found = Counter((each.path, each.message) for each in mistakes)
    without_kind, without_version = found.pop(_WITHOUT_KIND, 0), found.pop(_WITHOUT_VERSION, 0)
    return without_kind >= without_version and not found.keys() - {("", "this is no object")}


def hint(body: bytes) -> str:
    """Return what else to say of an object that cannot be read; empty for nothing."""
    return f" ({_NOT_RENDERED})" if _OPENING.encode() in body else ""


def _twice(objects: Iterable[RawObject]) -> Iterator[str]:
    """Yield a mistake for each object that was given before: a cluster has one of this name."""
    seen: dict[tuple[str, ...], RawObject] = {}
    for each in objects:
        key = (each.api_version.partition("/")[0], each.kind, each.namespace, each.name)
        first = seen.setdefault(key, each)
        if first is not each and b'"generateName"' not in each.body:
            place = f"{each.source}:{each.position.line}:{each.position.column}"
            yield f"{place}: {each.kind} {each.name} is given twice, first at {first.place}"


def _others(folder: Path, *, is_deep: bool) -> list[Path]:
    """Return the files of a folder that have another name than manifests have, without hidden ones."""
    files = folder.rglob("*") if is_deep else folder.iterdir()
    return sorted(
        each
        for each in files
        if each.is_file()
        and each.suffix not in MANIFEST_SUFFIXES
        and not any(part.startswith(".") for part in each.relative_to(folder).parts)
    )
