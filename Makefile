# A fresh machine needs python3 (3.11 or later), make and git; everything else goes into .venv.
# Without a GPU, PyTorch's smaller CPU wheels do: set PIP_EXTRA_INDEX_URL to the CPU index that pytorch.org names.
.PHONY: help setup demo app test test-engine test-rest check
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 10

setup: .venv/.ready  ## make .venv with all that tests and the demo need

.venv/.ready: pyproject.toml constraints.txt .ci/setup Testing/room_needs.py
	.ci/setup

demo: setup  ## the whole loop on a small synthetic cohort: a table, and pictures under demo/
	.venv/bin/semisupseg demo demo

app: setup  ## the browser app on a small synthetic sample project, under demo/sample
	.venv/bin/semisupseg app --sample

test: setup  ## all tests, in two halves side by side
	$(MAKE) --no-print-directory --jobs=2 test-engine test-rest

# Testing/torch needs most of the time; the other rooms share one process in the order of their names.
TESTS := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -p no:cacheprovider
ENGINE := Testing/torch Testing/ddp
test-engine:
	$(TESTS) $(ENGINE)
test-rest:
	$(TESTS) Testing $(ENGINE:%=--ignore=%)

check: setup  ## style, types, and who may import whom
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
