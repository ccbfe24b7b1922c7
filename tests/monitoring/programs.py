"""Prometheus and promtool, as Debian's package installs them."""

from __future__ import annotations

import shutil

import pytest


def program(name: str) -> str:
    """Return the path of a program of Debian's package `prometheus`; a test fails that misses it."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed: apt-get install --no-install-recommends prometheus", pytrace=False)
    return found
