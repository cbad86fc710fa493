"""`python -m fakes openai|anthropic TOKENS PER_WRITE [DELAY_S]`: one endless answer, for benchmarks.

Prints the base URL and serves until its standard input is closed.
"""

import asyncio
import sys

from fakes import FakeAnthropic, FakeOpenAI, anthropic, openai


async def main(wire: str, tokens: int, per_write: int, delay_s: float) -> None:
    words = [f"tok{number % 1000} " for number in range(tokens)]
    fake: FakeAnthropic | FakeOpenAI
    if wire == "openai":
        fake = FakeOpenAI()
        fake.default = FakeOpenAI.reply(*openai.text(*words))
    else:
        fake = FakeAnthropic()
        fake.default = FakeAnthropic.reply(anthropic.text(*words), pings=False)
    fake.default = fake.default.but(per_write=per_write, delay_s=delay_s)
    async with fake:
        print(fake.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float((sys.argv[4:] or ["0"])[0])))
