"""What a run and all below it may use of a model, counted in tokens. Pure."""

import contextlib
from collections.abc import Iterator
from typing import Self


class OverBudget(Exception):
    """A model call would not fit; the text says whose budget is used up, as a sentence."""


class Budget:
    """The tokens of one run; what it uses counts against those above it too. Without a limit it only counts."""

    def __init__(self, agent: str, limit: int | None = None, above: Self | None = None) -> None:
        self._agent = agent
        self._limit = limit
        self._above = above
        self._held = 0
        self.spent = 0
        """Tokens used so far by this run and those below it."""

    def count(self, tokens: int) -> None:
        self.spent += tokens
        if self._above is not None:
            self._above.count(tokens)

    @contextlib.contextmanager
    def hold(self, tokens: int) -> Iterator[None]:
        """Keep tokens aside, so that several calls cannot share the same rest. Raises `OverBudget`, also from above."""
        left = None if self._limit is None else self._limit - self.spent - self._held
        if left is not None and tokens > left:
            text = f"The budget of `{self._agent}` is used up: {self.spent:,} of {self._limit:,} tokens"
            raise OverBudget(f"{text}, and the next model call takes at least {tokens:,}.")
        with contextlib.nullcontext() if self._above is None else self._above.hold(tokens):
            self._held += tokens
            try:
                yield
            finally:
                self._held -= tokens
