"""We read YAML as kubectl does. Its answers are in `kubectl_dialect.json`; whether they are still true is asked too."""

from typing import Any

import pytest

from localcluster.binaries import Binaries
from tests.documents.kubectl_dialect import HEADER, Answer, Number, ask, dump, load, read_table
from webhook.documents.object_text import read_objects
from webhook.documents.yaml_scalars import number_json

TABLE = read_table()
SAME = [answer for answer in TABLE if not answer.we_refuse]
REFUSED = [answer for answer in TABLE if answer.we_refuse]
MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1


def we_read(snippet: str) -> str | None:
    objects, mistakes = read_objects(HEADER + snippet, source="odd.yaml")
    assert len(objects) + bool(mistakes) == 1
    return dump(as_int64_or_float64(load(objects[0].body).get("v"))) if objects else None


def as_int64_or_float64(value: Any) -> Any:
    """Return the numbers as kubectl holds them; we keep every integer that the YAML library gives it, up to 2**64."""
    match value:
        case dict():
            return {key: as_int64_or_float64(each) for key, each in value.items()}
        case list():
            return [as_int64_or_float64(each) for each in value]
        case Number() if value.lstrip("-").isdigit():
            return Number(int(value) if MIN_INT64 <= int(value) <= MAX_INT64 else number_json(float(value)))
    return value


@pytest.mark.parametrize("answer", SAME, ids=lambda answer: answer.yaml)
def test_reads_what_kubectl_reads(answer: Answer) -> None:
    assert we_read(answer.yaml) == answer.json


@pytest.mark.parametrize("answer", REFUSED, ids=lambda answer: answer.yaml)
def test_refuses_on_purpose_what_kubectl_reads(answer: Answer) -> None:
    assert answer.json is not None
    assert we_read(answer.yaml) is None


def test_the_table_has_answers_of_every_sort() -> None:
    assert len(SAME) > 300
    assert len(REFUSED) > 10
    assert sum(answer.json is None for answer in SAME) > 40


def test_kubectl_still_answers_as_the_table_says(binaries: Binaries) -> None:
    accepted = [answer for answer in TABLE if answer.json is not None]
    assert ask([answer.yaml for answer in accepted], binaries.kubectl) == [answer.json for answer in accepted]
    for answer in TABLE:
        if answer.json is None:
            assert ask([answer.yaml], binaries.kubectl) is None, answer.yaml
