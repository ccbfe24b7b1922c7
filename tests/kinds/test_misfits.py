"""What is said of values of another type than their field: no word of Python, nor of a parser."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from webhook.kinds.misfits import misfit


class _Inner(msgspec.Struct):
    number: int | None = None
    flag: bool = False
    names: dict[str, str] = {}


class _Outer(msgspec.Struct):
    items: list[_Inner] = []


TOLD = {
    "[]": ("", "expected fields, each with a value, got a list"),
    '{"items": 1}': ("items", "expected a list, got a whole number"),
    '{"items": [{"number": "x"}]}': ("items[0].number", "expected a whole number, got text"),
    '{"items": [{"number": 1.5}]}': ("items[0].number", "expected a whole number, got a number"),
    '{"items": [{"flag": null}]}': ("items[0].flag", "expected true or false, got nothing"),
    '{"items": [{"names": {"a": true}}]}': ("items[0].names[...]", "expected text, got true or false"),
}


@pytest.mark.parametrize(("text", "told"), TOLD.items(), ids=TOLD.keys())
def test_a_value_of_another_type_is_told_in_words(text: str, told: Any) -> None:
    with pytest.raises(msgspec.MsgspecError) as caught:
        msgspec.json.decode(text, type=_Outer)

    assert misfit(caught.value) == told
