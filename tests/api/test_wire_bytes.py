"""How many bytes a streamed answer costs on a tab's socket, without any clock: events as they are, each compressed as a
message of its own after those before it."""

import random

import msgspec
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode

from kaged.api.hub import frame
from kaged.core import ids
from kaged.core.clock import iso
from kaged.core.events import Event
from kaged.identity.deflate import DeflateFactory

TOKENS, APART_S, LETTERS = 800, 0.0125, "etaoinshrdlucmfwypvbgk"
LIMIT = 18.0  # Bytes a token, of which 2 are the frame's head and 6 the text, the time and the number


def test_a_token_of_four_letters_costs_so_many_bytes() -> None:
    offer = ClientPerMessageDeflateFactory(client_max_window_bits=True).get_request_params()
    _, deflate = DeflateFactory().process_request_params(offer, [])
    draw = random.Random(7)
    words = ["".join(draw.choices(LETTERS, k=draw.randint(2, 9))) for _ in range(600)]
    weights = [1 / (rank + 2) for rank in range(len(words))]
    session, run, message = (ids.new_ulid() for _ in range(3))
    data = {"run_id": run, "message_id": message, "part": 0, "kind": "text"}
    wire = 0
    at = 1_795_000_000.0
    for number in range(TOKENS):
        token = f" {draw.choices(words, weights)[0]}"[:5]
        at += APART_S + draw.random() * 0.002
        event = Event(session, number + 8, iso(at), "message.delta", {**data, "text": token}, number + 90)
        body = msgspec.json.encode(frame(f"session:{session}", event))
        wire += 2 + len(deflate.encode(Frame(Opcode.TEXT, body)).data)
    assert wire / TOKENS <= LIMIT, "the order of the keys, the window or the level has changed"
