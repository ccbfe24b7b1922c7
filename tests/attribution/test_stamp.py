"""The stamp on an object: patches are tested by applying them, and annotations of any user are read."""

from __future__ import annotations

import json
from typing import Any

import jsonpatch
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.attribution.stamp import has_stamp, read_maker, read_stamp, stamping
from webhook.quota.objects import AnyObject, ObjectMeta
from webhook.quota.subject import Payer

OWNER, GROUPS, MAKER = "userquota.dev/owner", "userquota.dev/groups", "userquota.dev/maker"
ALICE = Payer("alice", ("ml", "staff"))
ALICES = {OWNER: "alice", GROUPS: '["ml","staff"]'}

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
payers = st.builds(Payer, words.filter(bool), st.lists(words, max_size=3).map(tuple))
keys = st.sampled_from([OWNER, GROUPS, "userquota.dev/ownership", "kubernetes.io/config.mirror", "a~1b/c", ""]) | words
noted = st.none() | st.dictionaries(keys, words, max_size=4)


def meta_of(document: dict[str, Any]) -> ObjectMeta:
    return msgspec.json.decode(json.dumps(document), type=AnyObject).metadata


def document(given_annotations: dict[str, str] | None, *, absent: bool = False) -> dict[str, Any]:
    """Return an object as JSON. To Kubernetes *absent* annotations and null are the same."""
    metadata: dict[str, Any] = {"name": "pod", "labels": {OWNER: "a label is no stamp"}}
    if given_annotations is not None or not absent:
        metadata["annotations"] = given_annotations
    return {"metadata": metadata, "spec": {"template": {"metadata": {"annotations": {"kept": "as it is"}}}}}


def patch(before: dict[str, Any], payer: Payer | None, maker: Payer | None = None) -> list[dict[str, Any]]:
    return [
        {"op": "remove", "path": step.path}
        if step.value is None
        else {"op": "add", "path": step.path, "value": step.value}
        for step in stamping(meta_of(before), payer, maker)
    ]


@settings(deadline=None)
@given(noted, payers, st.booleans())
def test_the_patch_adds_the_stamp_and_changes_nothing_else(
    before: dict[str, str] | None, payer: Payer, absent: bool
) -> None:
    old = document(before, absent=absent)

    new = jsonpatch.apply_patch(old, patch(old, payer))

    stamp = {OWNER: payer.owner, GROUPS: json.dumps(payer.groups, ensure_ascii=False, separators=(",", ":"))}
    assert new["metadata"].pop("annotations").keys() == {**(before or {}), **stamp}.keys()
    old["metadata"].pop("annotations", None)
    assert new == old


@settings(deadline=None)
@given(noted, payers)
def test_a_stamp_is_read_back_and_not_written_again(before: dict[str, str] | None, payer: Payer) -> None:
    old = document(before)

    new = jsonpatch.apply_patch(old, patch(old, payer))

    assert read_stamp(meta_of(new)) == payer
    assert has_stamp(meta_of(new), payer)
    assert patch(new, payer) == []


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["example.com/note", "userquota.dev/force", ""]), words), payers)
def test_annotations_of_others_keep_their_values(before: dict[str, str], payer: Payer) -> None:
    old = document(before)

    new = jsonpatch.apply_patch(old, patch(old, payer))

    kept = {key: value for key, value in new["metadata"]["annotations"].items() if key in before}
    assert kept == before


EXACT: dict[str, tuple[dict[str, str] | None, list[dict[str, Any]]]] = {
    "without annotations the whole field is added": (
        None,
        [{"op": "add", "path": "/metadata/annotations", "value": ALICES}],
    ),
    "beside others two keys are added": (
        {"example.com/note": "x"},
        [
            {"op": "add", "path": "/metadata/annotations/userquota.dev~1owner", "value": "alice"},
            {"op": "add", "path": "/metadata/annotations/userquota.dev~1groups", "value": '["ml","staff"]'},
        ],
    ),
    "a forged stamp is replaced": (
        {OWNER: "bob", GROUPS: "[]"},
        [
            {"op": "add", "path": "/metadata/annotations/userquota.dev~1owner", "value": "alice"},
            {"op": "add", "path": "/metadata/annotations/userquota.dev~1groups", "value": '["ml","staff"]'},
        ],
    ),
    "the right stamp needs nothing": (ALICES, []),
}


@pytest.mark.parametrize(("before", "steps"), EXACT.values(), ids=EXACT.keys())
def test_the_patch_is_exactly_this(before: dict[str, str] | None, steps: list[dict[str, Any]]) -> None:
    assert patch(document(before, absent=True), ALICE) == steps


ADOPTED = {OWNER: "bob", GROUPS: "[]", MAKER: '["alice",["ml","staff"]]'}


@pytest.mark.parametrize("before", [None, {}, ALICES, ADOPTED, {MAKER: "x"}], ids=str)
def test_the_maker_is_part_of_the_stamp(before: dict[str, str] | None) -> None:
    written = jsonpatch.apply_patch(document(before), patch(document(before), Payer("bob"), ALICE))

    assert written["metadata"]["annotations"] == ADOPTED
    assert has_stamp(meta_of(written), Payer("bob"), ALICE)
    assert not has_stamp(meta_of(written), Payer("bob"))
    assert read_maker(meta_of(written)) == ALICE


@pytest.mark.parametrize(
    "text", ["", "alice", "[]", '["alice"]extra', '["alice",["ml"],1]', '{"owner":"a"}', "[" * 9999]
)
def test_a_maker_that_we_cannot_have_written_is_none(text: str) -> None:
    assert read_maker(meta_of(document({**ALICES, MAKER: text}))) is None


def test_a_maker_is_taken_out_with_the_stamp_and_without_it() -> None:
    taken_out = [{"op": "remove", "path": "/metadata/annotations/userquota.dev~1maker"}]
    assert patch(document({MAKER: "x"}), None) == taken_out
    assert patch(document({**ALICES, MAKER: "x"}), ALICE) == taken_out


NO_STAMP: dict[str, dict[str, str] | None] = {
    "no annotations": None,
    "none of ours": {"example.com/owner": "alice"},
    "only the owner": {OWNER: "alice"},
    "only the groups": {GROUPS: "[]"},
    "an empty owner": {OWNER: "", GROUPS: "[]"},
    "empty groups": {OWNER: "alice", GROUPS: ""},
    "groups that are no JSON": {OWNER: "alice", GROUPS: "ml"},
    "groups that are one text": {OWNER: "alice", GROUPS: '"ml"'},
    "groups that are null": {OWNER: "alice", GROUPS: "null"},
    "groups that are numbers": {OWNER: "alice", GROUPS: "[1]"},
    "groups within groups": {OWNER: "alice", GROUPS: "[" * 100_000},
    "groups with something behind": {OWNER: "alice", GROUPS: "[] []"},
    "half of a surrogate pair": {OWNER: "alice", GROUPS: '["\\ud800"]'},
}


@pytest.mark.parametrize("written", NO_STAMP.values(), ids=NO_STAMP.keys())
def test_annotations_that_we_cannot_have_written_are_no_stamp(written: dict[str, str] | None) -> None:
    assert read_stamp(meta_of(document(written))) is None


SAME_MEANING = {
    "spaces": '["ml", "staff"]',
    "another order": '["staff","ml"]',
    "an escape": '["m\\u006c","staff"]',
    "twice": '["ml","ml","staff"]',
}


@pytest.mark.parametrize("groups", SAME_MEANING.values(), ids=SAME_MEANING.keys())
def test_only_the_text_that_we_write_is_the_stamp(groups: str) -> None:
    assert not has_stamp(meta_of(document({OWNER: "alice", GROUPS: groups})), ALICE)


@pytest.mark.parametrize(
    ("written", "carries_none"),
    [(None, True), ({}, True), ({"example.com/a": "b"}, True), ({OWNER: ""}, False), ({GROUPS: ""}, False)],
    ids=["no annotations", "an empty map", "those of others", "an empty owner", "empty groups"],
)
def test_an_object_carries_no_stamp_only_without_both_keys(written: dict[str, str] | None, carries_none: bool) -> None:
    assert has_stamp(meta_of(document(written)), None) is carries_none
