"""Real local servers that speak the model wires exactly, for tests and benchmarks."""

from fakes.anthropic import FakeAnthropic
from fakes.openai import FakeOpenAI
from fakes.server import Answer, FakeServer, Recorded

__all__ = ["Answer", "FakeAnthropic", "FakeOpenAI", "FakeServer", "Recorded"]
