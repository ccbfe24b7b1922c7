"""
The time for one input grows as the input does, and no faster: a body at the limit cannot hold the event loop.

Ratios of CPU time, so that a busy machine changes nothing: four times the input may take ten times as long, where a
square would take sixteen.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator

import pytest
import structlog

from fuzz.targets import named
from fuzz.targets.worlds import silence

pytestmark = pytest.mark.slow

GROWTH, MOST = 4, 10


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    silence()
    yield
    structlog.reset_defaults()


def seconds(check: Callable[[bytes], object], data: bytes) -> float:
    """The least CPU time of three."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        check(data)
        taken.append(time.process_time() - begun)
    return min(taken)


def review(obj: object) -> bytes:
    request = {
        "uid": "u",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "red",
        "name": "a",
        "userInfo": {"username": "alice"},
        "object": obj,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def pod(containers: int = 1, annotations: int = 0, digits: int = 1) -> object:
    asked = {"requests": {"cpu": "1" * digits, "memory": "1Ki"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "a",
            "uid": "u",
            "annotations": {f"a{number}": "x" * 100 for number in range(annotations)},
        },
        "spec": {"containers": [{"name": f"c{number}", "resources": asked} for number in range(containers)]},
    }


def ledger(reservations: int) -> bytes:
    lines = ",".join(f'["r{number}","pods","red","p{number}","u",0,0,0,0]' for number in range(reservations))
    payers, amounts = '[["alice",[],[]]]', '[[["pods","1000000000"]]]'
    return (
        '{"object":"6b9c4c56-9a3e-4bd8-8c4b-6a2a3b7f0d11","epoch":"e","state":"open","write":1,"age":1,'
        f'"settledThrough":{{}},"payers":{payers},"amounts":{amounts},"reservations":[{lines}]}}'
    ).encode()


INPUTS: dict[str, tuple[str, Callable[[int], bytes], int]] = {
    "digits of a quantity": ("quantity", lambda size: b"9" * size, 250_000),
    "digits behind its point": ("quantity", lambda size: b"0." + b"1" * size, 250_000),
    "digits of its exponent": ("quantity", lambda size: b"1e" + b"9" * size, 250_000),
    "brackets of a path": ("expression", lambda size: b"[" * size, 25_000),
    "names of a path": ("expression", lambda size: b"a." * size, 125_000),
    "quoted names of a path": ("expression", lambda size: b'a["' * size, 75_000),
    "containers of a pod": ("review", lambda size: review(pod(containers=size)), 2_000),
    "annotations of a pod": ("review", lambda size: review(pod(annotations=size)), 5_000),
    "digits in a pod": ("review", lambda size: review(pod(digits=size)), 250_000),
    "brackets in a pod": ("review", lambda size: b'{"request":' + b"[" * size, 250_000),
    "users of a policy": (
        "policy",
        lambda size: b"version: 1\nusers:\n" + b"".join(b"  u%d: {hard: {cpu: 1}}\n" % each for each in range(size)),
        250,
    ),
    "mistakes in a policy": (
        "policy",
        lambda size: b"version: 1\nusers:\n" + b"".join(b"  u%d: {hard: {cpus: 1}}\n" % each for each in range(size)),
        250,
    ),
    "brackets in YAML": ("tree", lambda size: b"[" * size, 250_000),
    "a long line of YAML": ("tree", lambda size: b"a: " + b"x " * size, 100_000),
    "reservations of a ledger": ("ledger", ledger, 500),
    "groups of a stamp": (
        "stamp",
        lambda size: json.dumps(
            {"annotations": {"userquota.dev/owner": "a", "userquota.dev/groups": json.dumps(["g"] * size)}}
        ).encode(),
        20_000,
    ),
    "items of a list": (
        "watch",
        lambda size: (
            b'{"metadata":{"resourceVersion":"7"},"items":[%s]}'
            % b",".join([b'{"metadata":{"name":"a","uid":"u","resourceVersion":"7"}}'] * size)
        ),
        5_000,
    ),
    "digits of a version": (
        "watch",
        lambda size: b'{"metadata":{"resourceVersion":"%s"},"items":[]}' % (b"9" * size),
        250_000,
    ),
}


@pytest.mark.parametrize(("name", "made", "size"), INPUTS.values(), ids=INPUTS)
def test_four_times_the_input_takes_no_square_of_the_time(name: str, made: Callable[[int], bytes], size: int) -> None:
    check = named(name).check
    check(made(1))  # what is built once

    small, large = seconds(check, made(size)), seconds(check, made(GROWTH * size))

    assert large < MOST * max(small, 0.002), f"{small:.4f} s, then {large:.4f} s"


def test_a_reader_that_takes_the_square_of_the_time_is_found() -> None:
    def squares(data: bytes) -> None:
        for end in range(0, len(data), 50):
            hashlib.sha256(data[:end])

    small, large = (seconds(squares, b"x" * size) for size in (40_000, 160_000))

    assert large > MOST * small
