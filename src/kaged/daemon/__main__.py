"""`python -m kaged.daemon`: what `kaged start` becomes."""

import contextlib
import gc


def start() -> None:
    from kaged.core.errors import GateError
    from kaged.daemon.process import harden

    with contextlib.suppress(GateError):  # `main` tries again, and says it.
        harden()  # Now, not after the imports: until then every process of this account can read our environment.
    gc.disable()  # Nothing of what is imported becomes garbage: looking for some takes a sixth of the start.
    from kaged.daemon.main import main

    gc.freeze()
    gc.enable()
    main()


if __name__ == "__main__":
    start()
