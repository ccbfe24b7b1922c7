"""Where the name of a payer is written, how it is read, and what must not be named."""

from __future__ import annotations

import pytest

from webhook.quota.delegation import PRESETS, Decoding, Delegate, Mark, Place, Texts, first_named, is_person

TEXTS = Texts(
    namespace="jupyter-alice",
    namespace_labels={"team": "ml", "empty": ""},
    namespace_annotations={
        "owner": "alice@example.com",
        "openshift.io/requester": "system:serviceaccount:che:che",
        "che.eclipse.org/username": "carol",
        "field.cattle.io/creatorId": "user-x7k2p",
        "lines": "alice\nbob",
    },
    labels={"user": "Alice.Smith", "slug": "alice-40example-2ecom", "at": "alice.at.example.com"},
    annotations={"hub.jupyter.org/username": "student-7", "long": "x" * 254, "star": "a*b"},
)

READ: dict[str, tuple[Mark, str | None]] = {
    "an annotation": (Mark(Place.ANNOTATION, "hub.jupyter.org/username"), "student-7"),
    "a label": (Mark(Place.LABEL, "user"), "Alice.Smith"),
    "an annotation of the namespace": (Mark(Place.NAMESPACE_ANNOTATION, "owner"), "alice@example.com"),
    "a label of the namespace": (Mark(Place.NAMESPACE_LABEL, "team"), "ml"),
    "the name of the namespace": (Mark(Place.NAMESPACE_NAME, pattern="jupyter-*"), "alice"),
    "another name of the namespace": (Mark(Place.NAMESPACE_NAME, pattern="team-*"), None),
    "a part of a text": (Mark(Place.ANNOTATION, "hub.jupyter.org/username", pattern="student-*"), "7"),
    "with a text after it": (Mark(Place.NAMESPACE_ANNOTATION, "owner", pattern="*@example.com"), "alice"),
    "between texts that would overlap": (Mark(Place.NAMESPACE_LABEL, "team", pattern="ml*ml"), None),
    "a pattern that leaves nothing": (Mark(Place.NAMESPACE_LABEL, "team", pattern="ml*"), None),
    "a star in the text": (Mark(Place.ANNOTATION, "star"), "a*b"),
    "none": (Mark(Place.LABEL, "hub.jupyter.org/username"), None),
    "an empty one": (Mark(Place.NAMESPACE_LABEL, "empty"), None),
    "one that is too long": (Mark(Place.ANNOTATION, "long"), None),
    "in small letters": (Mark(Place.LABEL, "user", decode=(Decoding.LOWER,)), "alice.smith"),
    "escaped": (Mark(Place.LABEL, "slug", decode=(Decoding.ESCAPED,)), "alice@example.com"),
    "with an at": (Mark(Place.LABEL, "at", decode=(Decoding.AT,)), "alice@example.com"),
    "one after the other": (Mark(Place.LABEL, "user", decode=(Decoding.LOWER,), prefix="oidc:"), "oidc:alice.smith"),
}


@pytest.mark.parametrize(("mark", "name"), READ.values(), ids=READ.keys())
def test_a_name_is_read_where_it_is_written(mark: Mark, name: str | None) -> None:
    assert mark.read(TEXTS) == name


@pytest.mark.parametrize(
    ("written", "name"),
    [("j-c3-bcrgen", "j\u00fcrgen"), ("a-ff-fe", "a-ff-fe"), ("a-2", "a-2"), ("a-G0", "a-G0"), ("-2d", "-")],
)
def test_what_was_escaped_is_read_as_bytes_and_left_alone_if_they_are_no_text(written: str, name: str) -> None:
    mark = Mark(Place.LABEL, "user", decode=(Decoding.ESCAPED,))

    assert mark.read(TEXTS._replace(labels={"user": written})) == name


def test_the_first_mark_that_says_a_name_counts() -> None:
    marks = (Mark(Place.LABEL, "absent"), Mark(Place.NAMESPACE_LABEL, "team"), Mark(Place.LABEL, "user"))

    assert first_named(marks, TEXTS) == ("ml", marks[1])
    assert first_named(marks, TEXTS, skip=lambda name: name == "ml") == ("Alice.Smith", marks[2])
    assert first_named(marks[:1], TEXTS) is None


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("jupyterhub", "student-7"),
        ("coder", None),
        ("che", "carol"),
        ("kubeflow", "alice@example.com"),
        ("rancher", "user-x7k2p"),
    ],
)
def test_the_marks_of_platforms(preset: str, name: str | None) -> None:
    named = first_named(PRESETS[preset], TEXTS)

    assert (named.name if named else None) == name


def test_of_an_openshift_project_that_che_made_the_person_is_named() -> None:
    without_che = TEXTS._replace(namespace_annotations={"openshift.io/requester": "dave"})

    for texts, name in ((TEXTS, "carol"), (without_che, "dave")):
        named = first_named(PRESETS["openshift"], texts, skip=lambda name: not is_person(name))
        assert named is not None
        assert named.name == name


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("alice", True),
        ("J\u00fcrgen M\u00fcller", True),
        ("root", False),
        ("system:masters", False),
        ("system:serviceaccount:jhub:hub", False),
        ("alice\nbob", False),
        ("alice\u202e", False),
    ],
)
def test_what_a_delegate_may_name(name: str, *, may: bool) -> None:
    assert Delegate("hub", (), never=frozenset({"root"})).may_name(name) is may


def test_a_delegate_acts_on_its_kinds_or_on_all() -> None:
    assert Delegate("hub", ()).acts_on("pods")
    assert not Delegate("hub", (), kinds=frozenset({"deployments.apps"})).acts_on("pods")
