"""`cage.net` and `cage.secrets`: what a cage may reach, in the words of a project file. Hosts are kept in one form,
`name:port` with the name in lower-case ASCII, so that equal entries are equal."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from kaged.projects.parts import Names, Part, Seconds, env_name, once
from kaged.settings.problems import matching

HTTPS = 443

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_OWN_HEADERS = "host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect"


def split(host: str) -> tuple[str, int]:
    """Name and port of a host in its one form, `name:port`."""
    name, _, port = host.rpartition(":")
    return name, int(port)


def _name(text: str) -> str:
    """A whole host name in lower-case ASCII (IDNA). Raises ValueError with what to write instead."""
    if text[-1:] == ".":
        raise ValueError(f"write {text.rstrip('.')!r}, without a dot at the end")
    name = text.lower()
    if not name.isascii():
        import idna

        try:
            name = idna.encode(text, uts46=True).decode("ascii").lower()
        except UnicodeError as error:
            raise ValueError(f"{text!r} is not a host name: {error}") from None
    if _is_address(name):
        raise ValueError(f"{text} is an address; write the host's name, and give its address in `net.hosts`")
    if "*" in name:
        raise ValueError("a wildcard stands for the whole beginning: `*.example.com`, or `*` for any host")
    bad = next((label for label in name.split(".") if _LABEL.fullmatch(label) is None), None)
    if bad is not None or len(name) > 253:
        raise ValueError(f"{text!r} is not a host name" + (f", because of {bad!r}" if bad else ""))
    return name


def _is_address(name: str) -> bool:
    """An IP address, also in the forms that programs read as one (`127.1`, `0x7f000001`)."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return re.fullmatch(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", name) is not None
    return True


def _host(text: str) -> str:
    if "/" in text or "@" in text:
        inner = re.sub(r"^[a-z0-9+.-]*:?//", "", text, flags=re.I).partition("/")[0].rpartition("@")[2]
        port = "" if ":" in inner else f":{80 if text[:5].lower() == 'http:' else HTTPS}"
        raise ValueError(f"expected a host, without scheme, path and user; write {inner or 'example.com'}{port}")
    name, colon, digits = text.rpartition(":")
    if text[:1] == "[":
        name = text[1:].partition("]")[0]
    elif not colon or ":" in name:
        name, digits = text, str(HTTPS)
    if re.fullmatch(r"[0-9]{1,5}", digits) is None or not 0 < int(digits) <= 65535:
        raise ValueError(f"{digits!r} is not a port; expected a number from 1 to 65535")
    if name == "*":
        return f"*:{int(digits)}"
    wildcard = name[:2] if name[:2] == "*." else ""
    return f"{wildcard}{_name(name.removeprefix(wildcard))}:{int(digits)}"


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address; expected one such as 10.0.0.5") from None
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255" or "%" in text:
        raise ValueError(f"{text} is not the address of one machine")
    return str(address)


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; expected a network such as 10.1.0.0/16") from None
    if not network.prefixlen:
        raise ValueError(f"{text} is every address there is; name the networks that are needed")
    return str(network)


def _like(pattern: str, expected: str) -> AfterValidator:
    return matching(pattern, f"{{!r}} is not allowed; expected {expected.replace('{}', '{{}}')}")


Host = Annotated[str, AfterValidator(_host), Field(examples=["api.example.com:443"])]
"""`host`, `host:port`, `*.host:port`, `*` or `*:port`; without a port 443."""

Method = Annotated[str, _like(r"[A-Z][A-Z-]{0,31}", "a method in capitals, such as GET")]
_PATH = r"/|(/(?!\.{1,2}(/|$))[!\"$&-.0->@-\[\]-~]+)+/?"
RequestPath = Annotated[str, _like(_PATH, "a path such as `/v1/*`, without query, escapes, spaces, `//`, `.` and `..`")]


class HttpRule(Part):
    """Requests that may go to a host; its TLS is opened for that, with an authority of the cage's own."""

    host: Host
    methods: Annotated[tuple[Method, ...], Field(min_length=1), Names]
    paths: Annotated[tuple[RequestPath, ...], Field(min_length=1), Names] = ("/", "/*")

    def __str__(self) -> str:
        return f"the rule for {self.host}"


class NetSpec(Part):
    """What the cage reaches; with `enforce` and nothing listed, nothing at all."""

    mode: Literal["enforce", "ask", "learn"] = "enforce"
    allow: Annotated[tuple[Host, ...], Names, AfterValidator(once)] = ()
    http: Annotated[tuple[HttpRule, ...], Names, AfterValidator(once)] = ()
    hosts: dict[Annotated[str, AfterValidator(_name)], Annotated[str, AfterValidator(_address)]] = {}
    private: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], Names] = ()
    ask_timeout: Annotated[Seconds, Field(ge=1, le=86400)] = 120.0


_SOURCE = _like(r"local:[A-Za-z0-9_-]{1,64}", "`local:KEY`, where KEY is a name in [secrets] of local.toml")
_HEADER = _like(
    rf"(?i)(?!({_OWN_HEADERS})$)[!#$%&'*+.^_`|~0-9A-Z-]+", "a header that can carry a secret, such as X-Api-Key"
)
_FORMAT = _like(r"(?!.*\{\}.*\{\})[ -~]*\{\}[ -~]*", 'text with `{}` once, where the secret goes, such as "Bearer {}"')


class SecretSpec(Part):
    """A secret that the gate writes into requests to one host; the cage's `name` holds a placeholder."""

    name: Annotated[str, AfterValidator(env_name)]
    source: Annotated[str, _SOURCE, Field(alias="from")]
    host: Annotated[str, AfterValidator(_host), matching("[^*].*", "a secret goes to one host; write its whole name")]
    header: Annotated[str, _HEADER] = "Authorization"
    format: Annotated[str, _FORMAT] = "{}"
