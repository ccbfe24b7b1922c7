"""Objects older than the installation: made while userquota was not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_who_pays import OWNER


@contextmanager
def before_the_installation(running: RunningWebhook) -> Iterator[None]:
    """
    Take userquota away for the time of the block, as if it were installed after it.

    The process is stopped first: while it runs it puts its configurations back. An API server that has not noticed yet
    that they are gone refuses what it is asked for, since nobody answers, so that nothing is stamped by mistake. What
    controllers make in the block is to be awaited there.
    """
    running.stop()
    running.uninstall()
    eventually(lambda: not any(_reviews(running)), what=lambda: "an API server still calls the webhook")
    try:
        yield
    finally:
        running.start()
        running.wait_until_ready()
        eventually(lambda: all(_reviews(running)), what=lambda: "an API server does not call the webhook yet")


def _reviews(running: RunningWebhook) -> Iterator[bool]:
    """Yield for each API server whether it reviews what is created, or would if userquota answered."""
    for server in range(1, len(running.cluster.server_urls) + 1):
        words = ("create", "-n", "default", "-f", "-", "--dry-run=server", "-o", "json")
        answer = running.cluster.kubectl(*words, server=server, stdin=pod("probe"), check=False)
        yield answer.returncode != 0 or OWNER in json.loads(answer.stdout)["metadata"].get("annotations", {})
