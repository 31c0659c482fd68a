# make solve       find a permutation for the example weight and show what it keeps
# make test        run the fast tests
# make test-core   run those of them that need no torch, in an environment without it
# make lint        style, types, import contracts, dependencies
# make clean       remove everything that these made
#
# They need Python >= 3.11 and nothing else: all that is installed goes into .venv (.venv-core for test-core).

PYTHON ?= python3
VENV ?= .venv
VENV_CORE ?= .venv-core
OUT ?= build
EXAMPLE ?= bench/data/digits_mlp.npy
TIME_LIMIT ?= 5
# Processes that share the tests; each loads torch, and computes on one thread, since the others need the cores, too.
TEST_PROCESSES ?= 4

BIN := $(VENV)/bin
# Editable: only a change of the dependencies makes it necessary to install again.
INSTALL := bin/python -m pip install --quiet --disable-pip-version-check --editable
run-tests = OMP_NUM_THREADS=1 $(1)/bin/python -m pytest --numprocesses auto --maxprocesses $(TEST_PROCESSES) --dist worksteal

.PHONY: help solve test test-core lint clean install install-test install-lint install-core
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

solve: install
	@mkdir -p $(OUT)
	$(BIN)/permsolve solve $(EXAMPLE) --pattern 2:4 --time-limit $(TIME_LIMIT) --seed 0 \
		--out $(OUT)/example-permutation.npy --json $(OUT)/example-result.json

test: install-test
	$(call run-tests,$(VENV))

test-core: install-core
	@! $(VENV_CORE)/bin/python -c 'import torch' 2>/dev/null || { echo "$(VENV_CORE) has torch" >&2; exit 1; }
	$(call run-tests,$(VENV_CORE))

lint: install-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.:solvers $(BIN)/lint-imports
	$(BIN)/deptry .

clean:
	rm -rf $(VENV) $(VENV_CORE) $(OUT) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find permsolve solvers bench tests -name __pycache__ -type d -prune -exec rm -rf {} +

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test
install-lint: $(VENV)/.installed-lint

install-core: $(VENV_CORE)/.installed-test

$(VENV)/.installed: pyproject.toml | $(VENV)/.created
	@echo "installing permsolve into $(VENV)"
	@$(VENV)/$(INSTALL) .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/.created
	@echo "installing permsolve, its test tools, torch and transformers into $(VENV)"
	@$(VENV)/$(INSTALL) '.[test,test-networks]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-lint: pyproject.toml | $(VENV)/.created
	@echo "installing permsolve, its test and its lint tools into $(VENV)"
	@$(VENV)/$(INSTALL) '.[test,test-networks,lint]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(VENV_CORE)/.installed-test: pyproject.toml | $(VENV_CORE)/.created
	@echo "installing permsolve and its test tools, without torch, into $(VENV_CORE)"
	@$(VENV_CORE)/$(INSTALL) '.[test]'
	@touch $@

# Debian splits venv's ensurepip off into a package of its own. Without it, a pip outside the environment can
# install one into it.
%/.created:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "no $(PYTHON) found: install Python >= 3.11 (Debian: apt install python3 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "permsolve needs Python >= 3.11, but $(PYTHON) is $$($(PYTHON) --version 2>&1):" \
			"name another, for example make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@rm -rf $*
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null && $(PYTHON) -m venv $*; then :; \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1 && rm -rf $* && \
		$(PYTHON) -m venv --without-pip $* && \
		$(PYTHON) -m pip --python $*/bin/python install --quiet --disable-pip-version-check pip; then :; \
	else \
		rm -rf $*; \
		echo "cannot make a virtual environment: $(PYTHON) has no ensurepip and no pip" \
			"(Debian: apt install python3-venv, then run make again)" >&2; exit 1; \
	fi
	@touch $@
