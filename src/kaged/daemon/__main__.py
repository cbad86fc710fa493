"""`python -m kaged.daemon`: what `kaged start` becomes."""

from kaged.daemon.main import main

if __name__ == "__main__":
    main()
