"""
The parts of GPUs that a pod asks for by annotations of KAI Scheduler, without any resource that ResourceQuota counts.

`gpu-fraction` is the part of each device, `gpu-memory` its size in MiB, `gpu-fraction-num-devices` how many devices.
KAI reads the first as a number between 0 and 1, the others as whole numbers above 0, and refuses a pod that has both a
fraction and a size; but it is optional in KAI that anything refuses, and its older versions take what they can read.
Source: docs/gpu-sharing, `ParsePodGPUFractionRequest` and `ValidateGPUFractionRequest` of kai-scheduler/KAI-Scheduler,
commit 10eae30d, and `updatePodAdditionalFields` of NVIDIA/KAI-Scheduler, commit 245d42db.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from webhook.kinds.pod_shapes import SharedGpuText
from webhook.quota.devices import FRACTION, MEMORY
from webhook.quota.quantity import NANOS

_LONGEST = 32
"""Characters of a fraction. No sensible one has more, and arithmetic on a million digits must be impossible."""

_MOST_DEVICES = 2**63 - 1
"""KAI reads the number of devices as an `int64`."""

# On purpose narrower than Go, which also reads signs, exponents and hexadecimal numbers: those count as whole devices.
_DECIMAL = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+", re.ASCII)
# As wide as Go: a number that KAI reads and we do not would be charged as a single device.
_WHOLE = re.compile(r"\+?0*([1-9][0-9]{0,18})", re.ASCII)


def amounts(asked: SharedGpuText) -> tuple[tuple[str, int], ...]:
    """
    Return the devices that are *asked* for, by the names of `devices.ANNOTATIONS`, of which the larger one counts.

    A fraction of each device, rounded up to a billionth in the sum; a size in MiB is one whole device each, because
    nothing says how large the device is. A fraction that cannot be read, or is 0, is a whole device each; a fraction
    above 1 counts as it is written. Where the number of devices cannot be read it is one, and a whole one.
    """
    number = _number(asked.devices)
    found = []
    if asked.fraction is not None:
        share = _share(asked.fraction)
        if number is None:
            share = max(share, Fraction(1))
        found.append((FRACTION, math.ceil(share * (number or 1) * NANOS)))
    if asked.memory is not None:
        found.append((MEMORY, (number or 1) * NANOS))
    return tuple(found)


def _share(text: str) -> Fraction:
    """Return the part of one device, above 0; 1 for a text that is none."""
    if len(text) > _LONGEST or not _DECIMAL.fullmatch(text):
        return Fraction(1)
    return Fraction(text) or Fraction(1)


def _number(text: str | None) -> int | None:
    """Return the number of devices; 1 without the annotation, None for a text that is no such number."""
    if text is None:
        return 1
    found = _WHOLE.fullmatch(text)
    if found is None or int(found[1]) > _MOST_DEVICES:
        return None
    return int(found[1])
