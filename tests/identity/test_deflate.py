"""What goes out can be read by any client, with one compressor for a socket that sends and none for one that rests."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode

from kaged.identity.deflate import SMALL, Deflate, DeflateFactory


def pair(**offer: bool) -> tuple[Deflate, PerMessageDeflate]:
    """Both ends, as a handshake makes them."""
    client = ClientPerMessageDeflateFactory(client_max_window_bits=True, **offer)
    answer, ours = DeflateFactory().process_request_params(client.get_request_params(), [])
    assert isinstance(ours, Deflate)
    return ours, client.process_response_params(answer, [])


MESSAGES = st.lists(st.one_of(st.none(), st.text(max_size=30).map(lambda text: text.encode() * 9)), max_size=12)


@given(messages=MESSAGES, alone=st.booleans())
def test_every_message_arrives_however_often_it_rests(messages: list[bytes | None], alone: bool) -> None:
    ours, theirs = pair(server_no_context_takeover=alone)
    for message in messages:
        if message is None:
            ours.rest()
            continue
        sent = ours.encode(Frame(Opcode.TEXT, message))
        assert sent.rsv1 is (len(message) >= SMALL), "short ones go as they are"
        assert bytes(theirs.decode(sent).data) == message
        back = theirs.encode(Frame(Opcode.TEXT, message))
        assert bytes(ours.decode(back, max_size=100_000).data) == message
        assert not hasattr(ours, "decoder"), "nothing is kept of what a client sends"


def test_a_socket_that_rests_has_no_compressor() -> None:
    ours, _ = pair()
    ours.encode(Frame(Opcode.TEXT, b"x" * (SMALL - 1)))
    assert ours.encoder is None
    first = ours.encode(Frame(Opcode.TEXT, b"some words " * 20))
    second = ours.encode(Frame(Opcode.TEXT, b"some words " * 20))
    assert len(second.data) < len(first.data), "the second one refers to the first"
    ours.rest()
    assert ours.encoder is not None, "it worked since the last time"
    ours.rest()
    assert ours.encoder is None
    assert ours.encode(Frame(Opcode.PING, b"x" * 100)).rsv1 is False
