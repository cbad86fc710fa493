"""The nearest valid word to a mistyped one, for messages that say what was probably meant."""

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence tail such as `; did you mean "net"?`, or nothing when no known word is close."""
    from difflib import get_close_matches

    found = get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    return f'; did you mean "{found[0]}"?' if found else ""
