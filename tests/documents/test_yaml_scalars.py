"""What the words mean is in `test_kubectl_dialect`; here is what no table can hold."""

import json
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webhook.documents.yaml_scalars import Refused, key_of, number_json, resolve

patient = settings(deadline=None)
finite = st.floats(allow_nan=False, allow_infinity=False)


@patient
@given(finite)
@example(1e21)
@example(1e-6)
@example(9.999999e-7)
@example(-0.0)
def test_a_float_is_written_so_that_it_reads_back_the_same(value: float) -> None:
    written = json.loads(number_json(value), parse_int=float)
    assert struct.pack(">d", written) == struct.pack(">d", value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0),
        ("-0", -0.0),
        ("18446744073709551615", 2**64 - 1),
        ("1", 1.0),
        ("0.000001", 1e-6),
        ("1e-7", 1e-7),
        ("1.5e-10", 1.5e-10),
        ("100000000000000000000", 1e20),
        ("1e+21", 1e21),
        ("1.7976931348623157e+308", 1.7976931348623157e308),
    ],
)
def test_a_number_is_written_as_go_writes_it(written: str, value: float) -> None:
    assert number_json(value) == written


@patient
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_as_a_key_keeps_32_bits(value: float) -> None:
    key = key_of(value)
    assert isinstance(key, str)
    assert struct.pack(">f", float(key)) == struct.pack(">f", value)


@patient
@given(st.text("0123456789+-_.eExXoObBaAfF:~", max_size=12), st.sampled_from([None, "!", "tag:yaml.org,2002:int"]))
@example("1" * 1_000_000, None)
@example("0" * 1_000_000, None)
@example("-0x" + "f" * 1_000_000, None)
@example("1e" + "9" * 1_000_000, None)
@example("." + "1_" * 500_000, None)
def test_any_word_has_a_value_or_a_reason(text: str, tag: str | None) -> None:
    value: Any = resolve(text, tag=tag, is_plain=True)
    assert value is None or isinstance(value, (str, int, float, Refused))
    assert not isinstance(value, int) or -(2**63) <= value < 2**64


def test_an_integer_with_a_plus_sign_is_a_float_from_2_to_the_63_on() -> None:
    """Not visible in what kubectl prints: it holds both as floats."""
    assert repr(resolve("+9223372036854775807", tag=None, is_plain=True)) == "9223372036854775807"
    assert repr(resolve("+9223372036854775808", tag=None, is_plain=True)) == "9.223372036854776e+18"
    assert repr(resolve("9223372036854775808", tag=None, is_plain=True)) == "9223372036854775808"
