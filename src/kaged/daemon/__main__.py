"""`python -m kaged.daemon`: what `kaged start` becomes."""

import gc


def start() -> None:
    """Import everything, then run."""
    gc.disable()  # Nothing of what is imported becomes garbage: looking for some takes a sixth of the start.
    from kaged.daemon.main import main

    gc.freeze()
    gc.enable()
    main()


if __name__ == "__main__":
    start()
