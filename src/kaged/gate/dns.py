"""DNS messages: just enough to read a question and to answer it (RFC 1035). Pure."""

import ipaddress
import struct
from dataclasses import dataclass

TYPE_A = 1
CLASS_IN = 1
TTL_S = 5
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP = 0, 1, 2, 3, 4
_HEADER = struct.Struct("!6H")
_RESPONSE, _OPCODE, _RECURSION, _AVAILABLE = 0x8000, 0x7800, 0x0100, 0x0080
_COMPRESSED = b"\xc0\x0c"  # the name at offset 12, which is the question's


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `name` is in lower case without a final dot; `problem` is the code to answer instead."""

    id: int
    flags: int
    question: bytes
    name: str
    kind: int
    problem: int = NOERROR


def parse(data: bytes) -> Query | None:
    """The question of a message; None for what deserves no answer at all."""
    if len(data) < _HEADER.size:
        return None
    number, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    if flags & _RESPONSE:
        return None
    if flags & _OPCODE:
        return Query(number, flags, b"", "", 0, NOTIMP)
    broken = Query(number, flags, b"", "", 0, FORMERR)
    if questions != 1 or answers:
        return broken
    labels, at = [], _HEADER.size
    while at < len(data) and (size := data[at]):
        if size > 63 or at + size >= len(data) or at - _HEADER.size + size > 253:
            return broken
        labels.append(data[at + 1 : at + 1 + size])
        at += size + 1
    if len(data) < at + 5:
        return broken
    kind, klass = struct.unpack_from("!2H", data, at + 1)
    # A dot or an odd byte inside a label is escaped, so that it can look like no other name.
    name = ".".join(label.decode("latin-1").replace(".", "\\.") for label in labels).lower()
    kind = kind if klass == CLASS_IN else 0
    return Query(number, flags, data[_HEADER.size : at + 5], name, kind)


def answer(query: Query, code: int, address: str | None = None) -> bytes:
    """The response to a query, with the address if there is one."""
    flags = _RESPONSE | _AVAILABLE | query.flags & _RECURSION | code
    head = _HEADER.pack(query.id, flags, 1 if query.question else 0, 1 if address else 0, 0, 0)
    if address is None:
        return head + query.question
    packed = ipaddress.IPv4Address(address).packed
    record = _COMPRESSED + struct.pack("!HHIH", TYPE_A, CLASS_IN, TTL_S, len(packed)) + packed
    return head + query.question + record
