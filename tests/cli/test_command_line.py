"""What all commands have in common: help, wrong use, completion, pipes that nobody reads, and Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from tests.cli.running import IN_A_TERMINAL, USERQUOTA, in_process, userquota
from webhook import cli

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/command-line.md").read_text()


def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command in this process: the code that it ends with, and what it says."""
    monkeypatch.setattr("sys.argv", ["userquota", *words])
    former = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, former)
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out, said.err


def test_every_command_has_help_by_both_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = called(monkeypatch, capsys, "-h")
    commands = re.findall(r"^  ([a-z]+) ", out.partition("Commands:\n")[2], re.MULTILINE)
    assert code == 0
    assert {"charge", "policy", "serve"} <= set(commands)
    for command in [(), *((each,) for each in commands), ("policy", "validate"), ("preset", "test"), ("local", "up")]:
        short = called(monkeypatch, capsys, *command, "-h")
        assert short == called(monkeypatch, capsys, *command, "--help")
        assert (short[0], short[1].startswith("Usage: userquota"), short[2]) == (0, True, "")


WRONG = {
    "a command with a letter too few": (["polcy"], "no such command 'polcy', did you mean policy?"),
    "a command of a command": (["policy", "validat"], "no such command 'validat', did you mean validate?"),
    "a command like none": (["policy", "x"], "no such command 'x'; known are diff, schema, test, validate"),
    "an option with a letter too few": (["charge", "--filenme", "x"], "no such option '--filenme', did you mean --fil"),
    "an option like none": (["-V"], "no such option '-V'"),
    "a value that is none": (["charge", "-o", "xml"], "invalid value for '-o' / '--output': 'xml' is not one of"),
    "an argument that is missing": (["policy", "validate"], "missing argument 'PATHS...'"),
}


@pytest.mark.parametrize(("words", "why"), WRONG.values(), ids=WRONG.keys())
def test_wrong_use_is_told_with_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    code, out, err = called(monkeypatch, capsys, *words)

    assert (code, out) == (2, "")
    assert err.startswith("Usage: userquota")
    assert err.splitlines()[-1].startswith(f"userquota: {why}")


def test_every_line_of_an_error_has_the_same_prefix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nuser: {}\ncombine: least\n")

    code, out, err = called(monkeypatch, capsys, "preflight", "-f", str(policy))

    assert (code, out) == (2, "")
    assert [line.partition("policy.yaml:")[0] for line in err.splitlines()] == [f"userquota: {tmp_path}/"] * 2


@pytest.mark.slow
def test_the_lines_of_the_document_complete_commands(tmp_path: Path) -> None:
    sources = dict(re.findall(r"_USERQUOTA_COMPLETE=((\w+)_source) userquota", DOCUMENT))
    environ = os.environ | {"PATH": f"{USERQUOTA.parent}:{os.environ['PATH']}"}
    for source, shell in sources.items():
        made = subprocess.run(
            ["userquota"], env=environ | {"_USERQUOTA_COMPLETE": source}, capture_output=True, text=True, check=True
        )
        assert f"_USERQUOTA_COMPLETE={shell}_complete" in made.stdout
    words = {"COMP_WORDS": "userquota policy va", "COMP_CWORD": "2", "_USERQUOTA_COMPLETE": "bash_complete"}
    done = subprocess.run(["userquota"], env=environ | words, capture_output=True, text=True, check=True)

    assert sorted(sources.values()) == ["bash", "fish", "zsh"]
    assert done.stdout == "plain,validate\n"


COMPLETED = {
    "a command": (["poli"], ["policy\tWork with policies."], ":4"),
    "all behind a command": (["policy", ""], ["diff\t", "schema\t", "test\t", "validate\t"], ":4"),
    "an option": (["top", "--s"], ["--sort\tAs a policy names it; or age, for the oldest objects."], ":4"),
    "a value": (["top", "--by", "te"], ["tenant"], ":4"),
    "a file": (["check", "-f", "mani"], [], ":0"),
    "a path": (["top", "--kubeconfig", ""], [], ":0"),
    "behind wrong use": (["get", "alice", "-o", "js"], ["json"], ":4"),
    "no option of that name": (["policy", "validate", "--nothing"], [], ":0"),
}


@pytest.mark.parametrize(("words", "known", "directive"), COMPLETED.values(), ids=COMPLETED.keys())
def test_kubectl_is_told_what_may_follow(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    known: list[str],
    directive: str,
) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["kubectl_complete-userquota"].partition(":")
    monkeypatch.setattr("sys.argv", ["kubectl_complete-userquota", *words])
    getattr(import_module(module), name)()

    *lines, last = capsys.readouterr().out.splitlines()
    assert last == directive
    assert len(lines) == len(known)
    assert all(line.startswith(told) for line, told in zip(lines, known, strict=True))


@pytest.mark.slow
def test_a_pipe_that_nobody_reads_ends_it_quietly(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([USERQUOTA, "preset", "list"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)

    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.slow
def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [*IN_A_TERMINAL, USERQUOTA, "charge", "-f", pipe], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with pipe.open("w"):  # opens as soon as the command reads
        while process.poll() is None:  # a signal just before a call that blocks is seen only after that call
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2)
        out, err = process.communicate()

    assert (process.returncode, out, err.strip()) == (130, b"", b"")


LOGGING = """
import sys, structlog
from webhook import cli
sys.argv = ["userquota", "--version"]
try:
    cli.main()
except SystemExit:
    structlog.get_logger().warning("odd")
"""


def test_what_is_logged_on_the_way_is_no_part_of_the_answer() -> None:
    """The answer of `get -o json` is read by programs."""
    told = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True)

    assert told.stdout.startswith("userquota, version")
    assert "odd" not in told.stdout
    assert "odd" in told.stderr


@pytest.mark.slow
def test_nothing_is_coloured(tmp_path: Path) -> None:
    ended = userquota("polcy", folder=tmp_path)

    assert "\x1b" not in ended.out + ended.err


def test_people_find_a_cluster_as_with_kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "USERQUOTA_KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text("[]")
    usual = f"userquota: the kubeconfig {tmp_path}/.kube/config holds no kubeconfig: name another with --kubeconfig\n"
    assert in_process("get").err == usual

    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "mine"))
    assert in_process("get").err.startswith(f"userquota: there is no kubeconfig {tmp_path}/mine")
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert ".kube/config" not in in_process("get").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("get", "bob"), "bob is no subject: did you mean user/bob?"),
        (("explain", "usr/bob"), "usr/bob is no subject: did you mean user/bob?"),
        (("get", "user/"), "user/ is no subject: expected user/NAME, group/NAME, tenant/NAME, namespace/NAME, "),
        (("adopt", "deployment/a", "--to", "user/bob"), "user/bob is a subject: name the login, bob"),
        (("adopt", "--all-of", "bob", "--to", "group/ml"), "group/ml cannot pay"),
    ],
)
def test_who_is_meant_is_told(words: tuple[str, ...], said: str) -> None:
    ended = in_process(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in " ".join(ended.err.split())
