# What a person does here. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REPOSITORY ?= models
PEERS ?= triton kserve mlserver mlserver-batching fastapi grpcio-tutorial litserve bentoml echo echo-completion-queue
TARGETS ?= all
CHECKED := training experiments serving client protos tests benchmarks deploy

.DEFAULT_GOAL := help
.PHONY: help run test train bench chaos soak conformance pythons fuzz sbom audit proto dist lock clean

help: ## list what can be done
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

# One environment, grown on demand: serving first, the rest only when something needs it.
$(BIN)/python:
	@deploy/make_venv.sh "$(PYTHON)" $(VENV)

$(VENV)/serving.installed: requirements/serving.txt | $(BIN)/python
	@echo "Installing what serving needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/development.installed: requirements/development.txt | $(BIN)/python
	@echo "Installing serving, training and development tools into $(VENV) (TensorFlow is large: minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@ $(VENV)/serving.installed

# This checkout and the client, editable: their commands in $(BIN), their packages for every program of $(VENV).
$(VENV)/checkout.installed: requirements/build.txt pyproject.toml client/pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --editable . --editable ./client
	@touch $@

# Triton's client, for the tests that speak to us through it: it needs an older protobuf than ours, so it lives apart.
$(VENV)/tritonclient.installed: requirements/tritonclient.txt | $(BIN)/python
	@echo "Installing Triton's client into $(VENV)/tritonclient ..."
	@deploy/make_venv.sh $(BIN)/python $(VENV)/tritonclient
	@$(VENV)/tritonclient/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# On a terminal the server gets a process group of its own (set -m), so that Ctrl-C reaches it and
# not make: it drains, exits 0, and so does make. It also drains when the terminal is closed.
run: $(VENV)/serving.installed $(VENV)/checkout.installed ## serve the committed model, show it on the samples, stay up until Ctrl-C
	@read -r _ _ _ _ group _ _ foreground _ < /proc/self/stat; [ "$$group" != "$$foreground" ] || set -m; \
	$(BIN)/python -m serving --model-repository $(REPOSITORY) --show-samples samples

# First what takes a second. Then types and tests side by side: the tests in two processes, and those that measure time or
# memory afterwards, alone. All of it runs whatever fails, and the last lines say what did.
test: $(VENV)/development.installed $(VENV)/tritonclient.installed $(VENV)/checkout.installed ## format check, lint, types, import layers, then all tests
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/lint-imports
	@mkdir -p .mypy_cache; failed=; \
	{ $(BIN)/mypy && $(BIN)/mypy deploy/sbom.py; } >.mypy_cache/report.txt 2>&1 & types=$$!; \
	trap "kill $$types 2>/dev/null" INT TERM; \
	$(BIN)/python -m pytest -n 2 -m "not serial" || failed="$$failed tests"; \
	wait $$types || failed="$$failed types"; cat .mypy_cache/report.txt; \
	$(BIN)/python -m pytest -m serial || failed="$$failed serial-tests"; \
	[ -z "$$failed" ] || { echo "FAILED:$$failed"; exit 1; }

train: $(VENV)/development.installed ## fetch data, train, evaluate, export a new version into models/
	$(BIN)/python -m training run

bench: $(VENV)/development.installed $(VENV)/checkout.installed ## our server beside its peers, all on the same network (PEERS="triton kserve" TARGETS=)
	$(BIN)/python -m benchmarks --peers $(PEERS) $(if $(TARGETS),--targets $(filter-out all,$(TARGETS)))

chaos: $(VENV)/development.installed $(VENV)/checkout.installed ## break the server on purpose, at length: kills, restarts, reloads, storms
	$(BIN)/python -m tests.chaos

soak: $(VENV)/development.installed $(VENV)/checkout.installed ## an hour of good and bad traffic: nothing may grow
	$(BIN)/python -m tests.chaos soak

conformance: $(VENV)/development.installed $(VENV)/checkout.installed ## long forms of tests: every digit and layer on the page, many requests against its description; then other people's clients
	$(BIN)/python -m pytest --long -m long
	$(BIN)/python -m tests.conformance

pythons: ## serving's and the client's unit tests on each Python 3.11 to 3.13 that is installed here
	tests/on_each_python.sh $(VENV)/pythons

fuzz: $(VENV)/development.installed $(VENV)/checkout.installed ## new random inputs, for minutes: to the properties that tests state, then to the parsers
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -n 2 -m hypothesis tests/unit
	for target in intake read classify infer; do $(BIN)/python -m tests.fuzz $$target --seconds 60 || exit 1; done

sbom: $(VENV)/development.installed ## write the bills of materials of the two images, which must be built
	for image in serving training; do \
	  $(BIN)/python deploy/sbom.py mnist-digits/$$image:0.1.0 deploy/sbom/$$image.cdx.json || exit 1; \
	done

audit: $(VENV)/development.installed ## ask for known vulnerabilities of what is locked (needs internet)
	for lock in serving signing traces training; do \
	  $(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements/$$lock.txt || exit 1; \
	done

proto: $(VENV)/development.installed ## generate the Python code of protos/ again
	$(BIN)/python -m protos.generate

dist: $(VENV)/development.installed $(VENV)/checkout.installed ## build the wheels and source archives of both distributions into dist/
	rm -rf dist
	for folder in . client; do \
	  $(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist $$folder || exit 1; \
	done

lock: $(VENV)/development.installed ## pin the newest dependencies, with hashes, into requirements/
	for extra in serving gpu signing training build development tritonclient scale traces; do \
	  pins=; case $$extra in \
	    gpu) pins="--constraint requirements/serving.txt" ;; \
	    scale) pins="--constraint requirements/development.txt" ;; \
	    traces) pins="--constraint requirements/serving.txt --constraint requirements/signing.txt" ;; \
	  esac; \
	  $(BIN)/uv pip compile pyproject.toml --extra $$extra $$pins --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-emit-index-url --no-emit-package mnist-digits --no-header --no-annotate --quiet \
	    --output-file requirements/$$extra.txt || exit 1; \
	done
	for peer in benchmarks/peers/*/requirements.in; do \
	  $(BIN)/uv pip compile $$peer --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet \
	    --output-file $${peer%.in}.txt || exit 1; \
	done

clean: ## remove the environment, caches, distributions and unfinished training runs
	rm -rf $(VENV) runs build dist client/build *.egg-info client/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
