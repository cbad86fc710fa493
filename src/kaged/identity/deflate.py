"""permessage-deflate for sockets that are quiet most of the time. A compressor holds 80 KB; here a socket has one only
while it sends. The sender of such a stream may begin anew with any message, and may send one as it is."""

import zlib
from collections.abc import Sequence
from typing import Any

from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import CTRL_OPCODES, Frame
from websockets.typing import ExtensionParameter

SMALL = 128  # Bytes of a message below which it is sent as it is


class Deflate(PerMessageDeflate):
    """The library's, with a compressor that comes with the first message worth it and goes with `rest`."""

    encoder: Any = None
    _worked = False

    def __init__(self, base: PerMessageDeflate) -> None:
        windows = base.remote_max_window_bits, base.local_max_window_bits
        contexts = base.remote_no_context_takeover, base.local_no_context_takeover
        super().__init__(*contexts, *windows, base.compress_settings)
        self.encoder = None

    def encode(self, frame: Frame) -> Frame:
        """Compress a message; always whole ones, the server sends no other."""
        if frame.opcode in CTRL_OPCODES or len(frame.data) < SMALL:
            return frame
        self._worked = True
        if self.encoder is None:
            self.encoder = zlib.compressobj(wbits=-self.local_max_window_bits, **self.compress_settings)
        return super().encode(frame)

    def rest(self) -> None:
        """Called now and then: gives the compressor back if it was not used since the last time."""
        if not self._worked:
            self.encoder = None
        self._worked = False


class DeflateFactory(ServerPerMessageDeflateFactory):
    """Windows of 16 KiB; clients' messages are short and seldom, so each is compressed by itself."""

    def __init__(self) -> None:
        super().__init__(False, True, 14, 14, {"memLevel": 5, "level": 9})

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        answer, base = super().process_request_params(params, accepted_extensions)
        return answer, Deflate(base)
