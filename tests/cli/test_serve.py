"""`userquota serve`: what keeps it from serving is one line and exit code 2; after a signal to stop it ends with 0."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.running import USERQUOTA, userquota
from tests.kubeconfigs import kubeconfig
from webhook.certificates import authority, pairs
from webhook.cli.serve import keep_written
from webhook.wiring.application import SystemClock

pytestmark = pytest.mark.slow

STANDALONE = ("--standalone", "--policy", "policy.yaml", "--listen", "127.0.0.1:0")
POLICY = "version: 1\ndefaults: {user: {hard: {cpu: 2}}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "bad.yaml").write_text("version: 1\nuser: {}\ncombine: least\n")
    (tmp_path / "emptied.yaml").write_text("")
    (tmp_path / "bytes.yaml").write_bytes(b"a:\xff")
    (tmp_path / "none").mkdir()
    (tmp_path / "dead.kubeconfig").write_text(yaml.safe_dump(kubeconfig()))
    (tmp_path / "no.kubeconfig").write_text("hello\n")
    return tmp_path


URL = "expected https://HOST:PORT, which is all the API server accepts"
LISTEN = "expected HOST:PORT, or :PORT for all addresses"
OBSTACLES = {
    "standalone without a policy": (
        ["--standalone"],
        "--standalone needs --policy PATH (or --allow-no-policy, which limits nobody)",
    ),
    "a policy file beside a cluster": (
        ["--policy", "policy.yaml"],
        "--policy is for --standalone; in a cluster the policy is a ConfigMap",
    ),
    "a policy that is not there": (
        ["--standalone", "--policy", "nowhere.yaml"],
        "the policy cannot be read: nowhere.yaml: No such file or directory",
    ),
    "a folder without a policy": (
        ["--standalone", "--policy", "none"],
        "the policy cannot be read: none: no .yaml, .yml or .json file in it",
    ),
    "a policy that is no text": (
        ["--standalone", "--policy", "bytes.yaml"],
        "the policy cannot be read: bytes.yaml: not UTF-8 at byte 2",
    ),
    "a policy that says nothing": (
        ["--standalone", "--policy", "emptied.yaml"],
        "emptied.yaml:1:1: no policy in it; one that limits nobody says version: 1",
    ),
    "a broker without the port of the view": (
        ["--liquid"],
        "--liquid needs --view-listen: a broker calls the port of the view, by an API server",
    ),
    "an address without a port": (["--listen", "localhost"], f"--listen localhost: {LISTEN}"),
    "a port that is none": (["--listen", "localhost:https"], f"--listen localhost:https: {LISTEN}"),
    "a port that is too high": (["--listen", "localhost:65536"], f"--listen localhost:65536: {LISTEN}"),
    "a host that is none of ours": (
        [*STANDALONE[:3], "--listen", "192.0.2.1:0"],
        "cannot listen on 192.0.2.1:0: ",
    ),
    "a certificate without its key": (
        [*STANDALONE, "--tls-cert", "tls.crt"],
        "--tls-cert and --tls-key belong together: give both or neither",
    ),
    "a certificate that is not there": (
        [*STANDALONE, "--tls-cert", "tls.crt", "--tls-key", "tls.key"],
        "tls.crt: cannot be read (No such file or directory): give a file this user may read",
    ),
    "a certificate that is none": (
        [*STANDALONE, "--tls-cert", "policy.yaml", "--tls-key", "policy.yaml"],
        "policy.yaml: holds no readable PEM certificate",
    ),
    "an authority that nobody serves": (
        [*STANDALONE, "--tls-ca", "ca.crt"],
        "--tls-ca needs --tls-cert, the certificate to trust it for",
    ),
    "a client's name without an authority": (
        [*STANDALONE, "--client-name", "kube-apiserver"],
        "--client-name needs --client-ca, the authority of the certificates that have the name",
    ),
    "an authority of clients that is none": (
        [*STANDALONE, "--client-ca", "policy.yaml"],
        "--client-ca policy.yaml: holds no readable PEM certificate (",
    ),
    "a short token": (
        [*STANDALONE, "--client-token-file", "policy.yaml"],
        "--client-token-file policy.yaml: needs one token a line, each of 16 characters at least and without blanks",
    ),
    "no room for the authority": (
        [*STANDALONE, "--ca-out", "nowhere/ca.crt"],
        "--ca-out nowhere/ca.crt: No such file or directory",
    ),
    "a URL that is not https": (["--advertise-url", "http://h:1"], f"--advertise-url http://h:1: {URL}"),
    "a URL without a host": (["--advertise-url", "https://:1"], f"--advertise-url https://:1: {URL}"),
    "a URL with a name in it": (["--advertise-url", "https://u@h:1"], f"--advertise-url https://u@h:1: {URL}"),
    "a URL with a query": (["--advertise-url", "https://h:1/?a"], f"--advertise-url https://h:1/?a: {URL}"),
    "a URL whose bracket stays open": (["--advertise-url", "https://["], f"--advertise-url https://[: {URL}"),
    "a URL whose port is too high": (["--advertise-url", "https://h:65536"], f"--advertise-url https://h:65536: {URL}"),
    "no cluster": (
        [],
        (
            "not in a cluster (Service host/port is not set): name a kubeconfig with --kubeconfig, "
            "or serve without a cluster: --standalone --policy PATH"
        ),
    ),
    "a kubeconfig that is not there": (
        ["--kubeconfig", "nowhere"],
        "there is no kubeconfig nowhere: name another with --kubeconfig",
    ),
    "a kubeconfig that is none": (["--kubeconfig", "no.kubeconfig"], "the kubeconfig no.kubeconfig "),
    "a kubeconfig that is no text": (
        ["--kubeconfig", "bytes.yaml"],
        "the kubeconfig bytes.yaml is not YAML: it holds bytes that are no text",
    ),
    "a context that is none": (
        ["--kubeconfig", "dead.kubeconfig", "--context", "there"],
        "the kubeconfig dead.kubeconfig cannot be used, context 'there': ",
    ),
    "an API server that does not listen": (
        ["--kubeconfig", "dead.kubeconfig"],
        "GET /api/v1/namespaces/userquota-system/secrets/userquota-ca: cannot connect to 127.0.0.1:1: ",
    ),
}


@pytest.mark.parametrize(("options", "why"), OBSTACLES.values(), ids=OBSTACLES.keys())
def test_what_keeps_it_from_serving_is_one_line(folder: Path, options: list[str], why: str) -> None:
    ended = userquota("serve", *options, folder=folder)

    assert ended.err.startswith(f"userquota: {why}")
    assert ended.err.count("\n") == 1
    assert ended.code == 2
    assert "listens" not in ended.out


def test_every_mistake_of_a_policy_is_a_line(folder: Path) -> None:
    ended = userquota("serve", "--standalone", "--policy", "bad.yaml", folder=folder)

    assert (ended.code, ended.out, ended.err) == (
        2,
        "",
        (
            "userquota: bad.yaml:2:1: user: unknown field, did you mean users?\n"
            "userquota: bad.yaml:3:10: combine: input should be 'most-restrictive', 'max' or 'sum'\n"
        ),
    )


def test_a_port_in_use_is_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = userquota("serve", *STANDALONE[:3], "--listen", address, folder=folder)

    assert ended.code == 2
    assert ended.err.startswith(f"userquota: cannot listen on {address}: ")
    assert ended.err.endswith("; choose another with --listen\n")
    assert ended.err.count("\n") == 1


def test_a_key_of_another_certificate_is_one_line(folder: Path) -> None:
    now = SystemClock().now()
    leaves = [authority.sign_leaf(authority.create_authority(now), ["localhost"], now) for _ in range(2)]
    (folder / "tls.crt").write_bytes(_of_kind(leaves[0], "CERTIFICATE"))
    (folder / "tls.key").write_bytes(_of_kind(leaves[1], "PRIVATE KEY"))

    ended = userquota("serve", *STANDALONE, "--tls-cert", "tls.crt", "--tls-key", "tls.key", folder=folder)

    assert ended.code == 2
    assert ended.err.startswith("userquota: tls.")
    assert ended.err.count("\n") == 1


def _of_kind(pair: pairs.KeyPair, kind: str) -> bytes:
    """The blocks of a PEM text that are of this *kind*."""
    blocks = pair.pem.decode().split("-----BEGIN ")
    return "".join(f"-----BEGIN {block}" for block in blocks if block.startswith(kind)).encode()


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    argv = [str(USERQUOTA), *arguments]
    process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def serving(folder: Path, *options: str) -> AbstractContextManager[subprocess.Popen[str]]:
    return running(folder, "serve", *STANDALONE, "--ca-out", "ca.crt", *options)


def url_of(process: subprocess.Popen[str]) -> str:
    """Where it listens, from what it prints at the start."""
    assert process.stdout is not None
    for line in process.stdout:
        if "listens on " in line:
            return line.rpartition(" ")[2].strip()
    raise AssertionError("it ended without listening")


def ask(url: str, folder: Path, body: bytes | None = None, *, token: str = "") -> Any:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310
    with urllib.request.urlopen(request, context=context, timeout=10) as response:  # noqa: S310
        return response.read()


def creation(name: str, cpu: str) -> bytes:
    stamp = {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"}
    pod = {
        "metadata": {"name": name, "uid": f"uid-of-{name}", "annotations": stamp},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]},
    }
    request = {
        "uid": name,
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "red",
        "userInfo": {"username": "alice"},
        "object": pod,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_it_serves_until_a_signal_to_stop(folder: Path, number: signal.Signals) -> None:
    with serving(folder, "--drain", "0") as process:
        url = url_of(process)
        verdicts = [
            json.loads(ask(f"{url}/validate?timeout=5s", folder, creation(name, cpu)))["response"]["allowed"]
            for name, cpu in (("a", "1500m"), ("b", "1"), ("c", "500m"), ("a", "1500m"))
        ]
        ready = ask(f"{url}/readyz", folder)
        process.send_signal(number)
        code = process.wait(timeout=20)
        assert process.stderr is not None
        complaints = process.stderr.read()

    assert verdicts == [True, False, True, True]
    assert ready == b"ok\n"
    assert (code, complaints) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_while_it_waits_for_the_api_server_a_signal_ends_it_at_once(folder: Path, number: signal.Signals) -> None:
    """It used to look at the signal only after the 90 seconds that it waits for an API server."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"https://127.0.0.1:{silent.getsockname()[1]}"
        (folder / "silent.kubeconfig").write_text(yaml.safe_dump(kubeconfig(server)))
        options = ("--kubeconfig", "silent.kubeconfig", "--listen", "127.0.0.1:0")
        with running(folder, "serve", *options) as process:
            connection, _ = silent.accept()
            begun = time.monotonic()
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            connection.close()

    assert (process.returncode, errors) == (0, "")
    assert time.monotonic() - begun < 3


def test_a_signal_ends_every_command_by_its_own_doing(folder: Path) -> None:
    """The first process of a container does not end by a signal that it has no handler for."""
    os.mkfifo(folder / "pods.yaml")
    # Opening the pipe waits until the command reads it.
    with running(folder, "charge", "-f", "pods.yaml") as process, (folder / "pods.yaml").open("w"):
        process.terminate()
        _, errors = process.communicate(timeout=20)

    assert (process.returncode, errors) == (128 + signal.SIGTERM, "")


def test_a_pod_that_posts_a_review_needs_a_proof(folder: Path) -> None:
    (folder / "tokens").write_text("a-token-of-the-api-server\n")
    with serving(folder, "--drain", "0", "--client-token-file", "tokens") as process:
        url = f"{url_of(process)}/validate?timeout=5s"
        with pytest.raises(urllib.error.HTTPError, match="Unauthorized") as caught:
            ask(url, folder, creation("a", "1"))
        caught.value.close()
        answered = ask(url, folder, creation("a", "1"), token="a-token-of-the-api-server")  # noqa: S106 - made up

    assert json.loads(answered)["response"]["allowed"] is True


def test_an_address_of_ipv6_is_told_as_a_url(folder: Path) -> None:
    with running(folder, "serve", *STANDALONE[:3], "--listen", "[::1]:0", "--ca-out", "ca.crt") as process:
        assert ask(f"{url_of(process)}/livez", folder) is not None


def test_options_may_come_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERQUOTA_LISTEN", "nowhere")

    assert userquota("serve", folder=folder).err == f"userquota: --listen nowhere: {LISTEN}\n"


def test_the_kubeconfig_of_kubectl_is_the_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "nowhere")

    ended = userquota("serve", folder=folder)

    assert ended.err == "userquota: there is no kubeconfig nowhere: name another with --kubeconfig\n"


@pytest.mark.parametrize("command", [(), ("serve",), ("get",), ("policy", "validate"), ("local", "up")], ids=" ".join)
def test_h_shows_the_help_of_every_command(tmp_path: Path, command: tuple[str, ...]) -> None:
    ended = userquota(*command, "-h", folder=tmp_path)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(" ".join(("Usage: userquota", *command)))


def test_the_version_is_printed(tmp_path: Path) -> None:
    ended = userquota("--version", folder=tmp_path)

    assert (ended.code, ended.out.split()[0]) == (0, "userquota,")


async def test_the_file_of_authorities_follows_them_and_an_error_is_no_end(tmp_path: Path) -> None:
    """After some rotations it had none that was still trusted, and who read it refused every certificate."""
    path, trusted = tmp_path / "ca.crt", [b"one"]
    path.write_bytes(b"one")
    keeping = asyncio.create_task(keep_written(path, lambda: trusted[-1], seconds=0.01))

    async def until_written(bundle: bytes) -> None:
        async with asyncio.timeout(5):
            while not path.exists() or path.read_bytes() != bundle:  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.01)

    await asyncio.sleep(0.02)
    trusted.append(b"one and two")
    await until_written(b"one and two")
    path.unlink()
    path.mkdir()
    trusted.append(b"two")
    await asyncio.sleep(0.05)
    path.rmdir()
    await until_written(b"two")
    keeping.cancel()
