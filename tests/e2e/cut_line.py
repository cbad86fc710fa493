"""A road between browser and daemon that breaks as real ones do: cut, or silent while both ends believe it is there."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Road:
    """A TCP proxy. `cut`: connections end and no new ones come through. `stall`: those that are open carry nothing any
    more, without an end; new ones work."""

    def __init__(self, upstream: Callable[[], int]) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._peer: dict[socket.socket, socket.socket] = {}
        self._down, self._over, self._lock = False, False, threading.Lock()
        self.port = int(self._listener.getsockname()[1])
        self.bytes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        with self._lock:
            self._down = True
            for sock in [*self._peer]:
                self._end(sock)

    def heal(self) -> None:
        with self._lock:
            self._down = False

    def stall(self) -> None:
        with self._lock:
            for sock in [*self._peer]:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(sock)

    def _end(self, sock: socket.socket) -> None:
        for each in (sock, self._peer.pop(sock, None)):
            if each is not None:
                self._peer.pop(each, None)
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(each)
                each.close()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if self._down:
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self._upstream()), 5)
        except OSError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            self._peer[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
            if data:
                self.bytes += len(data)
                self._peer[sock].sendall(data)
                return
        except (OSError, KeyError):
            pass
        self._end(sock)

    def serve(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peer:
                        self._pass(key.fileobj)

    def close(self) -> None:
        self._over = True


@contextmanager
def road(upstream: Callable[[], int]) -> Iterator[Road]:
    """A road that is open while inside."""
    it = Road(upstream)
    thread = threading.Thread(target=it.serve)
    thread.start()
    try:
        yield it
    finally:
        it.close()
        thread.join()
        it.cut()
        it._listener.close()
        it._selector.close()
