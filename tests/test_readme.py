"""Every command and every example of the README does what it says there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.addresses import HeldPort
from localcluster.binaries import Binaries
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.kinds.registry import KINDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
USERQUOTA = ROOT / ".venv/bin/userquota"

TOO_MANY = "kubectl --kubeconfig $ALICE create deployment web --image=example/web --replicas=20 --dry-run=server"
RUN_HERE = {
    "make run",
    ".venv/bin/userquota local up --policy examples/policy.yaml",
    "kubectl --kubeconfig $ALICE apply -f examples/pod.yaml",
    TOO_MANY,
    ".venv/bin/userquota get --kubeconfig $ALICE",
}
RUN_ELSEWHERE = {
    "make test": "is what runs this",
    "kubectl apply -k manifests/": "tests/manifests/test_manifests.py",
    "kubectl apply -f notebook.yaml": "tests/cluster/test_main_job.py shows the same refusal",
}


ROW_OF_CHARGED = {
    "pods": "pods",
    "persistentvolumeclaims": "claims",
    "resourceclaims.resource.k8s.io": "device claims",
}
"""The row of the README's table for each kind that is charged under every policy."""
OTHER_ROWS = {"`gpu`, `accelerator`", "scopes", "workloads", "autoscalers", "any kind by number", "sessions"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_no_command_is_forgotten() -> None:
    told = {
        line[2:].partition("  #")[0].strip()
        for block in blocks("console")
        for line in block.splitlines()
        if line[:2] == "$ "
    }
    assert told == RUN_HERE | RUN_ELSEWHERE.keys()


def test_the_policy_is_valid() -> None:
    (policy,) = blocks("yaml")
    reading = read_policy([PolicyText("README.md", policy)])
    assert reading.mistakes == ()
    assert reading.notes == ()


def test_the_table_of_what_is_counted_has_a_row_for_each_kind_that_is_charged() -> None:
    table = README.partition("| counted | how |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()]
    assert {kind.resource for kind in KINDS.charged} == ROW_OF_CHARGED.keys()
    assert sorted(rows) == sorted({*ROW_OF_CHARGED.values(), *OTHER_ROWS})


@pytest.fixture
def served() -> Iterator[str]:
    """The URL of `make run` on a free port."""
    held = HeldPort()
    listen = f"127.0.0.1:{held.number}"
    held.release()
    process = subprocess.Popen(
        ["make", "run", f"LISTEN={listen}"], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("certificate authority"):
            break
    yield f"https://{listen}"
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=20)


@pytest.mark.slow
def test_make_run_answers_the_three_reviews_of_the_examples(served: str) -> None:
    answer = subprocess.run([ROOT / "examples/try.sh", served], capture_output=True, text=True, check=True)
    assert answer.stdout == (
        "--- reviews/allowed.json\n"
        "allowed\n"
        "--- reviews/refused.json\n"
        "refused\n"
        "  larger than quota: defaults.user.perPod, requested: requests.cpu=3, limited: requests.cpu=2 for one pod\n"
        "  larger than quota: defaults.user.perPod, requested: requests.memory=6Gi, limited: requests.memory=4Gi "
        "for one pod\n"
        "  also over quota: defaults.user, requested: requests.cpu=3, used: requests.cpu=2, limited: requests.cpu=4, "
        "reserved: requests.cpu=0, free: requests.cpu=2 for user/alice\n"
        "  also over quota: defaults.user, requested: requests.memory=6Gi, used: requests.memory=4Gi, "
        "limited: requests.memory=8Gi, reserved: requests.memory=0, free: requests.memory=4Gi for user/alice\n"
        "  would fit: requests.cpu=2,requests.memory=4Gi\n"
        "  charged to alice (created it)\n"
        "--- reviews/dry-run.json\n"
        "allowed\n"
    )


def test_local_up_gives_a_cluster_to_try_things_on(binaries: Binaries, tmp_path: Path) -> None:
    environ = os.environ | {"XDG_STATE_HOME": str(tmp_path)}

    def ended(*argv: str | Path) -> subprocess.CompletedProcess[str]:
        answer = subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120)
        assert answer.returncode == 0, answer.stderr
        return answer

    def run(*argv: str | Path) -> str:
        return ended(*argv).stdout

    try:
        printed = run(USERQUOTA, "local", "up", "--policy", "examples/policy.yaml")
        (alice,) = re.findall(r"^export ALICE=(.*)$", printed, re.MULTILINE)
        as_alice = (binaries.kubectl, "--kubeconfig", alice)
        deadline = time.monotonic() + 30
        while not _default_account(as_alice, environ):
            assert time.monotonic() < deadline, "no default service account"
            time.sleep(0.2)
        assert run(*as_alice, "apply", "-f", "examples/pod.yaml") == "pod/notebook created\n"
        dry = ended(*as_alice, *TOO_MANY.split()[3:])
        assert dry.stdout == "deployment.apps/web created (server dry run)\n"
        (said,) = re.findall(r"is met with a warning: `(.*?)`", README)
        assert f"Warning: {said}: over quota defaults.user: pods " in dry.stderr
        assert " notebook " in run(USERQUOTA, "get", "--kubeconfig", alice)
    finally:
        assert run(USERQUOTA, "local", "down") == "stopped\n"


def _default_account(as_alice: tuple[str | Path, ...], environ: dict[str, str]) -> bool:
    """Whether the controller manager has created it, as it does a moment after the namespace: pods need it."""
    dry = (*as_alice, "run", "probe", "--image=x", "--dry-run=server")
    return subprocess.run(dry, env=environ, capture_output=True, check=False).returncode == 0
