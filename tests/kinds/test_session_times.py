"""How long a session may run and may be idle, as its platform writes it: exact, and open where nothing says it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from webhook.documents.shipped_presets import shipped
from webhook.kinds.sessions import SessionReader
from webhook.quota.durations import NO_TIMES, Times

HOUR = 3600 * 10**9
FIELD = "spec.idleTimeout"

STREAMSPACE = SessionReader(shipped("streamspace"))
DASK = SessionReader(shipped("dask"))
RAYJOB = SessionReader(shipped("rayjob"))


def times(reader: SessionReader, spec: dict[str, Any]) -> Times:
    preset = reader.preset
    document = {"apiVersion": preset.api_versions[0], "kind": preset.kind, "metadata": {"name": "s"}, "spec": spec}
    reading = reader.read(json.dumps(document).encode(), is_attributed=True)
    assert reading is not None
    return reading.times


WRITTEN = {
    "a text": ("8h", 8 * HOUR),
    "several units": ("1h30m", HOUR * 3 // 2),
    "whole seconds": (3600, HOUR),
}
OPEN = {
    "absent": (..., FIELD),
    "null": (None, FIELD),
    "0 seconds": (0, f"{FIELD} (0 is no bound)"),
    "a text for 0": ("0s", f"{FIELD} (0 is no bound)"),
    "negative": (-1, f"{FIELD} ('-1' is no duration: it is negative)"),
    "no unit": ("30", f"{FIELD} ('30' is no duration: expected one such as 8h or 1h30m)"),
    "words": ("never", f"{FIELD} ('never' is no duration: expected one such as 8h or 1h30m)"),
    "a truth value": (True, f"{FIELD} ('true' is no duration: expected a text such as 8h, or whole seconds)"),
    "no whole number": (1.5, f"{FIELD} ('1.5' is no duration: expected a text such as 8h, or whole seconds)"),
    "a list": ([1], f"{FIELD} ('[1]' is no duration: expected a text such as 8h, or whole seconds)"),
}


@pytest.mark.parametrize(("value", "nanos"), WRITTEN.values(), ids=WRITTEN)
def test_a_time_that_is_set_is_exact(value: object, nanos: int) -> None:
    assert dict(times(STREAMSPACE, {"idleTimeout": value}).asked) == {"idle": nanos}


@pytest.mark.parametrize(("value", "told"), OPEN.values(), ids=OPEN)
def test_a_time_that_says_nothing_is_open_with_its_field(value: object, told: str) -> None:
    spec = {} if value is ... else {"idleTimeout": value}
    read = times(STREAMSPACE, {**spec, "maxSessionDuration": "8h"})
    assert read == Times((("duration", 8 * HOUR),), (("idle", told),))


def test_only_the_fields_of_the_preset_count() -> None:
    assert times(DASK, {"idleTimeout": 60, "scheduler": {"spec": {}}, "worker": {"replicas": 0, "spec": {}}}) == Times(
        (("idle", 60 * 10**9),), ()
    )
    notebook = SessionReader(shipped("kubeflow-notebook"))
    assert times(notebook, {"template": {"spec": {"containers": []}}}) == NO_TIMES
    cluster: dict[str, Any] = {"rayClusterSpec": {"headGroupSpec": {"template": {"spec": {"containers": []}}}}}
    assert times(RAYJOB, {**cluster, "activeDeadlineSeconds": 60}).asked == (("duration", 60 * 10**9),)
