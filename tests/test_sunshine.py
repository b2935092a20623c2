"""Sunshine as we read its documents: signing, refusing, forms, answers; and the sender against the sandbox."""

import asyncio
import base64
import json
from collections.abc import Mapping

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from attachsync import keys, multipart, units
from attachsync.answers import Reply, explain
from attachsync.credentials import Secret
from attachsync.errors import AttachsyncError, AuthFailedError, RefusedError, RejectedError, UnavailableError
from attachsync.keys import Place
from attachsync.model import Digest, Draft
from attachsync.retry import DAY
from attachsync.sandbox import Fault
from attachsync.sources.sunshine import SERVICE, rules
from attachsync.sources.sunshine import sender as sender_module
from attachsync.sources.sunshine.credentials import basic
from attachsync.sources.sunshine.keys import AccountKeys, OutboxKeys
from attachsync.sources.sunshine.sender import Destination, SunshineSender
from attachsync.sources.sunshine.tokens import signed_with, token
from tests.outboxes import MESSAGES, REMOVE, UPLOAD, Leaping, rig

KEY = "app_5963ceb97cde542d000dbdb1"
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImFwcF81OTYzY2ViOTdjZGU1NDJkMDAwZGJkYjEifQ"
    ".eyJzY29wZSI6ImFwcCJ9.3PLnSnTMj9W-qj3q7iKV39_x8OsoWAwdXaMMFMGYpJ8"
)
DRAFT = Draft("ticket-1", "shot 1.png", "image/png", 5, Digest("ab" * 32))

jsons = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["attachment", "mediaUrl", "mediaType", "messages", "meta", "hasMore", "beforeCursor", "id", "received"]
            ),
            inner,
        )
    ),
)

# --- signing --------------------------------------------------------------------------------------------------------


def test_the_documented_vectors():
    """Basic and JWT, byte for byte (specs/sunshine.md 7)."""
    assert basic(KEY, "s3cr3t") == "Basic YXBwXzU5NjNjZWI5N2NkZTU0MmQwMDBkYmRiMTpzM2NyM3Q="
    assert token(KEY, "s3cr3t") == VECTOR


@pytest.mark.parametrize(("prefix", "scope"), [("app_", "app"), ("int_", "integration"), ("act_", "account")])
def test_a_tokens_scope_is_its_keys(prefix, scope):
    """The scope follows the key id's prefix; a token is short-lived, and says when it was made."""
    signed = token(prefix + "1", "secret", 1_000_000.5)
    claims = json.loads(base64.urlsafe_b64decode(signed.split(".")[1] + "=="))
    assert claims["scope"] == scope
    assert claims["iat"] <= 1_000_000 < claims["exp"] <= 1_000_600
    assert signed_with(signed, "secret")
    assert not signed_with(signed, "another")


@pytest.mark.parametrize("auth", ["basic", "jwt"])
async def test_both_ways_sign_in(tmp_path, auth):
    """The sandbox accepts both."""
    async with rig(tmp_path, auth=auth) as one:
        one.drop()
        assert (await one.flush()).sent == 1
        scheme = "Basic" if auth == "basic" else "Bearer"
        assert one.box.requests[-1].headers["Authorization"] == f"{scheme} (valid)"


@pytest.mark.parametrize("auth", ["basic", "jwt"])
async def test_a_secret_is_renewed_once_per_change(tmp_path, auth):
    """401 with the same secret: no second request. With another secret in the file: one."""
    async with rig(tmp_path, auth=auth) as one:
        credentials = SERVICE.credentials(one.account)
        used = await credentials.headers(one.http)
        assert await credentials.renew(used) is False
        (tmp_path / "secret").write_text("another")
        assert await credentials.renew(used) is True
        assert await credentials.renew(await credentials.headers(one.http)) is False
        sender = sender_of(one)
        with pytest.raises(AuthFailedError) as caught:
            await sender.delete({"media_url": one.account.base_url + "/x"})
        assert one.box.count("POST", REMOVE) == 1
        for word in ("another", "s3cr3t", base64.b64encode(b"another").decode()):
            assert word not in str(caught.value)


# --- config ---------------------------------------------------------------------------------------------------------


def read(table, values, tmp_path):
    """A table read from a config, and its faults."""
    faults = []
    found = keys.read(table, values, Place(tmp_path), lambda key, _text: faults.append(key))
    return found, faults


def test_account_keys(tmp_path):
    """app_id, key_id and secret_file are required; auth is basic unless said otherwise."""
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_text("s3cr3t")
    values = {"app_id": "5d8c", "key_id": KEY, "secret_file": "secret"}
    found, _ = read(AccountKeys, values, tmp_path)
    assert found == AccountKeys("5d8c", KEY, Secret(tmp_path / "secret"), "basic")
    assert read(AccountKeys, {}, tmp_path)[1] == ["app_id", "key_id", "secret_file"]
    assert read(AccountKeys, values | {"auth": "digest"}, tmp_path)[1] == ["auth"]
    assert list(SERVICE.faults(found)) == []
    odd, _ = read(AccountKeys, values | {"key_id": "svc_1", "auth": "jwt"}, tmp_path)
    assert [key for key, _ in SERVICE.faults(odd)] == ["auth"]


def test_outbox_keys(tmp_path):
    """Defaults, words, and `send` needs `conversation`."""
    assert read(OutboxKeys, {}, tmp_path)[0] == OutboxKeys("public", None, None, False)
    found, faults = read(OutboxKeys, {"for": "message", "conversation": "c6", "send": True}, tmp_path)
    assert (found, faults) == (OutboxKeys("public", "message", "c6", True), [])
    assert read(OutboxKeys, {"for": "ticket", "access": "secret", "send": "yes"}, tmp_path)[1] == [
        "access",
        "for",
        "send",
    ]
    assert [key for key, _ in SERVICE.push.faults(OutboxKeys(send=True), None)] == ["send"]
    assert list(SERVICE.push.faults(found, None)) == []
    assert SERVICE.base_url == "https://api.smooch.io"


# --- what is refused ------------------------------------------------------------------------------------------------


def test_the_list_of_extensions_is_the_services():
    """62 extensions, in any case; others, none at all, and hidden names are refused."""
    assert len(rules.EXTENSIONS) == 62
    assert all(rules.refusal(f"x.{extension}", 1) is None for extension in rules.EXTENSIONS)
    assert rules.refusal("PHOTO.JPG", 1) is None
    for name in ("x.exe", "x", "x.", ".pdf", "x.pdf.html", "x.json"):
        assert rules.refusal(name, 1)[0] == "type_not_allowed", name


def test_the_limit_is_fifty_million_bytes():
    """Exactly 50,000,000 bytes are let through; one more is not, whatever the name."""
    assert rules.refusal("x.pdf", 50_000_000) is None
    reason = "50,000,001 bytes are more than the 50,000,000 that Sunshine takes"
    assert rules.refusal("x.pdf", 50_000_001) == ("too_large", reason)


# --- forms and answers ----------------------------------------------------------------------------------------------


class Sink:
    """What a form was written to."""

    def __init__(self):
        self.body = b""

    async def write(self, block):
        self.body += block


async def test_the_form_is_the_documented_one(tmp_path):
    """The body of the vector, byte for byte but for the boundary; its length is announced; it can be sent again."""
    (tmp_path / "note.txt").write_bytes(b"hi")
    with (tmp_path / "note.txt").open("rb") as file:
        form = multipart.FileForm("source", "note.txt", "text/plain", file, 2)
        boundary = form.content_type.partition("boundary=")[2]
        for _ in range(2):
            sink = Sink()
            await form.write(sink)
            assert sink.body.decode().replace("\r\n", "\n") == (
                f"--{boundary}\n"
                'Content-Disposition: form-data; name="source"; filename="note.txt"\n'
                "Content-Type: text/plain\n\nhi\n"
                f"--{boundary}--\n"
            )
            assert form.size == len(sink.body)
            assert form.decode().encode() == sink.body


def test_a_name_cannot_leave_its_header():
    """Only quotes and line ends are escaped; a backslash and umlauts stay as they are."""
    assert 'filename="%1B%00%7F.txt"' in multipart.head("B", "source", "\x1b\0\x7f.txt", "text/plain").decode()
    header = multipart.head("B", "source", 'a"b\r\nX-Evil: 1\\ü.txt', "text/plain").decode()
    assert 'filename="a%22b%0D%0AX-Evil: 1\\ü.txt"\r\n' in header
    assert header.count("\r\n") == 4


async def test_a_file_that_shrinks_breaks_the_form(tmp_path):
    """Fewer bytes than announced: an error, not a hanging request."""
    (tmp_path / "x").write_bytes(b"12345")
    with (tmp_path / "x").open("rb") as file, pytest.raises(OSError, match="shorter"):
        await multipart.FileForm("source", "x", "text/plain", file, 6).write(Sink())


def test_uploads_answers():
    """The documented shapes; an answer without an address is none."""
    url = "https://acme.zendesk.com/sc/attachments/v2/01JK/Q3%20report%20%C3%A9t%C3%A9.pdf"
    assert rules.uploaded({"attachment": {"mediaUrl": url, "mediaType": "application/pdf"}}) == (url, "application/pdf")
    assert rules.uploaded({"attachment": {"mediaUrl": url}}) == (url, "")
    for answer in ({}, [], None, {"attachment": None}, {"attachment": {"mediaUrl": ""}}, {"mediaUrl": url}):
        assert rules.uploaded(answer) is None


@given(jsons)
def test_no_answer_breaks_the_readers(answer):
    """Whatever JSON comes, reading it raises nothing."""
    rules.uploaded(answer)
    assert all(isinstance(one, Mapping) for one in rules.messages(answer))
    assert rules.marked(answer, "ticket", "https://x/y") is None
    cursor = rules.older(answer, 0.0)
    assert cursor is None or isinstance(cursor, str)


def test_a_message_is_an_image_only_where_the_service_says_so():
    """Our own guess does not count: the answer's mediaType does."""
    receipt = {"media_url": "https://x/y"}
    assert rules.message(DRAFT, receipt)["content"]["type"] == "file"
    posted = rules.message(DRAFT, receipt | {"media_type": "image/png"})
    assert posted["content"] == {"type": "image", "mediaUrl": "https://x/y", "altText": "shot 1.png"}
    assert posted["metadata"] == {"attachsync_id": "ticket-1"}
    assert posted["author"] == {"type": "business"}


def test_walking_back_ends():
    """The cursor of the older page; none when there is no more, or all is from before."""
    page = {
        "messages": [{"id": "b", "received": "2026-08-01T12:00:00.000Z"}, {"id": "a", "received": "nonsense"}],
        "meta": {"hasMore": True, "beforeCursor": "a"},
    }
    noon = 1_785_585_600.0
    assert rules.older(page, noon) == "a"
    assert rules.older(page, noon + 1) is None
    assert rules.older(page | {"meta": {"hasMore": True}}, noon) == "a"
    assert rules.older(page | {"meta": {"hasMore": False, "beforeCursor": "a"}}, noon) is None


# --- the sender -----------------------------------------------------------------------------------------------------


def sender_of(one, **changes):
    """A sender of the rig's account."""
    to = {"app_id": one.box.sunshine.app_id, "access": "public", "purpose": None, "conversation": None, "send": False}
    return SunshineSender(one.http, Destination(**(to | changes)))


async def test_upload_and_delete(tmp_path):
    """What was uploaded can be deleted by its receipt, once."""
    async with rig(tmp_path) as one:
        path = one.drop("note.txt", b"hello")
        sender = sender_of(one)
        with path.open("rb") as file:
            receipt = await sender.upload(Draft("t", "note.txt", "text/plain", 5, DRAFT.sha256), file)
        assert receipt.keys() == {"media_url", "app_id", "access", "media_type"}
        assert await sender.delete(receipt) is True
        assert await sender.delete(receipt) is False
        with pytest.raises(RejectedError):
            await sender.delete({"media_url": "https://elsewhere.example/x"})


@pytest.mark.parametrize("kind", ["html", "truncate"])
async def test_a_2xx_that_says_nothing_is_an_unknown_outcome(tmp_path, kind):
    """The file may be there: not an error that may be repeated freely."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind=kind, after=3))
        path = one.drop("note.txt", b"hello")
        with path.open("rb") as file, pytest.raises(UnavailableError) as caught:
            await sender_of(one).upload(Draft("t", "note.txt", "text/plain", 5, DRAFT.sha256), file)
        assert caught.value.sent is True


async def test_delivering_looks_no_further_than_a_day_before(tmp_path):
    """With `since`, pages from before the day before the attempt are not asked for."""
    clock = Leaping()
    async with rig(tmp_path, clock) as one:
        state = one.box.sunshine
        state.message_page = 5
        conversation = state.add_conversation()
        media = state.add_media(b"hello", "note.txt")
        for number in range(50):
            state.add_message(conversation, f"{number}")
        receipt = {"media_url": media.url.replace("sandbox:", one.account.base_url)}
        sender = sender_of(one, conversation=conversation.id, send=True)
        said = await sender.deliver(DRAFT, receipt, clock.now())
        assert one.box.count("GET", MESSAGES) == 1
        assert await sender.deliver(DRAFT, receipt, clock.now()) == said
        assert len(conversation.messages) == 51


@pytest.mark.parametrize(("shown", "mark"), [("y", {rules.TICKET: DRAFT.ticket}), ("x", None)])
async def test_delivering_looks_back_to_the_upload(tmp_path, shown, mark):
    """After days of tries that came to nothing, `since` is of the latest: the first may have posted it all the same.

    It is known by our ticket, or by the address of the upload, which no other message shows (specs/sunshine.md 8).
    """
    clock = Leaping()
    async with rig(tmp_path, clock) as one:
        state = one.box.sunshine
        state.message_page = 5
        conversation = state.add_conversation()
        now = clock.now()
        state.now = units.utc(now - 4 * DAY)
        content = {"type": "file", "mediaUrl": shown}
        posted = state.add_message(conversation, content, "business", mark)
        for days in (3, 2, 1, 0):
            state.now = units.utc(now - days * DAY)
            for number in range(5):
                state.add_message(conversation, f"{number}")
        receipt = {"media_url": "x", "uploaded_at": units.rfc3339(now - 4 * DAY) or ""}
        sender = sender_of(one, conversation=conversation.id, send=True)
        assert await sender.deliver(DRAFT, receipt, now) == {"message_id": posted["id"]}
        assert one.box.count("POST", MESSAGES) == 0


async def test_a_receipt_of_another_app_is_not_asked_for(tmp_path):
    """This app would say 404, as if it were gone: nothing is asked, nothing is said to be deleted."""
    async with rig(tmp_path) as one:
        with pytest.raises(AttachsyncError, match="it was uploaded to app other, and account support is of app"):
            await sender_of(one).delete({"media_url": f"{one.account.base_url}/x", "app_id": "other"})
        assert one.box.count("POST", REMOVE) == 0


def test_a_400_with_several_errors():
    """All are said, each once (specs/sunshine.md 3.4)."""
    titles = ("too long", "no such type", "too long")
    body = json.dumps({"errors": [{"code": "bad_request", "title": title} for title in titles]})
    assert explain(body.encode()) == ("bad_request", "too long; no such type")


async def test_a_conversation_whose_pages_do_not_end(tmp_path):
    """The same cursor again and again: nothing is posted, nobody loops."""
    async with rig(tmp_path) as one:
        conversation = one.box.sunshine.add_conversation()
        page = {"messages": [], "meta": {"hasMore": True, "beforeCursor": "x"}}
        one.box.faults.add(Fault(path=MESSAGES, method="GET", kind="json", value=page))
        with pytest.raises(UnavailableError, match="do not end"):
            await sender_of(one, conversation=conversation.id, send=True).deliver(DRAFT, {"media_url": "x"}, 0.0)
        assert conversation.messages == []


async def test_a_stalled_upload_is_given_up(tmp_path, monkeypatch):
    """A server that stops reading in the middle of a large body: given up, not waited for without end."""
    monkeypatch.setattr(multipart, "_STALLED", 0.2)

    async def ignore(reader, writer):
        reader._transport.pause_reading()
        await over.wait()
        writer.transport.abort()

    over = asyncio.Event()
    server = await asyncio.start_server(ignore, "127.0.0.1", 0, limit=1)
    port = server.sockets[0].getsockname()[1]
    async with rig(tmp_path) as one:
        object.__setattr__(one.account, "base_url", f"http://127.0.0.1:{port}")
        one.http.boundary.__init__(one.account.base_url)
        path = one.drop("film.mp4", bytes(30_000_000))
        with path.open("rb") as file, pytest.raises(UnavailableError):
            await sender_of(one).upload(Draft("t", "film.mp4", "video/mp4", 30_000_000, DRAFT.sha256), file)
    over.set()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0)


async def test_a_large_upload_may_be_examined_for_longer(tmp_path):
    """How long a service may say nothing after the last byte depends on how many there were (8)."""

    async def answer(request):
        form = await request.read()
        await asyncio.sleep(0.4)
        return web.json_response({"attachment": {"mediaUrl": f"https://x/{len(form)}"}}, status=201)

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with rig(tmp_path, quiet=0.1) as one:
        object.__setattr__(one.account, "base_url", "http://{}:{}".format(*runner.addresses[0]))
        one.http.boundary.__init__(one.account.base_url)
        for size in (10, 1_000_000):
            draft = Draft("t", "film.mp4", "video/mp4", size, DRAFT.sha256)
            with one.drop("film.mp4", bytes(size)).open("rb") as file:
                if size == 10:
                    with pytest.raises(UnavailableError, match="timed out"):
                        await sender_of(one).upload(draft, file)
                else:
                    assert (await sender_of(one).upload(draft, file))["media_url"]
    await runner.cleanup()


@pytest.mark.parametrize(
    ("kind", "words"),
    [("reset", "reset by peer|the connection broke"), ("lost", "closed the connection|reset by peer")],
)
async def test_a_connection_that_breaks_is_told_in_words(tmp_path, kind, words):
    """Not by the name of an error's class."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind=kind))
        with one.drop("note.txt", b"hello").open("rb") as file, pytest.raises(UnavailableError, match=words) as raised:
            await sender_of(one).upload(Draft("t", "note.txt", "text/plain", 5, DRAFT.sha256), file)
        assert "Error" not in str(raised.value)
        with pytest.raises(RefusedError, match="support: GET file:/…: a link to file: is not followed"):
            await one.http.get(URL("file:///etc/passwd"))


def test_answers_that_are_no_json():
    """A reply of another kind is an unknown outcome for whoever posted."""
    with pytest.raises(UnavailableError):
        sender_module._json(Reply(200, {}, b"<html>", "support: POST /x"))
