"""The path language: what is a path, what is none, and where the mistake is."""

from __future__ import annotations

import pytest

from webhook.quota import field_paths
from webhook.quota.field_paths import Each, Name, PathError

PATHS: dict[str, tuple[object, ...]] = {
    "spec": (Name("spec"),),
    "spec.user": (Name("spec"), Name("user")),
    "spec.worker_groups": (Name("spec"), Name("worker_groups")),
    'metadata.labels["app.kubernetes.io/name"]': (Name("metadata"), Name("labels"), Name("app.kubernetes.io/name")),
    "metadata.labels['a\"b']": (Name("metadata"), Name("labels"), Name('a"b')),
    "spec.groups[*].replicas": (Name("spec"), Name("groups"), Each(), Name("replicas")),
    "status.conditions[type=Ready].status": (
        Name("status"),
        Name("conditions"),
        Each("type", "Ready"),
        Name("status"),
    ),
    'spec.env[name="a b"].value': (Name("spec"), Name("env"), Each("name", "a b"), Name("value")),
    "$": (),
    "$.spec": (Name("spec"),),
}


@pytest.mark.parametrize("text", PATHS)
def test_a_path_is_read(text: str) -> None:
    path = field_paths.parse(text)

    assert (path.steps, str(path), path.is_from_root) == (PATHS[text], text, text.startswith("$"))


MISTAKES = {
    "": (0, "expected the name of a field"),
    "spec.": (5, "expected the name of a field"),
    "spec..user": (5, "expected the name of a field"),
    ".spec": (0, "expected the name of a field"),
    "spec.9": (5, "expected the name of a field"),
    "spec.a b": (6, "unexpected ' '"),
    "spec.über": (5, "expected the name of a field"),
    "spec/user": (4, "unexpected '/'"),
    "spec[0]": (5, 'expected *, "key" or field=value'),
    "spec[*": (5, 'expected *, "key" or field=value'),
    "spec[]": (5, 'expected *, "key" or field=value'),
    'spec["a]': (5, 'expected *, "key" or field=value'),
    'spec["a"': (8, "expected ]"),
    "spec[type=]": (10, "expected a value"),
    "spec[type=a b]": (11, "expected ]"),
    "spec[*].a[*].b[*].c[*]": (0, "at most 3 lists"),
    "a" + ".a" * 30: (0, "at most 24 steps"),
    "a." + "b" * 300: (0, "at most 256 characters"),
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: text[:20] or "empty")
def test_a_text_that_is_no_path_is_told_with_its_place(text: str) -> None:
    offset, why = MISTAKES[text]

    with pytest.raises(PathError) as caught:
        field_paths.parse(text)

    assert caught.value.offset == offset
    assert why in str(caught.value)
    assert f"at character {offset + 1}" in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "a" * 1_000_000, "a." * 500_000, 'a["' * 300_000])
def test_a_long_text_is_no_path(text: str) -> None:
    """tests/fuzz/test_time.py shows that it takes no square of the time."""
    with pytest.raises(PathError):
        field_paths.parse(text)
