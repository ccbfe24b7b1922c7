"""
Manifests in files and folders, as kubectl and kustomize print them, with what is wrong in them and what is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from webhook.cli.inputs import MANIFEST_SUFFIXES, MOST_TEXT, STANDARD_INPUT, Input, read_inputs
from webhook.documents.mistake import Mistake
from webhook.documents.object_text import RawObject, read_objects

_KUSTOMIZE = "kustomize.config.k8s.io/"
_OPENING = "{{"
_WITHOUT_KIND = ("kind", "missing")
_WITHOUT_VERSION = ("apiVersion", "missing")
_NOT_RENDERED = "a template that is not rendered? give what helm template or kustomize build prints"


@dataclass(slots=True)
class Manifests:
    """The objects that were read, a line for every mistake, and one for each file of a folder that is no manifest."""

    objects: list[RawObject] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def read_manifests(names: Iterable[str], *, is_deep: bool) -> Manifests:
    """Return what *names* name; folders with all below them if it *is_deep*. Raises: InputError."""
    found = Manifests()
    for name in names:
        is_folder = name != STANDARD_INPUT and Path(name).is_dir()
        if is_folder:
            found.passed_over += (f"{each}: no manifest" for each in _others(Path(name), is_deep=is_deep))
        for given in read_inputs([name], is_deep=is_deep):
            _read(given, found, may_be_none=is_folder)
    found.mistakes += _twice(found.objects)
    return found


def _read(given: Input, found: Manifests, *, may_be_none: bool) -> None:
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
