"""`python -m kaged.cli`: the same as `kaged`, for places without the installed command."""

from kaged.cli.main import main

if __name__ == "__main__":
    main()
