"""Where redirects lead."""

import pytest
from yarl import URL

from attachsync.redirects import next_hop


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("http://cdn.example/a b.pdf", "http://cdn.example/a%20b.pdf"),
        ("/é.pdf", "http://media.example/%C3%A9.pdf"),
        ("/\udce9.pdf", "http://media.example/%E9.pdf"),  # a byte that is no UTF-8, as aiohttp gives it
        ("../c?sig=A/b%2B%20==&k=1+2~#part", "http://media.example/c?sig=A/b%2B%20==&k=1+2~"),
    ],
)
def test_what_no_request_line_may_hold_is_written_otherwise_and_nothing_else(location: str, target: str) -> None:
    """A signature stays as it is."""
    found = next_hop("GET x", "GET", 1, url=URL("http://media.example/a/b"), status=302, location=location)
    assert str(found) == target
    assert found.raw_path_qs.isascii()
    assert " " not in found.raw_path_qs
