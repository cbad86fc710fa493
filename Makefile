# Two commands are enough: `make run` and `make test`. Both install what is missing.
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v $$p && break; done)
ifeq ($(PYTHON),)
$(error kaged needs Python 3.11 or newer: `apt install python3.11` (Ubuntu 22.04) or a newer Debian/Ubuntu)
endif
BOOTSTRAP := $(PYTHON) scripts/bootstrap.py

.PHONY: help run test quick lint ui bench screenshots clean

help:   ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/: .*##/\t/' | expand -t 14

run:    ## install what is missing, build the console, start kaged, print the launch URL
	@exec $(BOOTSTRAP) run

test:   ## install what is missing, run every check and test
	@exec $(BOOTSTRAP) test

quick:  ## the tests without browser stories and long ones
	@exec $(BOOTSTRAP) quick

lint:   ## format and check the Python code
	@.venv/bin/ruff format src tests benchmarks scripts && .venv/bin/ruff check --fix src tests benchmarks scripts \
	&& .venv/bin/mypy && .venv/bin/lint-imports

ui:     ## build the console into src/kaged/web
	@exec $(BOOTSTRAP) ui

bench:  ## the benchmarks, quick form
	@exec $(BOOTSTRAP) bench

clean:  ## remove what the commands above made in this checkout (never kaged's home)
	rm -rf .venv .cache ui/node_modules src/kaged/web artifacts dist
