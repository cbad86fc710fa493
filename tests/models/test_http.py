"""What can happen to a connection, against real servers."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator

import pytest

from fakes import Answer, FakeAnthropic, FakeOpenAI, anthropic, openai
from fakes.server import html_answer, json_answer
from kaged.models import http, sse
from kaged.models.http import HttpClient, make_client
from kaged.models.provider import WireProvider
from kaged.models.types import Delta, Finished, ModelEvent, Usage
from models.helpers import KEY, ask, collect, fail, finished, provider, rebuilt, usage

A_REPLY = FakeAnthropic.reply(
    anthropic.text("Half an ", "answer."), anthropic.tool("toolu_1", "shell", '{"comm', 'and": "ls"}'), stop="tool_use"
)
O_REPLY = FakeOpenAI.reply(
    *openai.text("Half an ", "answer."),
    openai.calls(openai.call(0, "call_aaaaaaaaaaaa", "shell", '{"comm')),
    openai.calls(openai.call(0, None, None, 'and": "ls"}')),
    finish="tool_calls",
)


@pytest.fixture(params=["anthropic", "openai"])
async def pair(
    request: pytest.FixtureRequest,
) -> AsyncIterator[tuple[FakeAnthropic | FakeOpenAI, WireProvider, Answer]]:
    """A fake, a provider for it, and a whole answer in its wire."""
    driver = request.param
    fake = FakeAnthropic() if driver == "anthropic" else FakeOpenAI()
    async with fake:
        made = provider(driver, fake.url)
        yield fake, made, A_REPLY if driver == "anthropic" else O_REPLY
        await made._http.aclose()


Pair = tuple[FakeAnthropic | FakeOpenAI, WireProvider, Answer]


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until close"])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.6, 0.8, 0.95])
async def test_a_dropped_connection_is_a_truncated_answer(pair: Pair, chunked: bool, share: float) -> None:
    fake, model, reply = pair
    last = reply.body.rfind(b'"usage"' if isinstance(fake, FakeOpenAI) else b"message_stop")
    fake.will(reply.but(chunked=chunked, drop_at=int(last * share)))
    seen, error = await fail(model, ask())
    assert (error.kind, error.retryable, error.status) == ("truncated", True, None)
    assert not any(isinstance(event, Finished) for event in seen)
    if share == 0.95:
        assert rebuilt(seen)[0] == "Half an answer."
        assert [event.tool for event in seen if isinstance(event, Delta) and event.tool] == ["shell"]
        assert usage(seen).estimated
        assert usage(seen).output > 0
        assert isinstance(seen[-1], Usage)


async def test_a_connection_dropped_before_any_answer(pair: Pair) -> None:
    _fake, model, _ = pair

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    other = provider(model.connection.driver, f"http://127.0.0.1:{port}/v1")
    _, error = await fail(other, ask())
    assert (error.kind, error.retryable) == ("unreachable", True)
    assert f"http://127.0.0.1:{port}/v1" in error.message
    await other._http.aclose()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, "bad_request", False),
        (401, "auth", False),
        (403, "auth", False),
        (404, "bad_request", False),
        (413, "context", False),
        (429, "rate_limit", True),
        (500, "server", True),
        (502, "server", True),
        (503, "overloaded", True),
        (529, "overloaded", True),
    ],
)
async def test_statuses(pair: Pair, status: int, kind: str, retryable: bool) -> None:
    fake, model, reply = pair
    fake.will(json_answer(status, {"type": "error", "error": {"type": "x", "message": f"no, {KEY}"}}))
    _, error = await fail(model, ask())
    assert (error.kind, error.retryable, error.status) == (kind, retryable, status)
    assert "example" in error.message
    assert KEY not in error.message
    fake.will(reply)
    assert finished(await collect(model, ask())).stop_reason == "tools", "the connection is fine afterwards"


async def test_retry_after_is_told(pair: Pair) -> None:
    fake, model, _ = pair
    fake.will(json_answer(429, {"error": {"message": "slow down"}}, retry_after="7"))
    _, error = await fail(model, ask())
    assert error.retry_after_s == 7.0


@pytest.mark.parametrize("status", [200, 404])
async def test_a_web_page(pair: Pair, status: int) -> None:
    fake, model, _ = pair
    fake.will(html_answer(status))
    _, error = await fail(model, ask())
    assert (error.kind, error.retryable) == ("garbage", False)
    assert "web page" in error.message
    assert "base_url" in error.message


async def test_garbage_instead_of_a_stream(pair: Pair) -> None:
    fake, model, _ = pair
    fake.will(
        Answer([b"hello, I am no API at all\n\n"]), Answer([b"data: \x00\x01{{{\n\n"]), json_answer(200, {"a": 1})
    )
    _, silent = await fail(model, ask())
    assert silent.kind == "truncated"
    for _ in range(2):
        _, error = await fail(model, ask())
        assert (error.kind, error.retryable) == ("garbage", True)


async def test_an_error_document_with_status_200(pair: Pair) -> None:
    fake, model, _ = pair
    fake.will(json_answer(200, {"error": {"message": "this model is not loaded", "type": "invalid_request_error"}}))
    _, error = await fail(model, ask())
    assert error.kind == "bad_request"
    assert "not loaded" in error.message


async def test_an_endless_event(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    fake, model, _ = pair
    monkeypatch.setattr(sse, "MAX_EVENT", 4096)
    fake.will(Answer([b"data: ", *[b"x" * 1024] * 16], hang=True))
    _, error = await fail(model, ask())
    assert error.kind == "garbage"


async def test_cancelling_closes_the_socket(pair: Pair) -> None:
    fake, model, reply = pair
    never = asyncio.Event()
    fake.will(reply.but(hold={4: never}))
    first: asyncio.Queue[ModelEvent] = asyncio.Queue()
    task = asyncio.create_task(model.ask(ask(), first.put_nowait))
    assert await first.get() in (Delta(0, "text", "Half an "), Delta(0, "text", "Half an answer."))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    told = [first.get_nowait() for _ in range(first.qsize())]
    assert isinstance(told[-1], Usage) and told[-1].estimated, "what it cost is known all the same"
    await asyncio.wait_for(fake.left.wait(), 5)


async def test_cancelling_before_the_answer_begins(pair: Pair) -> None:
    fake, model, reply = pair
    never = asyncio.Event()
    fake.will(reply.but(hold={0: never}))
    task = asyncio.create_task(collect(model, ask()))
    await fake.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(fake.left.wait(), 5)


async def test_deltas_come_while_the_answer_goes_on(pair: Pair) -> None:
    fake, model, reply = pair
    gate = asyncio.Event()
    fake.will(reply.but(hold={5: gate}))
    whole = await model.ask(ask(), lambda _: gate.set())
    assert whole.stop_reason == "tools"


async def test_a_burst_in_one_read_arrives_merged(fake_openai: FakeOpenAI, openai_model: WireProvider) -> None:
    words = [f"w{number} " for number in range(2000)]
    fake_openai.will(FakeOpenAI.reply(*openai.text(*words)).but(per_write=500))
    events = await collect(openai_model, ask())
    deltas = [event for event in events if isinstance(event, Delta) and event.kind == "text"]
    assert "".join(delta.text for delta in deltas) == "".join(words)
    assert len(deltas) < 200


async def test_connections_are_kept_and_used_again(pair: Pair) -> None:
    fake, model, reply = pair
    fake.will(reply, json_answer(429, {"error": {"message": "slow down"}}), reply)
    await collect(model, ask())
    await fail(model, ask())
    await collect(model, ask())
    assert fake.connections == 1


async def test_a_server_that_does_not_end_its_answer(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    fake, model, reply = pair
    monkeypatch.setattr(http, "TAIL_S", 0.01)
    fake.will(reply.but(hang=True))
    assert finished(await collect(model, ask())).stop_reason == "tools"
    await asyncio.wait_for(fake.left.wait(), 5)


async def test_deltas_before_a_failure_are_all_handed_on(pair: Pair) -> None:
    fake, model, reply = pair
    fake.will(reply.but(drop_at=int(len(reply.body) * 0.75)))
    seen, error = await fail(model, ask())
    assert error.kind == "truncated"
    assert isinstance(seen[-1], Usage)
    assert rebuilt(seen)[0] == "Half an answer."


async def test_a_proxy_that_compresses_all_the_same(pair: Pair) -> None:
    fake, model, reply = pair
    packed = gzip.compress(reply.body)
    fake.will(reply.but(pieces=[packed], cut=5, headers={"content-encoding": "gzip"}))
    assert finished(await collect(model, ask())).stop_reason == "tools"
    assert fake.asked[0].headers["accept-encoding"] == "identity"


async def test_nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    model = provider("openai", f"http://127.0.0.1:{port}/v1", name="ollama")
    _, error = await fail(model, ask())
    assert (error.kind, error.retryable) == ("unreachable", True)
    assert error.message == (
        f"ollama cannot be reached at http://127.0.0.1:{port}/v1 (Connection refused); "
        "check that it runs and the address."
    )
    await model._http.aclose()


async def test_a_name_that_does_not_exist() -> None:
    model = provider("openai", "http://no-such-host.invalid/v1")
    _, error = await fail(model, ask())
    assert error.kind == "unreachable"
    await model._http.aclose()


async def test_an_address_that_is_none() -> None:
    model = provider("openai", "ftp://127.0.0.1/v1")
    _, error = await fail(model, ask())
    assert (error.kind, error.retryable) == ("bad_request", False)
    assert "http(s)://" in error.message
    await model._http.aclose()


async def test_plain_text_on_a_tls_address() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    model = provider("openai", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    _, error = await fail(model, ask())
    assert error.kind == "unreachable"
    assert "TLS fails" in error.message
    await model._http.aclose()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("begun", [False, True])
async def test_silence_ends(pair: Pair, begun: bool) -> None:
    fake, model, reply = pair

    def impatient() -> object:
        client = make_client()
        client.timeout = 0.2  # type: ignore[assignment]
        return client

    model._http._factory = impatient  # type: ignore[assignment]
    fake.will(reply.but(hold={4: asyncio.Event()}) if begun else reply.but(hold={0: asyncio.Event()}))
    _, error = await fail(model, ask())
    assert (error.kind, error.retryable) == ("truncated", True)


async def test_proxy_settings_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://192.0.2.1:1080")
    model = provider("openai", "http://192.0.2.2/v1")
    _, error = await fail(model, ask())
    assert (error.kind, error.retryable) == ("bad_request", False)
    assert "proxy settings" in error.message


async def test_the_client_is_made_once_and_again_after_closing() -> None:
    made = []

    def factory() -> object:
        made.append(make_client())
        return made[-1]

    holder = HttpClient(factory)  # type: ignore[arg-type]
    first, second = await asyncio.gather(holder.get(), holder.get())
    assert first is second
    await holder.aclose()
    await holder.aclose()
    assert first.is_closed
    assert await holder.get() is not first
    await holder.aclose()
