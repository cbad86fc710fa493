"""The life of open sockets."""

import asyncio

import pytest

from kaged.identity.sockets import SIGNED_OUT, TOO_OLD, Sockets


class Closing:
    """Remembers how it was closed."""

    def __init__(self) -> None:
        self.done: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    async def __call__(self, code: int, reason: str) -> None:
        self.done.set_result((code, reason))


async def test_signing_out_ends_that_browsers_sockets_only() -> None:
    sockets, mine, other = Sockets(), Closing(), Closing()
    async with sockets.hold("A", mine), sockets.hold("B", other):
        assert len(sockets._open) == 2
        assert sockets.revoke("A") == 1
        assert await mine.done == (SIGNED_OUT.code, SIGNED_OUT.reason)
        assert not other.done.done()
    assert len(sockets._open) == 0
    assert sockets.revoke("B") == 0


async def test_age_ends_every_socket_with_jitter() -> None:
    for draw, seconds in ((0.0, 0.02), (1.0, 0.018)):
        waited: list[float] = []
        sockets = Sockets(max_age_s=0.02, draw=lambda d=draw: d)
        closing = Closing()
        loop = asyncio.get_running_loop()
        real = loop.call_later

        def spy(delay, *rest, real=real, waited=waited):
            waited.append(delay)
            return real(delay, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "call_later", spy)
            async with sockets.hold(None, closing):
                assert await closing.done == (TOO_OLD.code, TOO_OLD.reason)
        assert waited == [pytest.approx(seconds)]


async def test_leaving_ends_the_watch_and_keeps_the_error() -> None:
    sockets, closing = Sockets(), Closing()
    with pytest.raises(ValueError, match="mine"):
        async with sockets.hold("A", closing):
            raise ValueError("mine")
    assert len(sockets._open) == 0 and sockets.revoke("A") == 0
    assert len(asyncio.all_tasks()) == 1


async def test_cancelling_ends_the_watch() -> None:
    sockets, inside = Sockets(), asyncio.Event()

    async def serve() -> None:
        async with sockets.hold(None, Closing()):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(sockets._open) == 0 and len(asyncio.all_tasks()) == 1
