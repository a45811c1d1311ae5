"""The addresses that commands may name: those below an allow-list, read without trust in what answers there."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx
from pydantic import JsonValue

from antiphon import Permanent, Retryable
from services.processors.files import csv_columns
from services.processors.tables import Table, from_columns, from_json

LARGEST = 10_000_000  # bytes of an answer
REDIRECTS = 3
PIECE = httpx.Timeout(10.0, connect=5.0)  # seconds until the next piece
WHOLE = 30.0  # seconds until the last one, redirects and all
PORTS = {"http": 80, "https": 443}

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[Address]]

# ways of writing an IPv4 address in an IPv6 one, which would pass for a public one
_TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("2002::/16"), ip_network("2001::/32"))
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def resolved(host: str, port: int) -> Sequence[Address]:
    """The addresses of a host by the system's resolver; Retryable if it has none at this moment."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Retryable(f"the host {host!r} has no address: {error}") from None
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


@dataclass(frozen=True, slots=True)
class Urls:
    """What may be read: URLs below `prefixes` at public addresses, or at private ones that lie in `networks`."""

    prefixes: tuple[SplitResult, ...]
    networks: tuple[Network, ...]
    resolve: Resolve = resolved

    @classmethod
    def listed(cls, sources: str) -> Urls:
        """From the setting ANTIPHON_URL_SOURCES; a prefix with an IP address (or localhost) lists that address too."""
        entries = [entry.strip() for entry in sources.split(",") if entry.strip()]
        prefixes = tuple(urlsplit(entry) for entry in entries if "://" in entry)
        networks = [ip_network(entry) for entry in entries if "://" not in entry]
        for prefix in prefixes:
            networks += _named_by(prefix.hostname or "")
        return cls(prefixes, tuple(networks))

    def table(self, url: str) -> Table:
        """CSV or JSON at this URL as a table. Permanent for what is not allowed or no table, Retryable for a fault."""
        answer = self._answer(url)
        kind = answer.content_type.partition(";")[0].strip().lower()
        try:
            text = answer.body.decode("utf-8-sig")
            if kind == "application/json" or kind.endswith("+json") or (kind != "text/csv" and text[:1] in ("[", "{")):
                return from_json(_told(json.loads(text)))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise Permanent(f"{url!r} is neither CSV nor JSON in UTF-8: {error}") from None
        return from_columns(csv_columns(url, io.StringIO(text, newline="")))

    def check(self, url: str) -> SplitResult:
        """The parts of a URL below a prefix; Permanent says why it is none."""
        try:
            parts = urlsplit(url)
            place = _place(parts)
        except ValueError as error:
            raise Permanent(f"{url!r} is no URL: {error}") from None
        if not self.prefixes:
            raise Permanent("this service reads no URLs: list those that it may read in ANTIPHON_URL_SOURCES")
        if parts.username is not None or parts.password is not None:
            raise Permanent(f"{parts.hostname!r} is named with a user or a password; URLs are read without")
        if not any(place == _place(prefix) and _below(parts.path, prefix.path) for prefix in self.prefixes):
            told = ", ".join(prefix.geturl() for prefix in self.prefixes)
            raise Permanent(f"{url!r} is not below {told}, which is all that this service may read")
        return parts

    def address(self, parts: SplitResult) -> Address:
        """Where to connect to; Permanent if any address of the host is private and not listed."""
        host, port = parts.hostname or "", _place(parts)[2]
        addresses = self.resolve(host, port)
        for address in addresses:
            if not _public(address) and not any(address in network for network in self.networks):
                raise Permanent(
                    f"{host!r} lies at the private address {address}: list its network in ANTIPHON_URL_SOURCES, "
                    "as in 10.1.0.0/16, if it may be read"
                )
        return addresses[0]

    def _answer(self, url: str) -> _Answer:
        try:
            return asyncio.run(self._followed(url))
        except TimeoutError:
            raise Retryable(f"{url!r} was not read within {WHOLE:g} s") from None

    async def _followed(self, url: str) -> _Answer:
        """The answer of the last of a few redirects, each of which must be allowed."""
        # no proxy of the environment: it would be asked to connect to an address that nobody has checked
        async with (
            asyncio.timeout(WHOLE),
            httpx.AsyncClient(verify=_trusted(), timeout=PIECE, trust_env=False, follow_redirects=False) as client,
        ):
            at = url
            for _ in range(REDIRECTS + 1):
                parts = self.check(at)
                found = await _fetched(client, at, parts, self.address(parts))
                if isinstance(found, _Answer):
                    return found
                at = urljoin(at, found)
        raise Permanent(f"{url!r} leads to more than {REDIRECTS} other addresses, one after another")


@dataclass(frozen=True, slots=True)
class _Answer:
    content_type: str
    body: bytes


def _trusted() -> ssl.SSLContext:
    """The public authorities, or those of SSL_CERT_FILE: of the environment this alone counts."""
    return httpx.create_ssl_context(trust_env=True)


async def _fetched(client: httpx.AsyncClient, url: str, parts: SplitResult, address: Address) -> _Answer | str:
    """The answer, or where it says to look. The connection goes to the address that was checked, and to no other."""
    # put together from the parts that were checked: two readers of one URL may not agree on what it says
    scheme, _, port = _place(parts)
    host = f"[{address}]" if address.version == 6 else str(address)
    direct = f"{scheme}://{host}:{port}{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}"
    headers = {"Host": parts.netloc, "Accept": "text/csv, application/json", "Accept-Encoding": "identity"}
    try:
        async with client.stream("GET", direct, headers=headers, extensions={"sni_hostname": parts.hostname}) as answer:
            if answer.has_redirect_location:
                return answer.headers["location"]
            _check_status(url, answer)
            return _Answer(answer.headers.get("content-type", ""), await _body(url, answer))
    except httpx.InvalidURL as error:
        raise Permanent(f"{url!r} is no URL: {error}") from None
    except httpx.HTTPError as error:
        raise Retryable(f"{url!r} was not read: {str(error) or type(error).__name__}") from None


def _check_status(url: str, answer: httpx.Response) -> None:
    if answer.is_success:
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise Permanent(f"{url!r} answers in {answer.headers['content-encoding']}, which was not asked for")
        return
    told = f"{url!r} answers {answer.status_code} {answer.reason_phrase}"
    if answer.status_code >= 500 or answer.status_code in (408, 425, 429):
        raise Retryable(told)
    raise Permanent(told)


async def _body(url: str, answer: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > LARGEST:
            raise Permanent(f"{url!r} has more than {LARGEST:,} bytes, which is the most that is read")
    return bytes(body)


def _told(found: JsonValue) -> JsonValue:
    """As it is; ValueError for text that cannot be written in UTF-8, which JSON can spell (half of a pair)."""
    json.dumps(found, ensure_ascii=False).encode()
    return found


def _place(parts: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and port; ValueError for what no browser would open."""
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("it must begin with https://HOST or http://HOST")
    if not parts.netloc.isascii():
        raise ValueError("write its host in ASCII, as in xn--mnchen-3ya.example")
    return parts.scheme, parts.hostname.rstrip("."), parts.port or PORTS[parts.scheme]


def _below(path: str, prefix: str) -> bool:
    """Whether it is the prefix or lies in that folder; a path that climbs, in whatever spelling, does not."""
    lowered = path.lower()
    if "\\" in path or "%2e" in lowered or "%2f" in lowered or "%5c" in lowered or ".." in path.split("/"):
        return False
    folder = prefix.rstrip("/")
    return path == folder or path.startswith(f"{folder}/")


def _public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast


def _named_by(host: str) -> Sequence[Network]:
    if host == "localhost":
        return _LOOPBACK
    try:
        return [ip_network(host)]
    except ValueError:
        return []
