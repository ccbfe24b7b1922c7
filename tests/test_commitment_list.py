"""A list of commitments fetched from a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from tests.commitment_servers import Answer, Source, serving
from webhook.commitment_list import CommitmentList, CommitmentListError

LIST = "commitments: {}\n"
TOKEN = "s3cr3t"  # noqa: S105 - of a test


def answering(**given: object) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(**given)  # type: ignore[arg-type]

    return answer


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return made


def listed(source: Source, folder: Path, **given: object) -> CommitmentList:
    files = {"token_file": folder / "token", "ca_file": folder / "ca.crt"}
    return CommitmentList(source.address, **{**files, **given})  # type: ignore[arg-type]


async def failure(fetched: CommitmentList) -> str:
    with pytest.raises(CommitmentListError) as caught:
        await fetched.read()
    assert TOKEN not in str(caught.value)
    return str(caught.value)


async def test_it_is_asked_for_with_the_token_of_the_moment(authority: trustme.CA, tmp_path: Path) -> None:
    async with serving(authority, answering(text=LIST)) as source:
        fetched = listed(source, tmp_path)
        assert await fetched.read() == LIST
        (tmp_path / "token").write_text("another")
        await fetched.read()
    assert [each.headers["Authorization"] for each in source.asked] == [f"Bearer {TOKEN}", "Bearer another"]
    assert "If-None-Match" not in source.asked[1].headers


async def test_a_list_that_is_the_same_is_not_sent_again(authority: trustme.CA, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("If-None-Match") == '"7"':
            return web.Response(status=304)
        return web.Response(text=LIST, headers={"ETag": '"7"'})

    async with serving(authority, answer) as source:
        fetched = listed(source, tmp_path)
        assert [await fetched.read() for _ in range(2)] == [LIST, LIST]
    assert [each.headers.get("If-None-Match") for each in source.asked] == [None, '"7"']


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answering(status=503), "it answers 503"),
        (answering(status=401), "it answers 401"),
        (answering(status=304), "it answers 304"),
        (answering(status=302, headers={"Location": "https://127.0.0.1:1/"}), "it answers 302"),
        (answering(body=b"commitments: {\xff}"), "its answer is not UTF-8 at byte 14"),
        (answering(body=gzip.compress(b"x")), "its answer is not UTF-8 at byte 1"),
        (answering(text="x" * 101), "it answers with more than 100 bytes"),
    ],
    ids=["in trouble", "not the token", "not asked for", "elsewhere", "not UTF-8", "packed", "too large"],
)
async def test_another_answer_is_none(
    authority: trustme.CA,
    tmp_path: Path,
    answer: Answer,
    why: str,
) -> None:
    async with serving(authority, answer) as source:
        assert await failure(listed(source, tmp_path, most_bytes=100)) == f"{source.address}: {why}"
        assert len(source.asked) == 1


async def test_an_answer_that_breaks_off_is_none(authority: trustme.CA, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(LIST.encode())
        assert request.transport is not None
        request.transport.close()
        return response

    async with serving(authority, answer) as source:
        assert (await failure(listed(source, tmp_path))).startswith(f"{source.address}: ")


async def test_an_answer_that_takes_too_long_is_none(authority: trustme.CA, tmp_path: Path) -> None:
    """One byte now and then is too long as well."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    async with serving(authority, answer) as source:
        told = await failure(listed(source, tmp_path, seconds=0.3))
        assert told == f"{source.address}: no answer within 0.3 seconds"


async def test_only_the_authority_of_the_file_is_believed(authority: trustme.CA, tmp_path: Path) -> None:
    async with serving(trustme.CA(), answering(text=LIST)) as source:
        assert "certificate verify failed" in await failure(listed(source, tmp_path))
        assert source.asked == []


async def test_nobody_there_is_told(authority: trustme.CA, tmp_path: Path) -> None:
    async with serving(authority, answering(text=LIST)) as source:
        pass
    assert (await failure(listed(source, tmp_path))).startswith(f"{source.address}: Cannot connect to host")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("token", None, "token: No such file or directory"),
        ("token", b"s3cr3t two", "token: expected one token, without spaces"),
        ("token", b"", "token: expected one token, without spaces"),
        ("token", b"s3cr3t\xff", "token: it is not ASCII"),
        ("ca.crt", None, "ca.crt: No such file or directory"),
        ("ca.crt", b"no certificate", "ca.crt: no certificates in it"),
    ],
)
async def test_without_its_files_nothing_is_asked(
    authority: trustme.CA, tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    async with serving(authority, answering(text=LIST)) as source:
        assert (await failure(listed(source, tmp_path))).endswith(why)
        assert source.asked == []


@pytest.mark.parametrize("address", ["http://a/list", "https:///list", "https://u:p@a/list", "https://a:99999/list"])
def test_what_is_no_address_of_https_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(CommitmentListError) as caught:
        CommitmentList(address)
    assert address not in str(caught.value)


def test_its_name_has_no_secret_of_a_query() -> None:
    assert CommitmentList("https://a.example/list?key=s3cr3t#x").name == "https://a.example/list"
