# Everything that a newcomer needs; `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
REFERENCE := results/reference
SEED_WEIGHTS := results/weights
SEEDS := 1 2 3 4
# Two halves that share nothing they start from, for two cores.
ALONE := direct@lite hr@lite direct-mix@lite separate@lite
FROM_SR := max-mix@lite mix-mix@lite max-max@lite

.DEFAULT_GOAL := help
.PHONY: help setup figures standalone figures-reference test test-long lint format train train-seeds grids clean \
	weights-alone weights-from-sr

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv/ with pinned versions (every other target does this by itself)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "rdbench needs Python 3.11 or newer; name one with: make PYTHON=python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,dask,onnx]'
	@touch $(STAMP)

figures: $(STAMP) ## run the quick experiment; R-D figures land in results/quick/figures/
	$(BIN)/rdbench run quick.toml --out results/quick
	$(BIN)/rdbench plot results/quick

standalone: $(STAMP) ## accuracy against the factor, without a codec
	$(BIN)/rdbench run standalone.toml --out results/standalone
	$(BIN)/rdbench plot results/standalone

figures-reference: $(STAMP) ## draw the figures of results/reference/ again from its tables alone
	@for run in $(REFERENCE)/*/; do $(BIN)/rdbench plot "$$run" --out "$$run/figures" || exit 1; done

test: $(STAMP) ## the test suite
	$(BIN)/python -m pytest -q -n 2 -m "not long"

test-long: $(STAMP) ## what takes long, too
	$(BIN)/python -m pytest -q

lint: $(STAMP) ## style and types
	$(BIN)/ruff check rdbench tests
	$(BIN)/ruff format --check rdbench tests
	$(BIN)/mypy

format: $(STAMP) ## bring the code into shape
	$(BIN)/ruff check --fix rdbench tests
	$(BIN)/ruff format rdbench tests

train: $(STAMP) ## train the weights that ship anew (seed 0)
	$(BIN)/rdbench train constant --out rdbench/weights
	$(MAKE) -j 2 weights-alone weights-from-sr

weights-alone: $(STAMP)
	$(BIN)/rdbench train $(ALONE) separate-tuned@lite --out rdbench/weights

weights-from-sr: $(STAMP)
	$(BIN)/rdbench train $(FROM_SR) joint@lite frozen@lite --out rdbench/weights

train-seeds: $(STAMP) ## train the other seeds of the tables (seeds 1 to 4)
	mkdir -p $(SEED_WEIGHTS)
	cp rdbench/weights/*.safetensors $(SEED_WEIGHTS)/
	$(MAKE) -j 2 $(foreach seed,$(SEEDS),alone-seed-$(seed) from-sr-seed-$(seed))

alone-seed-%: $(STAMP)
	$(BIN)/rdbench train $(ALONE) --seed $* --out $(SEED_WEIGHTS)/seed-$*

from-sr-seed-%: $(STAMP)
	$(BIN)/rdbench train $(FROM_SR) --seed $* --out $(SEED_WEIGHTS)/seed-$*
	$(BIN)/rdbench train joint@lite --factor 4 --factor 8 --factor 16 --seed $* --out $(SEED_WEIGHTS)/seed-$*

grids: $(STAMP) ## find the bitrate grids of quick.toml on dev clips
	$(BIN)/python -m rdbench.grids rdbench/experiments/quick.toml

clean: ## remove the environment and what was built
	rm -rf $(VENV) build dist *.egg-info
