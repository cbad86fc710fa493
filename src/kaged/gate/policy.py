"""What a cage may reach: the policy as it crosses the wire, and the decisions that need no I/O."""

import ipaddress
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from kaged.core.keeper_wire import KeeperError

MODES = ("enforce", "ask", "learn")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AMBIGUOUS = re.compile(r"\\|%(?:2f|5c|[01].|7f|c[01])", re.IGNORECASE)


class PolicyError(KeeperError):
    """A policy that cannot be put in force; the sentence says which part of it."""

    def __init__(self, sentence: str) -> None:
        super().__init__("bad_request", sentence)


class Denied(Exception):
    """A connection or request that may not be; `status` is what an HTTP client is answered with."""

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


def valid_name(name: str) -> bool:
    """Whether a lower-case text is a host name, and nothing that a resolver would take for an address."""
    labels = name.split(".")
    return len(name) <= 253 and all(map(_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1])


def matches(pattern: str, host: str) -> bool:
    """`*.x` covers any depth below x but not x itself, `*` any host, all else itself. By whole labels."""
    if pattern == "*":
        return True
    wanted, labels = pattern.split("."), host.split(".")
    if wanted[0] != "*":
        return wanted == labels
    return len(labels) >= len(wanted) and labels[1 - len(wanted) :] == wanted[1:]


def plain_path(path: str) -> str:
    """The path as rules see it, percent-decoded once. Raises `Denied` for one that servers may read in several ways."""
    decoded = unquote(path, "latin-1")
    dots = any(part.split(";")[0] in (".", "..") for part in decoded.split("/"))
    if path[:1] != "/" or path[:2] == "//" or "#" in path or dots:
        raise Denied("the path is ambiguous", 400)
    if _ESCAPE.search(path) or _AMBIGUOUS.search(path) or re.search("%[0-9A-Fa-f]{2}", decoded):
        raise Denied("the path is ambiguous", 400)
    return decoded


@dataclass(frozen=True, slots=True)
class Rule:
    """A host (or pattern) on one port; `name` is how events call the rule."""

    host: str
    port: int
    name: str

    def covers(self, host: str, port: int) -> bool:
        return self.port == port and matches(self.host, host)


@dataclass(frozen=True, slots=True)
class HttpRule(Rule):
    """Requests that are allowed there; no methods means any."""

    methods: frozenset[str]
    paths: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True)
class Secret(Rule):
    """A header that the gate sets there. The value is in no `repr`."""

    header: str
    content: str = field(repr=False)
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Policy:
    mode: str
    allow: tuple[Rule, ...] = ()
    http: tuple[HttpRule, ...] = ()
    secrets: tuple[Secret, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    private: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    ask_timeout_s: float = 120.0

    def rule_for(self, host: str, port: int) -> str | None:
        """The name of the first rule that allows connections there."""
        rules = (*self.allow, *self.http, *self.secrets)
        return next((rule.name for rule in rules if rule.covers(host, port)), None)

    def may_name(self, host: str) -> bool:
        """Whether some port of the host can be allowed, now or by an answer."""
        rules = (*self.allow, *self.http, *self.secrets)
        return valid_name(host) and (self.mode != "enforce" or any(matches(r.host, host) for r in rules))

    def inspected(self, host: str) -> bool:
        """Whether the host speaks only HTTP, checked request by request, also inside TLS."""
        return any(matches(rule.host, host) for rule in (*self.http, *self.secrets))

    def secrets_of(self, host: str) -> tuple[Secret, ...]:
        """The host's secrets, for whatever port."""
        return tuple(secret for secret in self.secrets if matches(secret.host, host))

    def http_rule(self, host: str, port: int, method: str, path: str) -> str | None:
        """The rule that allows a request; None when the host has no such rules. Raises `Denied`."""
        rules = [rule for rule in self.http if matches(rule.host, host)]
        for rule in rules:
            fits = rule.port == port and (not rule.methods or method in rule.methods)
            if fits and any(pattern.fullmatch(path) for pattern in rule.paths):
                return rule.name
        if rules:
            raise Denied("no http rule allows this method and path")
        return None


def parse(raw: Mapping[str, Any], values: Mapping[str, str]) -> Policy:
    """The policy, with `values` for its secrets. Raises `PolicyError`."""
    try:
        rules = tuple(map(_rule, raw.get("allow", ()))), tuple(map(_http, raw.get("http", ())))
        secrets = tuple(_secret(it, values) for it in raw.get("secrets", ()))
        hosts = {_host(k): str(ipaddress.ip_address(v)) for k, v in raw.get("hosts", {}).items()}
        private = tuple(map(ipaddress.ip_network, raw.get("private", ())))
        policy = Policy(raw["mode"], *rules, secrets, hosts, private, float(raw.get("ask_timeout_s", 120.0)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise PolicyError(f"the network policy is malformed: {error!r}") from error
    if policy.mode not in MODES or not 0 < policy.ask_timeout_s <= 86_400:
        raise PolicyError("the network policy's mode or ask_timeout_s is none that exists")
    for one, other in itertools.combinations(policy.secrets, 2):
        overlap = matches(one.host, other.host) or matches(other.host, one.host)
        if overlap and (one.header, one.port) == (other.header, other.port):
            raise PolicyError(f"{one.name} and {other.name} set the same header on {other.host}")
    return policy


def _host(text: str) -> str:
    name = text[2:] if text[:2] == "*." else text
    if text != "*" and not valid_name(name):
        raise PolicyError(f"{text!r} is no host: write it in lower case, without a trailing dot")
    return text


def _place(raw: Mapping[str, Any]) -> tuple[str, int]:
    port = raw["port"]
    if type(port) is not int or not 0 < port < 65_536:
        raise PolicyError(f"{port!r} is no port")
    return _host(raw["host"]), port


def _rule(raw: Mapping[str, Any]) -> Rule:
    host, port = _place(raw)
    return Rule(host, port, f"allow {host}:{port}")


def _http(raw: Mapping[str, Any]) -> HttpRule:
    host, port = _place(raw)
    methods, paths = frozenset(raw.get("methods") or ()) - {"*"}, raw.get("paths") or ["/*"]
    return HttpRule(host, port, f"http {host}", methods, tuple(map(_pattern, paths)))


def _pattern(path: str) -> re.Pattern[str]:
    """A final `*` stands for anything, another one for something within its segment."""
    if path[:1] != "/":
        raise PolicyError(f"the path {path!r} does not begin with a slash")
    decoded = unquote(path, "latin-1")
    head, rest = (decoded[:-1], ".*") if decoded[-1] == "*" else (decoded, "")
    first, *others = map(re.escape, head.split("*"))
    # Each star but the last takes the nearest fit for good, or a long path could be tried in a million ways.
    stars = [f"(?>[^/]+?{part})" for part in others[:-1]] + [f"[^/]+{part}" for part in others[-1:]]
    return re.compile("".join((first, *stars, rest)), re.DOTALL)


def _secret(raw: Mapping[str, Any], values: Mapping[str, str]) -> Secret:
    host, port = _place(raw)
    name, header, shape = raw["name"], raw["header"].lower(), raw["format"]
    value = values.get(name, "")
    if host == "*":
        raise PolicyError(f"the secret {name} would go to every host: name one")
    if not value:
        raise PolicyError(f"the secret {name} has no value")
    content = shape.replace("{}", value)
    if shape.count("{}") != 1 or not _TOKEN.fullmatch(header):
        raise PolicyError(f"the header or format of the secret {name} cannot be used")
    if not (content.isascii() and content.isprintable() and content == content.strip()):
        raise PolicyError(f"the secret {name} holds characters that no header can carry")
    return Secret(host, port, f"secret {name}", header, content, value)
