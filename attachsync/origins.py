"""Which URLs may be followed, and which may carry an account's credentials (contract 2). Pure, but for the resolver's
answers that are handed in.

A service's links and redirects are hostile until shown otherwise: https to public addresses, unless the account itself
is on loopback (a sandbox).
"""

import ipaddress
import re
import socket
from collections.abc import Collection

from yarl import URL

from attachsync.errors import RefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", re.IGNORECASE)
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "::/96")))
"""Of these, the last four bytes are the IPv4 address that is reached: mapped, translated (two ways), compatible."""
_NOT_PUBLIC = tuple(map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "2002::/16", "fec0::/10")))
"""Translators of a site, tunnels by 6to4, and sites, whatever a version of Python calls them."""
_HOST = re.compile(r"(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!-)[a-z0-9_-]{1,63}(?<!-)\.?", re.IGNORECASE)


def sound(url: URL) -> URL:
    """The same URL, of which host and port can be read: that is found out only when they are. Raises ValueError."""
    if url.host and url.raw_host and not url.raw_host.isascii():
        raise ValueError("its host is written in a way that no header can hold")
    _ = url.port
    return url


def origin(url: URL) -> tuple[str, str, int | None]:
    """Scheme, host and port."""
    return url.scheme, (url.host or "").lower().rstrip("."), url.port


def is_loopback(host: str | None) -> bool:
    """Whether a host name or literal address is this machine's loopback."""
    if host is None:
        return False
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _literal(name)
    return address is not None and address.is_loopback


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, and so is one that it leads to; text that is none is not."""
    found = _literal(address)
    if isinstance(found, ipaddress.IPv6Address):
        if any(found in network for network in _EMBEDDING):
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        if any(found in network for network in _NOT_PUBLIC):
            return False
    return found is not None and found.is_global and not found.is_multicast


def _literal(host: str) -> Address | None:
    """The address that a host is, also in the forms that only some resolvers know, such as `127.1`."""
    bare = host.strip("[]").partition("%")[0].rstrip(".")
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    if not _NUMERIC.fullmatch(bare):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(bare))
    except OSError:
        return None


def base_url_fault(value: str) -> str | None:
    """Why a `base_url` is not acceptable, or None. What may be a secret is not repeated."""
    return _fault(value, ("user", "password", "query", "fragment"))


def hook_url_fault(value: str) -> str | None:
    """The same of what a hook posts to, which may have a query."""
    return _fault(value, ("user", "password", "fragment"))


def _fault(value: str, without: tuple[str, ...]) -> str | None:
    url = _web_url(value)
    if url is None:
        return f"must be an https URL{_unless_secret(value)}"
    if any(getattr(url, part) for part in without):
        return f"must hold no {', '.join(without[:-1])} or {without[-1]}"
    if url.scheme == "http" and not is_loopback(url.host):
        return f"must be https; plain http is for loopback addresses only: not for {url.host}"
    return None


def proxy_fault(value: str) -> str | None:
    """Why a `proxy` is not acceptable, or None."""
    url = _web_url(value)
    if url is None:
        return f"must be an http or https URL{_unless_secret(value)}"
    return "must hold no user and no password: a config holds no secrets" if "@" in url.raw_authority else None


def is_host(value: str) -> bool:
    """Whether text is the name or address of a host, with or without a port."""
    return not set("/?#@") & set(value) and not value.endswith(":") and _web_url(f"https://{value}") is not None


def _web_url(value: str) -> URL | None:
    """An http or https URL whose host there can be; None if text is none."""
    try:
        url = sound(URL(value))
    except ValueError:
        return None
    host = url.raw_host or ""
    can_be = _literal(host) is not None or (len(host) < 255 and _HOST.fullmatch(host))
    is_plain = not any(sign.isspace() or not sign.isprintable() for sign in value)
    return url if url.scheme in ("https", "http") and can_be and url.port and is_plain else None


def _unless_secret(value: str) -> str:
    return "" if set("@?#") & set(value) else f", not {value!r}"


def _name(host: str) -> str:
    """A host as hosts are compared; an IPv6 address in brackets, as it is written before a port."""
    bare = host.lower().rstrip(".")
    address = _literal(bare)
    return f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else bare


class Boundary:
    """What one account may reach: its own origin always; its `media_hosts`, and the public internet by https."""

    def __init__(self, base_url: str, media_hosts: Collection[str] = (), proxy: str | None = None) -> None:
        self.base = URL(base_url)
        self._home = origin(self.base)
        self._written = self.base.scheme, self.base.raw_authority
        """The same as most URLs have it: quicker to compare."""
        split = [re.fullmatch(r"(.*?)(:[0-9]+)?", host) for host in media_hosts]
        self._media_hosts = frozenset(_name(found[1]) + (found[2] or "") for found in split if found)
        self._media_names = frozenset(_name(found[1]) for found in split if found)
        self._on_loopback = is_loopback(self.base.host)
        self._proxy_host = (URL(proxy).host or "").lower().rstrip(".") if proxy else None

    def is_home(self, url: URL) -> bool:
        """Whether `url` is on the account's own origin."""
        return (url.scheme, url.raw_authority) == self._written or origin(url) == self._home

    def may_carry_credentials(self, url: URL) -> bool:
        """Credentials go only to the account's own origin and, by https or on loopback, to hosts that it names."""
        if self.is_home(url):
            return True
        name = _name(url.host or "")
        named = not self._media_hosts.isdisjoint((name, f"{name}:{url.port}"))
        return named and (url.scheme == "https" or self._stays_on_loopback(url))

    def _stays_on_loopback(self, url: URL) -> bool:
        return self._on_loopback and is_loopback(url.host)

    def trusts(self, host: str) -> bool:
        """Whether `host` may be at any address: the config names it, or the whole account is on loopback."""
        return self._names(host) or host.lower().rstrip(".") == self._proxy_host

    def _names(self, host: str) -> bool:
        """The same of what a link may lead to: the proxy's machine is for the proxy alone."""
        name = host.lower().rstrip(".")
        return self._on_loopback or name == self._home[1] or _name(name) in self._media_names

    def check(self, url: URL) -> None:
        """Raise RefusedError (`address`) for a link that must not be followed. Resolved addresses are checked later."""
        if (url.scheme, url.raw_authority) == self._written:
            return
        host = url.host
        if url.scheme not in ("https", "http") or not host:
            raise RefusedError(f"a link to {url.scheme or 'nowhere'}: is not followed", code="address")
        if url.user or url.password:
            raise RefusedError(f"a link to {host} with a user name in it is not followed", code="address")
        if self.is_home(url):
            return
        if url.scheme == "http" and not self._stays_on_loopback(url):
            raise RefusedError(f"a plain http link to {host} is not followed", code="address")
        literal = _literal(host)
        private = is_loopback(host) or (literal is not None and not is_public(host))
        if (private or host.lower().rstrip(".") == self._proxy_host) and not self._names(host):
            raise RefusedError(f"a link to the private address {host} is not followed", code="address")
