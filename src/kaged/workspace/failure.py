"""Why git did not clone and what to do, as the second half of a sentence."""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence

from kaged.workspace.source import Source

_REFUSED = (
    ("cannot be resolved|has no address", "there is no host {host}; check the name and this machine's DNS"),
    (r"cannot be reached \((.*)\)", "{host} cannot be reached on port {port} ({0}); check the URL and the network"),
    (r"certificate is not valid \((.*)\)", "the certificate of {host} is not valid ({0}); renew it there, or add the "
     "authority that signed it to this machine's own"),
    ("speak TLS", "{host} does not speak TLS on port {port}; check the URL"),
    ("private or this machine's own", "{host} is this machine itself, or an address that no clone reaches; clone it by "
     "hand and load the folder"),
    ("no rule names", "it leads on to {other}; clone from the URL that it leads to"),
    ("(.+)", "kaged's network gate refused it ({0}); clone it by hand and load the folder"),
)  # fmt: skip

_NO_LOGIN = "{host} wants a login, so the repository is private or does not exist; put a token into {table}"
_BAD_LOGIN = "{host} does not accept the login in {table}; put in a token that may read this repository"
_SAID = (
    ("No space left on device", "there is no room left on the disk that holds {folder}; make room and clone again"),
    ("cannot run ssh", "ssh is not installed here; install it (Debian: openssh-client)"),
    (r"Load key [^:]*: (.*)", "the ssh_key in {table} cannot be used ({0}); put in a private key without a passphrase"),
    (r"Permission denied \(", "{host} does not accept the ssh_key in {table} for the account {user}; add its public "
     "half there as a deploy key"),
    ("could not read Username|Authentication failed|returned error: 40[13]", "{login}"),
    ("not found|does not appear to be a git repository|is this a git repository|returned error: 404",
     "{host} has no such repository, or keeps it from this login; check the URL and {table}"),
)  # fmt: skip

_NOISE = re.compile(r"fatal: Could not read from remote|Please make sure|and the repository exists|^\W*$")
_SCANNED = re.compile(r"^\S+ (ssh-[a-z0-9-]+|ecdsa-[a-z0-9-]+) ([A-Za-z0-9+/]+=*)$", re.M)


def reason(source: Source, said: str, refused: Sequence[tuple[str, str]], *, folder: str, token: bool) -> str:
    """What is wrong, by the last thing the gate refused, else by what git said. `token`: one was shown."""
    other, last = refused[-1] if refused else ("", "")
    for table, text in ((_REFUSED, last), (_SAID, said)):
        for pattern, words in table:
            if found := re.search(pattern, text):
                login = (_BAD_LOGIN if token else _NO_LOGIN).format(host=source.host, table=source.table)
                names = {"host": source.host, "port": source.port, "user": source.user, "table": source.table}
                return words.format(*found.groups(), **names, other=other, folder=folder, login=login)
    lines = [line for line in said.splitlines() if not _NOISE.search(line)]
    return f"git said: {lines[-1].removeprefix('fatal: ') if lines else 'nothing'}"


def host_key(source: Source, scanned: str, *, changed: bool, known_hosts: str) -> str:
    """For a host whose key is not the known one; `scanned` is what `ssh-keyscan` put out."""
    found = _SCANNED.search(scanned)
    name = source.host if source.port == 22 else f"[{source.host}]:{source.port}"
    try:
        blob = base64.b64decode(found[2] if found else "", validate=True)
    except binascii.Error:
        blob = b""
    if found is None or not blob:
        return f"{source.host} shows no key that could be looked at; check its ssh server"
    print_ = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    was = "new"
    if changed:
        was = f"not the one in {known_hosts}"
        do = "somebody may be in between: ask its operator, and if the key was changed replace the line by"
    else:
        do = f"compare it with what the host's operator publishes, and if it is the same add to {known_hosts}"
    return f"the key of {source.host} is {was} ({found[1]} SHA256:{print_}); {do} `{name} {found[1]} {found[2]}`"
