"""The bytes of Sunshine messages: which credentials go where, what refusals mean, signed links, cookies of old."""

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from yarl import URL

from attachsync.sandbox import Fault, Sandbox, serve
from attachsync.sources.sunshine.cookies import Cookie, CookieBox, cookie, netscape
from attachsync.units import moment
from tests.chats import MEDIA, Chats, chatting, client
from tests.ledgers import Shifted


@pytest.fixture
async def chats(tmp_path: Path) -> AsyncIterator[Chats]:
    """Conversations in the sandbox, and a mirror of them."""
    async with chatting(tmp_path) as made:
        yield made


# --- credentials ----------------------------------------------------------------------------------------------------


async def test_private_media_by_the_accounts_credentials(chats: Chats) -> None:
    """With auth = jwt as with basic."""
    chats.box.sunshine.private = True
    chat = chats.conversation()
    chats.send(chat, b"private 1")
    assert not (await chats.sync())[0].incomplete
    chats.account = 'auth = "jwt"'
    chats.send(chat, b"private 2")
    assert not (await chats.sync())[0].incomplete
    assert sorted(chats.shown().values()) == [b"private 1", b"private 2"]


async def test_media_elsewhere_get_no_credentials(chats: Chats, tmp_path: Path) -> None:
    """Another origin is asked without; where it wants some, that is said, with what would help."""
    other = Sandbox()
    runner, port = await serve(other)
    try:
        chat = chats.conversation()
        media = chats.send(chat, b"elsewhere")
        other.sunshine.media[media.path] = media
        chats.box.sunshine.media_origin = f"http://127.0.0.1:{port}/sunshine"
        assert not (await chats.sync())[0].incomplete
        other.sunshine.private = True
        media = chats.send(chat, b"secret")
        other.sunshine.media[media.path] = media
        summary, _ = await chats.sync()
        assert summary.incomplete
        assert len(other.requests) == 2
        for request in other.requests:
            assert not {"Authorization", "Cookie"} & set(request.headers)
        (reason,) = chats.failures()
        assert "HTTP 401" in reason
        assert "media_hosts" in reason
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_media_are_a_fault_of_the_credentials(chats: Chats, status: int) -> None:
    """The word is said; the others go on; and it is tried without credentials too, in turn."""
    chat = chats.conversation()
    media = chats.send(chat, b"refused", "refused.txt")
    chats.box.faults.add(Fault(path=f"/sunshine{media.path}", kind="status", status=status))
    chats.send(chat, b"fine")
    summary, _ = await chats.sync()
    assert summary.incomplete
    assert list(chats.shown().values()) == [b"fine"]
    (reason,) = chats.failures()
    assert f"HTTP {status}" in reason
    assert "credentials" in reason
    assert ["Authorization" in one.headers for one in chats.box.requests if one.status == status] == [True, False]


@pytest.mark.parametrize("status", [404, 410])
async def test_media_that_are_gone(chats: Chats, status: int) -> None:
    chat = chats.conversation()
    media = chats.send(chat, b"gone")
    chats.box.faults.add(Fault(path=f"/sunshine{media.path}", kind="status", status=status))
    await chats.sync()
    assert [row["state"] for row in chats.rows()] == ["gone"]


async def test_a_wrong_key_ends_the_pass_of_the_account(chats: Chats) -> None:
    chats.send(chats.conversation(), b"x")
    chats.secret = "wrong"
    summary, recorder = await chats.sync()
    assert summary.incomplete
    assert "HTTP 401" in recorder.down[0]
    assert not any("wrong" in text or base64.b64encode(b"wrong").decode() in text for text in recorder.down)


@pytest.mark.parametrize(
    "url", ["ftp://x.example/a.txt", "data:text/plain,hello", "http://[::1", "http://10.0.0.1/a", "a.txt"]
)
async def test_links_that_must_not_be_followed(chats: Chats, url: str) -> None:
    """They are refused, and the rest goes on."""
    chat = chats.conversation()
    chats.send(chat, b"x", mediaUrl=url)
    chats.send(chat, b"fine")
    await chats.sync()
    assert sorted(str(row["state"]) for row in chats.rows()) == ["refused", "stored"]


# --- signed links ---------------------------------------------------------------------------------------------------


async def test_signed_links_are_not_kept_and_asked_for_again(chats: Chats) -> None:
    """Neither key nor index holds the query; a later pass asks the message's page for the link it has then."""
    chat = chats.conversation()
    media = [chats.send(chat, b"%d" % n, f"{n}.txt") for n in range(3)]
    for message in chat.messages:
        message["content"]["mediaUrl"] += "?sig=first"
    chats.box.faults.add(Fault(path=MEDIA, query="*sig=first*", kind="status", status=403))
    summary, _ = await chats.sync()
    assert summary.incomplete
    assert ["credentials" in reason for reason in chats.failures()] == [True] * 3
    for message in chat.messages[1:]:
        message["content"]["mediaUrl"] = message["content"]["mediaUrl"].replace("first", "second")
    chats.box.sunshine.strict_cursors = True
    chats.box.sunshine.remove_messages(chat, {chat.messages[0]["id"]})
    summary, _ = await chats.sync()
    assert chats.states(chat) == ["gone", "stored", "stored"]
    assert media[1].path in [one.path.removeprefix("/sunshine") for one in chats.box.requests]
    for path in (chats.root / "mirror/.attachsync").rglob("*"):
        assert not path.is_file() or b"sig=" not in path.read_bytes()


async def test_a_signed_link_of_a_message_that_is_listed_alone(chats: Chats) -> None:
    """The first of a conversation, and one that came since the last pass: never asked for without its query."""
    chat = chats.conversation()
    for name in ("first", "second"):
        chats.send(chat, name.encode(), f"{name}.txt")
        content = chat.messages[-1]["content"]
        content["mediaUrl"] += "?sig=old"
        chats.box.faults.add(Fault(path=MEDIA, query="*sig=old*", kind="status", status=403))
        summary, _ = await chats.sync()
        assert summary.incomplete
        content["mediaUrl"] = content["mediaUrl"].replace("old", "new")
        summary, _ = await chats.sync()
        assert not summary.incomplete
        assert {query["sig"] for query in chats.asked(MEDIA)} == {"new"}
    assert sorted(chats.shown().values()) == [b"first", b"second"]


async def test_the_legacy_way_by_media_token_and_cookie(chats: Chats) -> None:
    """Only a cookie opens it: signed in once for all files, and sent without the account's credentials."""
    chats.box.sunshine.legacy_urls = chats.box.sunshine.private = chats.box.sunshine.cookie_only = True
    chat = chats.conversation()
    chats.account = "concurrency = 1"
    for number in range(3):
        chats.send(chat, b"legacy %d" % number)
    summary, _ = await chats.sync()
    assert not summary.incomplete
    assert len(chats.shown()) == 3
    assert chats.box.count("POST", "*/attachments/token") == chats.box.count("GET", "*/attachments/cookie") == 1
    media = [one for one in chats.box.requests if one.path.startswith("/sunshine/apps/")]
    assert [(one.status, "Cookie" in one.headers, "Authorization" in one.headers) for one in media] == [
        (401, False, True),
        *[(200, True, False)] * 3,
    ]


async def test_storage_that_takes_no_key_may_call_it_a_bad_request(chats: Chats) -> None:
    """The cookie is what opens it; a bad request is one where nothing was sent that could be."""
    chats.box.sunshine.legacy_urls = chats.box.sunshine.private = chats.box.sunshine.cookie_only = True
    chats.account = "concurrency = 1"
    chats.send(chats.conversation(), b"legacy")
    chats.box.faults.add(Fault(path="/sunshine/apps/*", kind="status", status=400, times=1))
    assert not (await chats.sync())[0].incomplete
    assert list(chats.shown().values()) == [b"legacy"]
    chats.send(chats.conversation(), b"more", "more.txt")
    chats.box.faults.add(Fault(path="/sunshine/apps/*", kind="status", status=400))
    assert (await chats.sync())[0].incomplete
    (reason,) = chats.failures()
    assert "HTTP 400" in reason
    assert "credentials" not in reason


async def test_the_legacy_way_is_left_where_there_are_no_tokens(chats: Chats) -> None:
    """It is said that credentials are the trouble; tokens are not asked for with each file."""
    chats.box.sunshine.legacy_urls = chats.box.sunshine.private = chats.box.sunshine.cookie_only = True
    chats.box.faults.add(Fault(path="*/attachments/token", kind="status", status=404))
    chat = chats.conversation()
    for number in range(3):
        chats.send(chat, b"legacy %d" % number)
    summary, _ = await chats.sync()
    assert summary.incomplete
    assert ["credentials" in reason for reason in chats.failures()] == [True] * 3
    assert chats.box.count("POST", "*/attachments/token") == 1


async def test_a_cookie_that_has_ended_is_signed_in_again(chats: Chats) -> None:
    """Before it is used, by its own time; and when it is refused although it should live."""
    chats.box.sunshine.legacy_urls = chats.box.sunshine.cookie_only = True
    chat = chats.conversation()
    media = chats.box.sunshine.add_media(b"x", "a.txt", "text/plain", chat)
    async with client(chats) as http:
        clock = Shifted()
        http.clock = clock
        box = CookieBox(http, chats.box.sunshine.app_id)
        url = URL(chats.base + media.path)
        first = await box.header(url)
        assert first is not None
        assert first == await box.header(url)
        assert await box.header(URL("http://127.0.0.2/sunshine" + media.path)) is None
        box.forget()  # it is new: another one would not do better
        assert await box.header(url) == first
        clock.ahead = 7300.0
        await box.header(url)
        assert chats.box.count("GET", "*/attachments/cookie") == 2


async def test_a_cookie_does_not_follow_to_another_origin(chats: Chats) -> None:
    """Neither it nor the account's credentials, wherever a media URL leads."""
    other = Sandbox()
    runner, port = await serve(other)
    try:
        media = other.sunshine.add_media(b"moved", "a.txt")
        target = f"http://127.0.0.1:{port}/sunshine{media.path}"
        chats.box.faults.add(Fault(path="/sunshine/apps/*", kind="redirect", location=target))
        async with client(chats) as http:
            for signature in ({"Cookie": "smoochMedia=secret"}, None):
                async with http.stream(http.url("/apps/1/a.txt"), signature=signature) as body:
                    assert b"".join([chunk async for chunk in body.chunks]) == b"moved"
        assert [name for name in ("Cookie", "Authorization") if name in chats.box.requests[0].headers] == ["Cookie"]
        assert "Authorization" in chats.box.requests[1].headers
        for request in other.requests:
            assert not {"Authorization", "Cookie"} & set(request.headers)
    finally:
        await runner.cleanup()


# --- cookies as such ---


def _cookies() -> Iterator[tuple[str, str, bool]]:
    yield "a=1", "https://api.smooch.io/v2/x", True
    yield "a=1", "https://media.smooch.io/v2/x", False
    yield "a=1; Domain=.smooch.io; Path=/", "https://media.smooch.io/apps/1", True
    yield "a=1; Domain=smooch.io; Path=/apps/1", "https://media.smooch.io/apps/12", False
    yield "a=1; Domain=smooch.io; Path=/; Secure", "http://media.smooch.io/", False
    yield "a=1; Domain=smooch.io; Path=/", "https://evilsmooch.io/", False


@pytest.mark.parametrize(("header", "url", "goes"), list(_cookies()))
def test_where_cookies_go(header: str, url: str, goes: bool) -> None:
    """By standard rules."""
    found = cookie(header, URL("https://api.smooch.io/v2/apps"), 0)
    assert found is not None
    assert found.goes_to(URL(url)) is goes


def test_cookies_that_are_none_and_when_they_end() -> None:
    here = URL("https://api.smooch.io/v2/apps")
    for header in ("", "a", "=1", "a=1; Domain=io", "a=1; Domain=example.org", "a=\t1\x01", "a=é"):
        assert cookie(header, here, 0) is None, header
    assert cookie("a=1; Max-Age=60; Expires=x", here, 5) == Cookie(
        "a", "1", "api.smooch.io", False, "/v2", False, False, 65
    )
    (line,) = netscape([Cookie("a", "1", "smooch.io", True, "/x", True, True, 65.5)]).splitlines()[1:]
    assert line.split("\t") == ["#HttpOnly_.smooch.io", "TRUE", "/x", "TRUE", "65", "a", "1"]
    dated = cookie("a=1; expires=Thu, 01 Jan 2026 00:00:00 GMT", here, 0)
    assert dated is not None
    assert dated.expires == moment("2026-01-01T00:00:00Z")
    assert "1" not in repr(cookie("a=1", here, 0)).replace("v2", "")
