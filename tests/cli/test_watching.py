"""The option -w: tables that are printed again when they change."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.canned import answering
from tests.cli.running import IN_A_TERMINAL, USERQUOTA, in_process
from tests.cluster.running import eventually
from webhook.cli import watching

HOLDERS = "/apis/view.userquota.dev/v1alpha1/holders"
COMMANDS = ("get", "get allocations", "top", "top --by user", "denials", "capacity", "commitments list")


def test_what_stays_the_same_is_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_POLL_SECONDS", 0)
    answers, shown = iter("aabba"), list[str]()

    async def read() -> str:
        try:
            return next(answers)
        except StopIteration:
            raise EOFError from None

    with pytest.raises(EOFError):
        asyncio.run(watching.show_changes(read, shown.append, watch=True))
    assert shown == ["a", "b", "a"]


def test_without_it_there_is_one_answer() -> None:
    answers, shown = iter("ab"), list[str]()

    async def read() -> str:
        return next(answers)

    asyncio.run(watching.show_changes(read, shown.append, watch=False))
    assert shown == ["a"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("output", ["json", "yaml"])
def test_documents_are_not_watched(command: str, output: str) -> None:
    ended = in_process(*command.split(), "-w", "-o", output)
    assert ended.code == 2
    assert "-w prints tables: leave -o out, or give -o wide" in ended.err


def test_whoever_watches_ends_it_with_ctrl_c(tmp_path: Path) -> None:
    held = {"owner": "alice", "resource": "pods", "namespace": "red", "name": "one", "amounts": {"requests.cpu": "1"}}
    out = tmp_path / "out"
    with answering(tmp_path) as cluster, out.open("wb") as written:
        cluster.has(HOLDERS, {"status": held})
        argv = [*IN_A_TERMINAL, str(USERQUOTA), "top", "-w", "--kubeconfig", str(cluster.config)]
        running = subprocess.Popen(argv, stdout=written)
        eventually(lambda: "one" in out.read_text())
        cluster.has(HOLDERS, {"status": {**held, "name": "another"}})
        eventually(lambda: "another" in out.read_text())
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 0
    assert [line.split()[0] for line in out.read_text().splitlines() if line] == ["OWNER", "alice"] * 2
