"""Small pure parts: units, retry delays, origins, answers, settling is in test_settle."""

import json
from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from attachsync import answers, discretion, origins, retry, units
from attachsync.canonical import canonical, compact
from attachsync.errors import (
    AuthFailedError,
    MalformedError,
    RateLimitedError,
    RefusedError,
    RejectedError,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5400), ("30d", 2592000), ("250ms", 0.25), (7, 7), ("7", 7)]
)
def test_durations(text: object, seconds: float) -> None:
    """A decimal number and a unit, or a plain number of seconds."""
    assert units.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5 minutes", "-1s", "1e3s", "5M", True, None, float("inf"), "٣s"])
def test_wrong_durations_say_what_would_be_right(text: object) -> None:
    """Anything else is refused, with an example."""
    with pytest.raises(ValueError, match="5m"):
        units.seconds(text)


@pytest.mark.parametrize(("text", "size"), [("2GiB", 2**31), ("1.5kB", 1500), ("512MiB", 2**29), ("10", 10), (0, 0)])
def test_sizes(text: object, size: int) -> None:
    """Decimal and binary prefixes."""
    assert units.size(text) == size


SAID = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(SAID)
@example({"b": 2**70, "a": "Größe"})
@example({"\ud800": "\udfff", "a": ["\0"]})
def test_json_is_the_same_text_whatever_the_order_of_its_keys(value: object) -> None:
    """Of both kinds, and it is read back as the same; `canonical` is ASCII."""
    for text_of in (canonical, compact):
        text = text_of(value)
        assert text == text_of(turned(value))
        assert json.loads(text) == value
    assert canonical(value).isascii()


def turned(value: object) -> object:
    """The same value, the keys the other way round."""
    if isinstance(value, dict):
        return {name: turned(value[name]) for name in reversed(value)}
    return [turned(one) for one in value] if isinstance(value, list) else value


@given(st.integers(1, 60), st.floats(0, 1))
def test_delays_double_up_to_a_cap(failures: int, spread: float) -> None:
    """Never longer than the cap, never shorter than half, never shrinking without jitter."""
    assert 2.5 <= retry.delay(failures, spread=spread) <= 3600
    assert retry.delay(failures, spread=0) <= retry.delay(failures + 1, spread=0)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("2.5", 2.5),
        ("0", 0),
        ("-3", 0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50),
        ("Thu, 01 Jan 1970 00:01:00 -0000", 50),
        ("Thu, 01 Jan 1970 01:01:00 +0100", 50),
        ("soon", None),
        (None, None),
        ("inf", None),
    ],
)
def test_waits_that_services_ask_for(header: str | None, wait: float | None) -> None:
    """Seconds, decimal or not, or an HTTP date; ten seconds after 1970 began."""
    assert retry.wait_asked(header, 10.0) == wait


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind"),
    [
        (429, {"Archivist-Rate-Limit-Reset": "2.5"}, b"", RateLimitedError),
        (401, {}, b"<html>", AuthFailedError),
        (403, {}, b'{"code":7,"message":"no"}', RejectedError),
        (404, {}, b'{"errors":[{"code":"not_found","title":"Attachment not found"}]}', RejectedError),
        (503, {"Retry-After": "3"}, b"", UnavailableError),
        (302, {}, b"", MalformedError),
    ],
)
def test_the_class_of_an_error_says_how_far_it_reaches(
    status: int, headers: dict[str, str], body: bytes, kind: type[Exception]
) -> None:
    """Statuses map to reactions; the message names account and status."""
    error = answers.fault(status, headers, body, "ledger: GET /x", 0.0)
    assert type(error) is kind
    assert "ledger" in str(error)
    assert str(status) in str(error)


def test_rate_limit_header_of_datatrails_wins() -> None:
    """specs/datatrails.md 3: Archivist-Rate-Limit-Reset, a float."""
    error = answers.fault(429, {"Archivist-Rate-Limit-Reset": "2.5", "Retry-After": "9"}, b"", "", 0.0)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == 2.5


@pytest.mark.parametrize(("ours", "date", "wait"), [(7260.0, 60, 3), (0.0, 60, 3), (61.0, None, 2), (61.0, "noon", 2)])
def test_a_date_to_wait_for_is_by_the_clock_of_who_names_it(ours: float, date: int | str | None, wait: float) -> None:
    """Two hours ahead or a minute behind, ours is not asked, unless the answer does not say when it is."""
    headers = {"Retry-After": formatdate(63, usegmt=True)}
    if date is not None:
        headers["Date"] = date if isinstance(date, str) else formatdate(date, usegmt=True)
    error = answers.fault(429, headers, b"", "", ours)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == wait
    assert answers.wait_asked(headers, ours) == wait


@pytest.mark.parametrize("length", [150, 180, 185, 190, 250])
def test_a_secret_is_taken_out_before_words_are_cut(length: int) -> None:
    """So nothing is taken for one that was cut off, but where words of others have been cut already."""
    said = json.dumps({"message": "z" * length + " of rak_secret1234"}).encode()
    assert answers.explain(said, ["rak_secret1234"])[1] == ("z" * length + " of (a key)")[:200]
    _, cut = answers.explain(said)
    for error in (RejectedError(f"x: {cut}", status=400, detail=cut), RejectedError("bad rak_", status=400)):
        told = str(discretion.discreet(error, ["rak_secret1234"]))
        assert told == "bad rak_" or "rak_" not in told


@given(st.binary(max_size=300))
def test_error_bodies_are_never_trusted(body: bytes) -> None:
    """Any bytes give some text without control characters."""
    code, detail = answers.explain(body)
    assert (code + detail).isprintable()


def test_lone_surrogates_in_json_become_text() -> None:
    """They could be neither stored nor shown."""
    reply = answers.Reply(200, {}, b'{"a": "x\\ud800y"}', "")
    assert reply.object() == {"a": "x?y"}


def test_deep_json_is_malformed() -> None:
    """And not a crash."""
    with pytest.raises(MalformedError):
        answers.Reply(200, {}, b"[" * 100_000, "ledger: GET /x").json()


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://app.datatrails.ai/x", True),
        ("https://cdn.example.org/x", True),
        ("http://cdn.example.org/x", False),
        ("https://127.0.0.1/x", False),
        ("https://10.0.0.5/x", False),
        ("https://[::1]/x", False),
        ("https://[::ffff:169.254.169.254]/x", False),
        ("https://169.254.169.254/latest", False),
        ("https://127.1/x", False),
        ("https://2130706433/x", False),
        ("https://0x7f.0.0.1/x", False),
        ("https://0300.0250.0.1/x", False),
        ("https://134744072/x", True),
        ("https://[64:ff9b::a00:1]/x", False),
        ("https://[64:ff9b::808:808]/x", True),
        ("https://[64:ff9b:1::808:808]/x", False),
        ("https://[2002:a00:1::1]/x", False),
        ("https://[2002:808:808::1]/x", False),
        ("https://[::ffff:0:a00:1]/x", False),
        ("https://10.0.0.1./x", False),
        ("https://127.1./x", False),
        ("https://[::10.0.0.1]/x", False),
        ("https://[fec0::1]/x", False),
        ("https://localhost/x", False),
        ("file:///etc/passwd", False),
        ("ftp://example.org/x", False),
    ],
)
def test_links_of_a_public_account(url: str, allowed: bool) -> None:
    """https to public addresses only (contract 2)."""
    boundary = origins.Boundary("https://app.datatrails.ai")
    if allowed:
        boundary.check(URL(url))
    else:
        with pytest.raises(RefusedError):
            boundary.check(URL(url))


@pytest.mark.parametrize("host", ["127.0.0.1", "proxy.internal"])
def test_a_proxy_is_no_place_that_links_lead_to(host: str) -> None:
    """Only the proxy itself is asked there, unless the account names it besides."""
    boundary = origins.Boundary("https://api.example.org", proxy=f"http://{host}:3128")
    assert boundary.trusts(host)
    for link in (f"https://{host}/x", f"https://{host}:3128/x", f"https://{host}./x"):
        with pytest.raises(RefusedError):
            boundary.check(URL(link))
    origins.Boundary("https://api.example.org", [host], f"http://{host}:3128").check(URL(f"https://{host}/x"))


@pytest.mark.parametrize(
    "link", ["https://xn--/x", "https://xn--a.example/x", "https://a.example:99999/x", "https://１0.0.0.1/"]
)
def test_what_only_looks_like_a_url_is_found_out(link: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - yarl raises several kinds of it
        origins.sound(URL(link, encoded=True))


def test_links_of_a_loopback_account() -> None:
    """Plain http is followed only on loopback, and only for an account that is there itself."""
    boundary = origins.Boundary("http://127.0.0.1:8080/ledger")
    boundary.check(URL("http://127.0.0.1:9090/x"))
    with pytest.raises(RefusedError):
        boundary.check(URL("http://example.org/x"))


def test_credentials_stay_at_home() -> None:
    """Own origin (scheme, host, port), and media_hosts by https."""
    boundary = origins.Boundary("https://api.example.org/sc", ["media.example.org"])
    assert boundary.may_carry_credentials(URL("https://API.example.org/other"))
    assert boundary.may_carry_credentials(URL("https://media.example.org/x"))
    assert not boundary.may_carry_credentials(URL("http://media.example.org/x"))
    assert not boundary.may_carry_credentials(URL("https://api.example.org:444/sc"))
    assert not boundary.may_carry_credentials(URL("http://api.example.org/sc"))
    assert not boundary.may_carry_credentials(URL("https://api.example.org.evil.test/sc"))
    by_address = origins.Boundary("https://a.example", ["[2001:DB8:0::1]", "[::2]:8443"])
    assert by_address.may_carry_credentials(URL("https://[2001:db8::1]:99/x"))
    assert by_address.may_carry_credentials(URL("https://[::2]:8443/x"))
    assert not by_address.may_carry_credentials(URL("https://[::2]/x"))
    assert not by_address.may_carry_credentials(URL("https://[::2:8443]/x"))
    one_port = origins.Boundary("https://api.example.org/sc", ["Media.example.org:8443"])
    assert one_port.may_carry_credentials(URL("https://media.example.org:8443/x"))
    assert not one_port.may_carry_credentials(URL("https://media.example.org/x"))


def test_credentials_on_loopback_go_where_they_are_sent() -> None:
    """Plain http does not leave the machine there: hosts that the account names get them, others do not."""
    boundary = origins.Boundary("http://127.0.0.1:8080/sc", ["localhost", "127.0.0.1:9090", "media.example.org"])
    assert boundary.may_carry_credentials(URL("http://localhost:7070/x"))
    assert boundary.may_carry_credentials(URL("http://127.0.0.1:9090/x"))
    assert not boundary.may_carry_credentials(URL("http://127.0.0.1:9091/x"))
    assert not boundary.may_carry_credentials(URL("http://media.example.org/x"))
    assert not origins.Boundary("https://a.example", ["localhost"]).may_carry_credentials(URL("http://localhost/x"))


@pytest.mark.parametrize(
    "url", ["http://example.org", "ftp://example.org", "example.org", "https://u:p@example.org", ""]
)
def test_base_urls_that_are_refused(url: str) -> None:
    """https, or http to loopback; no credentials inside."""
    assert origins.base_url_fault(url)
