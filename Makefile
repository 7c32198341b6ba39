# What to type. `make` alone tells. Needs Python 3.11 or later and make; everything else is fetched into .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# A run starts hundreds of processes: each would compile every module again where the shell forbids to keep what was compiled.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PYTHON := $(BIN)/python
PYTEST := $(PYTHON) -m pytest
TYPED := -p service -p api -p integrations -p migrations -p lab
STAMP := .venv/.ready
NODE := tests/integrations/calendar/ical tests/integrations/webhooks tests/pages/axe
# What runs on the oldest server, too: 98 of 100 statements that the tests of verbs, journeys and races send (docs/testing.md).
OLDEST := tests/integrations/runtime/test_schema.py tests/service tests/races/test_caps.py \
	$(addprefix tests/journeys/test_, $(addsuffix .py, address_changes canaries events partner_system privacy round_trip \
		second_person second_programme zones))
REPEATING := $(addprefix --ignore=tests/service/care/transitions/test_, departures.py unlinked.py)
DAYS = 2026-12-31T23:55Z 2027-02-28T23:50Z 2027-03-28T00:55Z 2028-02-29T12:00Z
LONGER = $(shell grep -rlE '"DRILLS"|PROPERTY' tests --include='test_*.py')

.PHONY: help setup setup-office setup-clock setup-pg15 setup-node setup-browser setup-proxies setup-pgbouncer setup-openapi setup-deploy screenshots deploy-check advisories demo fast test lint types architecture migration-lint \
	dockerfile-lint dead-code tests tests-pg15 tests-pooler tests-dates coverage demo-once bench drills lock format clean

help: ## show what can be asked for
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-16s %s\n' "$$name" "$$text"; done

# --- set-up -----------------------------------------------------------------------------------------------------

setup: $(STAMP) ## make .venv, so that .venv/bin/pobratym runs

$(STAMP): requirements.lock pyproject.toml
	@mkdir -p .cache
	@test -x $(BIN)/pip || { \
		for python in python3.12 python3.11 python3.13 python3; do \
			"$$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
				&& exec "$$python" -m venv --clear .venv; \
		done; \
		echo "make: no Python from 3.11 on with venv is on the PATH (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@awk '/^[^ ]/ { ours = /^uv==/ } ours' requirements.lock >.cache/uv.lock
	@$(PYTHON) -m pip install --quiet --require-hashes -r .cache/uv.lock
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(PYTHON) requirements.lock \
		|| { echo "make: uv found no way to the packages, pip tries (a minute or two)" >&2; \
			$(PYTHON) -m pip install --quiet --require-hashes --no-deps -r requirements.lock; }
	@$(BIN)/uv pip install --quiet --python $(PYTHON) --no-deps --editable . \
		|| $(PYTHON) -m pip install --quiet --no-deps --editable .
	@touch $@

setup-pg15: ## have Debian's PostgreSQL and PgBouncer for the tests that prove what stands between us and the data
	@if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && PATH="$$PATH:/usr/sbin" command -v pgbouncer >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		{ apt-get update -qq \
			&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql pgbouncer; } \
			>.cache/apt.log 2>&1 \
			|| echo "LEFT OUT: Debian's PostgreSQL and PgBouncer cannot be installed (.cache/apt.log); their tests are skipped"; \
	else echo "LEFT OUT: Debian's PostgreSQL or PgBouncer is not installed and we are not root; its tests are skipped"; fi

setup-node: ## have what other people's programs read us with (ical.js, standardwebhooks) for the tests that use it
	@command -v npm >/dev/null 2>&1 || echo "LEFT OUT: npm is not installed; the tests with JavaScript are skipped"
	@for folder in $$(command -v npm >/dev/null 2>&1 && echo $(NODE)); do \
		[ $$folder/node_modules/.package-lock.json -nt $$folder/package-lock.json ] \
			|| npm ci --prefix $$folder --no-audit --no-fund --loglevel=error \
			|| echo "LEFT OUT: npm found no way to what $$folder needs; its tests fail"; \
	done

setup-proxies: ## have Debian's nginx and Caddy for the drills that stand behind them
	@mkdir -p .cache
	@if PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null && command -v caddy >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light caddy; } \
			>.cache/apt-proxies.log 2>&1 \
			|| echo "LEFT OUT: nginx and Caddy cannot be installed (.cache/apt-proxies.log); their drills are skipped"; \
	else echo "LEFT OUT: nginx or Caddy is not installed and we are not root; its drill is skipped"; fi

setup-openapi: setup ## have what reads our description as other people do (Redocly, Spectral, makers of clients) for its drills
	@mkdir -p .cache
	@{ command -v npm >/dev/null && npm ci --prefix tests/drills/openapi --no-audit --no-fund --loglevel=error; } \
		|| echo "LEFT OUT: npm found no way to what tests/drills/openapi needs; its drills are skipped"
	@[ -x .cache/openapi-python-client/bin/openapi-python-client ] \
		|| { $(PYTHON) -m venv .cache/openapi-python-client \
			&& .cache/openapi-python-client/bin/python -m pip install --quiet openapi-python-client==0.29.1; } \
		|| echo "LEFT OUT: openapi-python-client cannot be installed; its drill is skipped"

setup-browser: ## have Debian's Chromium for the test that looks at the pages as a person does
	@if command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
			>.cache/apt-browser.log 2>&1 \
			|| echo "LEFT OUT: Chromium cannot be installed (.cache/apt-browser.log); its test is skipped"; \
	else echo "LEFT OUT: Chromium is not installed and we are not root; its test is skipped"; fi

setup-pgbouncer: setup-pg15 ## build the next Debian's PgBouncer, which keeps prepared statements, into .cache (two minutes)
	@[ -x .cache/pgbouncer/pgbouncer ] || { deploy/build-pgbouncer "$$PWD/.cache/pgbouncer" >.cache/pgbouncer.log 2>&1 \
		|| echo "LEFT OUT: the next Debian's PgBouncer cannot be built (.cache/pgbouncer.log); nothing is proved through it"; }

setup-deploy: setup ## have what `make deploy-check` asks: promtool, amtool, docker-compose, kubectl, Kubernetes' schemas
	@deploy/setup-tools

setup-office: ## have Debian's LibreOffice for the drill that opens our files in it and saves them again
	@if command -v soffice >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		{ apt-get update -qq \
			&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libreoffice-calc-nogui; } \
			>.cache/apt-office.log 2>&1 \
			|| echo "LEFT OUT: LibreOffice cannot be installed (.cache/apt-office.log); its drill is skipped"; \
	else echo "LEFT OUT: LibreOffice is not installed and we are not root; its drill is skipped"; fi

setup-clock: ## have Debian's faketime for the drill with a worker whose clock is off
	@mkdir -p .cache
	@if command -v faketime >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends faketime; } \
			>.cache/apt-clock.log 2>&1 \
			|| echo "LEFT OUT: faketime cannot be installed (.cache/apt-clock.log); its drill is skipped"; \
	else echo "LEFT OUT: faketime is not installed and we are not root; its drill is skipped"; fi

lock: ## resolve the dependencies anew, with hashes and without naming a host
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url \
		--no-header --output-file requirements.lock $(LOCK)
	$(BIN)/uv pip compile --quiet pyproject.toml --universal --generate-hashes --no-emit-index-url \
		--no-header --constraint requirements.lock --output-file requirements-run.lock
	@touch requirements.lock

# --- see it work ------------------------------------------------------------------------------------------------

demo: setup ## walk one consultation from request to report, then serve; ONCE=1 ends after the walk
	@$(BIN)/pobratym demo $(if $(ONCE),--once)

# --- check ------------------------------------------------------------------------------------------------------

FAST = PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(PYTEST) -q -p pytest_asyncio.plugin -p pytest_timeout -p _hypothesis_pytestplugin \
	--noconftest -m "not slow"

fast: setup ## lint, architecture, rules and house tests: under ten seconds on two cores
	@mkdir -p .cache; $(FAST) tests/test_house.py $(wildcard tests/rules/*/) >.cache/fast.log 2>&1 & other=$$!; \
	$(BIN)/ruff check --quiet . || faults=1; \
	$(BIN)/lint-imports --no-logo >.cache/architecture.log 2>&1 || { cat .cache/architecture.log; faults=1; }; \
	$(FAST) $(wildcard tests/rules/test_*.py) || faults=1; \
	wait $$other || faults=1; \
	grep -v '^[.]* *\[' .cache/fast.log; test -z "$$faults"

test: setup setup-pg15 setup-node setup-browser lint types architecture migration-lint dockerfile-lint dead-code tests demo-once coverage tests-pg15 ## every check and test; what .ci/run calls
	@echo "make test: all held"

lint: setup
	@echo "== lint"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }

format: setup ## put the code into its form
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

types: setup
	@echo "== types"
	@$(BIN)/mypy $(TYPED)
	@$(BIN)/mypy $(wildcard tests bench)

architecture: setup
	@echo "== who imports whom"
	@$(BIN)/lint-imports --no-logo

migration-lint: setup
	@echo "== migrations"
	@mkdir -p .cache
	@$(BIN)/alembic upgrade head --sql >.cache/migrations.sql 2>.cache/migrations.log || { cat .cache/migrations.log; exit 1; }
	@$(BIN)/squawk --pg-version 15 .cache/migrations.sql

dockerfile-lint: setup
	@echo "== Dockerfile"
	@$(BIN)/tally lint Dockerfile

dead-code: setup
	@echo "== dead code, unused and undeclared dependencies"
	@$(BIN)/vulture
	@$(BIN)/deptry .

tests: setup
	@echo "== tests"
	@rm -rf .cache/coverage && mkdir -p .cache/coverage
	@$(PYTEST) -q -n 2 --dist loadfile -m "not drill and not load" --cov --cov-report= --durations=15 $(ARGS)
	@$(PYTEST) -q -n 2 --dist loadgroup --no-loadscope-reorder -m "load and not drill" --durations=5 $(ARGS)

coverage: setup
	@echo "== coverage"
	@$(BIN)/coverage combine --quiet --append --keep
	@$(BIN)/coverage report --fail-under=95
	@$(BIN)/coverage report --include='service/rules/*' --fail-under=100

tests-pg15: setup setup-pg15
	@echo "== what touches the database, on the oldest PostgreSQL we support"
	@$(PYTHON) tests/on_pg15.py -q -n 2 --dist loadfile -m "not drill and not slow" $(OLDEST) $(REPEATING) $(ARGS)

demo-once: setup
	@echo "== demo"
	@rm -rf .cache/demo && mkdir -p .cache/coverage && \
		POBRATYM_DATA_DIR=.cache/demo $(BIN)/coverage run $(BIN)/pobratym demo --once

tests-pooler: setup setup-node setup-pgbouncer ## the API's tests, journeys and pages through PgBouncer in transaction mode, both kinds
	@for which in newer older; do \
		echo "== through PgBouncer, $$which"; \
		$(PYTHON) tests/behind_pooler.py $$which -q -n 2 --dist loadfile -m "not drill and not load" \
			tests/api tests/journeys tests/pages $(ARGS) || exit 1; \
	done

tests-dates: setup setup-clock ## rules, verbs and the API on other days: the end of a month and of a year, a leap day, the change of clocks
	@for instant in $(DAYS); do \
		echo "== at $$instant"; \
		$(PYTHON) tests/at_another_time.py $$instant -q -n 2 --dist loadfile -m "not drill and not load" \
			tests/rules tests/service tests/api $(ARGS) || exit 1; \
	done

drills: setup setup-pg15 setup-node setup-proxies setup-pgbouncer setup-openapi setup-deploy setup-office setup-clock ## what kills, waits and fills up, and the tests that DRILLS=1 makes long
	@DRILLS=1 $(PYTEST) -q -rP --show-capture=stdout -m drill --timeout=3600 --durations=10 $(ARGS)
	@DRILLS=1 $(PYTEST) -q -n 2 -m "not drill" --durations=10 $(LONGER) $(ARGS)

screenshots: setup setup-browser ## a picture of every page in its states, two languages, phone and desk, light and dark, into .cache/screenshots
	@SCREENSHOTS=$(CURDIR)/.cache/screenshots $(PYTEST) -q -p no:randomly tests/pages/test_screens.py -k too_wide $(ARGS)

deploy-check: setup setup-deploy ## have compose, systemd, Kustomize, Prometheus and Alertmanager read what deploy/ gives them
	@$(PYTEST) -q -p no:randomly tests/deploy $(ARGS)

advisories: setup ## compare the lock files with the known advisories of deploy/advisories, which are kept by hand
	@$(PYTHON) deploy/image/advisories.py deploy/advisories requirements-run.lock requirements.lock

bench: setup ## measure, and print one table with ratios; SAVE=0.3 keeps them as bench/results/0.3.json and in docs/benchmarks.md
	@$(PYTHON) -m bench $(if $(SAVE),--save $(SAVE))
	@$(if $(SAVE),$(PYTHON) -m bench --docs)

clean: ## remove what can be made again (not .pobratym, your data)
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
