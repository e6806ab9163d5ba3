# Everything that a newcomer needs; `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
TOOLS := $(VENV)/.tools
REFERENCE := results/reference
SEED_WEIGHTS := results/weights
SEEDS := 1 2 3 4 5 6 7 8 9
DEVICE := auto
# Two halves that share nothing they start from, for two cores.
ALONE := hr@lite direct-mix@lite separate@lite separate-tuned@lite direct@lite
FROM_SR := max-mix@lite mix-mix@lite max-max@lite frozen@lite joint@lite
DRAWN := --only standalone,methods,strip
RUNS := dask,onnx
DEVELOPS := test,$(RUNS)

# $(1) are the extras, $(2) more for pip.
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "rdbench needs Python 3.11 or newer; name one with: make PYTHON=python3.11 ..."; exit 1; }
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
$(BIN)/python -m pip install --quiet $(2) -c constraints.txt --config-settings editable_mode=compat -e '.[$(1)]'
endef

define swept
$(BIN)/rdbench run $(1).toml --out results/$(1)
$(BIN)/rdbench plot results/$(1)
endef

.DEFAULT_GOAL := help
.PHONY: help setup figures standalone figures-reference test test-long lint format train train-seeds train-size grids codecs-table efforts clean bench paper \
	weights-alone weights-from-sr single wide

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv/ with pinned versions, for who only runs (every target makes what it needs)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(call install,$(RUNS))
	@touch $(STAMP)

# All at once, since pip takes its time for each call; what is imported is compiled then, which is a sixth of it all.
$(TOOLS): setup.cfg pyproject.toml constraints.txt
	$(call install,$(DEVELOPS),--no-compile)
	@touch $(STAMP) $(TOOLS)

# Two pips at once would meet in one folder.
ifneq ($(filter test test-long bench lint format,$(MAKECMDGOALS)),)
$(STAMP): | $(TOOLS)
endif

figures: $(STAMP) ## run the quick experiment; R-D figures land in results/quick/figures/
	$(call swept,quick)

standalone: $(STAMP) ## accuracy against the factor, without a codec
	$(call swept,standalone)

# Each folder is drawn anew beside the old one, which goes only then: no figure stays that is drawn no more. A run's
# only.txt names the kinds of figures it has, such as standalone,methods,strip.
figures-reference: $(STAMP) ## draw the figures of results/reference/ again from its tables alone
	@for run in $(REFERENCE)/*/; do \
		fresh="$${run}.figures"; rm -rf "$$fresh"; \
		set --; if [ -f "$${run}only.txt" ]; then set -- --only "$$(cat "$${run}only.txt")"; fi; \
		$(BIN)/rdbench plot "$$run" --out "$$fresh" "$$@" > /dev/null || { rm -rf "$$fresh"; exit 1; }; \
		rm -rf "$${run}figures" && mv "$$fresh" "$${run}figures" && echo "$${run}figures" || exit 1; \
	done

test: $(TOOLS) ## the test suite
	$(BIN)/python -m pytest -q -n 2 -m "not long"

bench: $(TOOLS) ## speed of inference as a ratio; what a million rows take
	$(BIN)/python tests/bench/bench_inference.py
	$(BIN)/python tests/bench/bench_scale.py

test-long: $(TOOLS) ## what takes long, too
	$(BIN)/python -m pytest -q

lint: $(TOOLS) ## style and types
	$(BIN)/ruff check rdbench tests
	$(BIN)/ruff format --check rdbench tests
	$(BIN)/mypy -n 2

format: $(TOOLS) ## bring the code into shape
	$(BIN)/ruff check --fix rdbench tests
	$(BIN)/ruff format rdbench tests

train: $(STAMP) ## train the weights that ship anew (seed 0)
	$(BIN)/rdbench train constant --out rdbench/weights
	$(MAKE) -j 2 weights-alone weights-from-sr
	$(BIN)/rdbench train coded-mix@lite wide-mix@lite --device $(DEVICE) --out rdbench/weights

weights-alone: $(STAMP)
	$(BIN)/rdbench train $(ALONE) --device $(DEVICE) --out rdbench/weights

weights-from-sr: $(STAMP)
	$(BIN)/rdbench train $(FROM_SR) --device $(DEVICE) --out rdbench/weights

train-seeds: $(STAMP) ## train the other seeds of the paper's tables (1 to 9); DEVICE=cuda where there is one
	mkdir -p $(SEED_WEIGHTS)
	cp rdbench/weights/*.safetensors $(SEED_WEIGHTS)/
	$(MAKE) -j 2 $(foreach seed,$(SEEDS),from-sr-seed-$(seed) alone-seed-$(seed))

alone-seed-%: $(STAMP)
	$(BIN)/rdbench train $(ALONE) --device $(DEVICE) --seed $* --out $(SEED_WEIGHTS)/seed-$*

from-sr-seed-%: $(STAMP)
	$(BIN)/rdbench train $(FROM_SR) --device $(DEVICE) --seed $* --out $(SEED_WEIGHTS)/seed-$*

train-size: $(STAMP) ## train networks of the paper's own size, seed 0 (hours without a GPU)
	mkdir -p $(SEED_WEIGHTS)
	cp rdbench/weights/*.safetensors $(SEED_WEIGHTS)/
	$(BIN)/rdbench train hr@paper direct-mix@paper max-mix@paper --device $(DEVICE) --out $(SEED_WEIGHTS)

paper: $(STAMP) ## tables and figures of the paper's models (after train-seeds and train-size)
	for run in paper-standalone paper-size paper; do \
		$(BIN)/rdbench run $$run.toml --weights $(SEED_WEIGHTS) --out results/$$run || exit 1; \
		$(BIN)/rdbench plot results/$$run $(DRAWN) || exit 1; \
	done
	for run in paper-standalone paper-size; do \
		$(BIN)/rdbench methods results/$$run --format markdown -o results/$$run/methods.md || exit 1; \
	done
	$(BIN)/rdbench claims results/paper-standalone results/paper --claims paper.toml --format markdown -o results/paper/claims.md

single: $(STAMP) ## single models under codecs that one of them learned from, and others
	$(call swept,single)

wide: $(STAMP) ## the wide single model against the paper's, under encoders that neither saw
	$(call swept,wide)

grids: $(STAMP) ## find the bitrate grids of abr.toml on dev clips
	$(BIN)/python -m rdbench.sweep.grids rdbench/experiments/abr.toml

codecs-table: $(STAMP) ## measure the tables of docs/codecs.md anew
	for table in structure limits efforts; do $(BIN)/python -m rdbench.codecs $$table --into docs/codecs.md || exit 1; done

efforts: $(STAMP) ## measure what presets cost in CPU time
	$(BIN)/python -m rdbench.codecs efforts

clean: ## remove the environment and what was built
	rm -rf $(VENV) build dist *.egg-info
