# Two commands on a fresh machine: `make demo` shows the system at work, `make test` proves it.

.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
LOCAL := $(PY) -m customerflow_local
INSTANCE ?= demo
PACKAGES := shared shared/contract shared/consumer services/command services/projector services/query services/partners services/notifications deploy/local deploy/bench
READY := $(VENV)/.complete

##@ See it work

.PHONY: demo
demo: $(READY)  ## Start everything, drive the main job, show the result, leave it running
	@$(LOCAL) demo

.PHONY: up
up: $(READY)  ## Start everything that does not run
	@$(LOCAL) up $(INSTANCE)

.PHONY: status
status: $(READY)  ## Show what runs and where
	@$(LOCAL) status $(INSTANCE)

.PHONY: logs
logs: $(READY)  ## Follow the logs of all processes
	@$(LOCAL) logs $(INSTANCE) --follow

.PHONY: trace
trace: $(READY)  ## Send one command to what `make demo` has started, and draw its trace through all programs
	@$(LOCAL) trace

.PHONY: rebuild
rebuild: $(READY)  ## Build the read model again beside the live one, then switch
	@eval "$$($(LOCAL) env $(INSTANCE))" && $(PY) -m customerflow_projector rebuild

.PHONY: rollback
rollback: $(READY)  ## Go back to the read model that was live before the last rebuild
	@eval "$$($(LOCAL) env $(INSTANCE))" && $(PY) -m customerflow_projector rollback

.PHONY: verify
verify: $(READY)  ## Compare claims, due dates and the read model with the events, beside live traffic
	@eval "$$($(LOCAL) env $(INSTANCE))" && $(PY) -m customerflow_command verify && $(PY) -m customerflow_projector verify

.PHONY: stop
stop:  ## End everything that `make demo` and `make up` started; the data stays
	@if [ -e $(READY) ]; then $(LOCAL) down $(INSTANCE); else echo "Nothing was started from here."; fi

##@ Change it

.PHONY: test
test: $(READY)  ## Run every test on real servers, and the services' also on the newest ones (MySQL, RabbitMQ 4)
	@$(LOCAL) fetch
	@$(PY) -m pytest
	@$(LOCAL) fetch --newest
	@CF_TEST_SERVERS=newest $(PY) -m pytest -m servers services

.PHONY: test-compose
test-compose: $(READY)  ## Run the end-to-end tests on Docker Compose, then on a scaled one what replicas could change
	@PYTHON=$(PY) deploy/compose-e2e

.PHONY: unit
unit: $(READY)  ## Run the tests that need no server: well under a minute
	@$(PY) -m pytest -m "not servers" shared services

.PHONY: chaos
chaos: $(READY)  ## Kill every part again and again while commands arrive, then prove that nothing was lost
	@$(PY) tests-e2e/chaos.py

.PHONY: observe
observe: COMMANDS ?= 20000
observe: $(READY)  ## Follow COMMANDS=20000 as an outsider, relay and broker killed 10 times; STOPPED=30 stops a partner instead
	@$(PY) tests-e2e/observer.py --commands $(COMMANDS) $(if $(STOPPED),--stopped-partner $(STOPPED))

.PHONY: rolling
rolling: SECONDS ?= 300
rolling: $(READY)  ## Restart a copy of each program every 10 s for SECONDS=300 while clients work; none may notice
	@$(PY) tests-e2e/rolling.py --seconds $(SECONDS)

.PHONY: overload
overload: SECONDS ?= 60
overload: TIMES ?= 3
overload: $(READY)  ## Ask for TIMES=3 as much as can be done, for SECONDS=60: who is served, who refused, and how soon
	@$(PY) tests-e2e/overload.py --seconds $(SECONDS) --times $(TIMES)

.PHONY: alerts
alerts: $(READY)  ## Check the alert rules and run their tests, by Prometheus' own promtool
	@$(PY) -m customerflow_local.promtool check rules deploy/observability/alerts.yml
	@$(PY) -m customerflow_local.promtool test rules deploy/observability/alerts-test.yml

.PHONY: handbook
handbook: $(READY)  ## Write the tables of metrics and alerts anew, from the instruments and the rules
	@$(PY) -m customerflow_local.handbook

.PHONY: dashboards
dashboards: $(READY)  ## Write Grafana's dashboards anew, from deploy/local/src/customerflow_local/dashboards.py
	@$(PY) -m customerflow_local.dashboards

BENCH := $(PY) -m customerflow_bench

.PHONY: bench
bench: ROUNDS ?= 5
bench: SECONDS ?= 4
bench: $(READY)  ## Measure CustomerFlow beside its ceilings and its peers: SCENARIOS="commands queries", ROUNDS=5, SECONDS=4
	@$(BENCH) run --rounds $(ROUNDS) --seconds $(SECONDS) $(SCENARIOS)

.PHONY: bench-table
bench-table: $(READY)  ## Print the table of the newest result again
	@$(BENCH) table

.PHONY: bench-plots
bench-plots: $(READY)  ## Draw the newest result into deploy/bench/plots
	@$(BENCH) plots

# `make bench-compare A B`: what follows the first goal are its words, not goals
.PHONY: bench-compare
bench-compare: $(READY)  ## Compare two results, A and B: each a commit, or a file below .run/bench/results
	@$(BENCH) compare $(filter-out bench-compare,$(MAKECMDGOALS))
ifeq ($(firstword $(MAKECMDGOALS)),bench-compare)
.PHONY: $(wordlist 2,3,$(MAKECMDGOALS))
$(wordlist 2,3,$(MAKECMDGOALS)):
	@:
endif

.PHONY: bench-growth
bench-growth: SMALL ?= 10000
bench-growth: LARGE ?= 1000000
bench-growth: $(READY)  ## Measure with SMALL=10000 and with LARGE=1000000 customers, and with long streams
	@$(BENCH) growth --small $(SMALL) --large $(LARGE)

.PHONY: bench-servers
bench-servers: $(READY)  ## Measure uvicorn and granian, uvloop and asyncio on routes of ours
	@$(BENCH) run servers

.PHONY: bench-register
bench-register: $(READY)  ## Time the pure part of a registration with all fields, and its share of the whole request
	@$(PY) -m customerflow_bench.register

.PHONY: bench-reads
bench-reads: SMALL ?= 10000
bench-reads: LARGE ?= 1000000
bench-reads: $(READY)  ## Time queries with SMALL=10000 customers and with LARGE=1000000, in systems of their own that stay up
	@$(PY) -m customerflow_bench.reads --small $(SMALL) --large $(LARGE)

.PHONY: bench-rebuild
bench-rebuild: CUSTOMERS ?= 100000
bench-rebuild: RATE ?= 100
bench-rebuild: $(READY)  ## Rebuild the read model of CUSTOMERS=100000 while RATE=100 commands/s arrive and readers look
	@$(PY) -m customerflow_bench.rebuilding --customers $(CUSTOMERS) --rate $(RATE)

.PHONY: load
load: N ?= 100000
load: $(READY)  ## Fill the instance of `make demo` with N=100000 invented customers; goes on where it was stopped
	@$(PY) -m customerflow_bench.load $(N)

.PHONY: mutants
mutants: $(READY)  ## Break every rule of the domain in every small way, and see whether its tests notice: some minutes
	@rm -rf .cache/mutants && mkdir -p .cache/mutants
	@cp -R pyproject.toml services/command/src services/command/tests .cache/mutants
	@cd .cache/mutants && $(CURDIR)/$(VENV)/bin/mutmut run --max-children 2 && $(CURDIR)/$(VENV)/bin/mutmut results

.PHONY: check
check: $(READY)  ## Check format, lint, types, import rules, the public contract, the handbook's tables and shell scripts
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy $(filter-out shared/%,$(PACKAGES)) deploy/examples tests-e2e
	@$(VENV)/bin/lint-imports
	@$(PY) -m customerflow_contract check
	@$(PY) -m customerflow_local.handbook check
	@git grep -lE '^#!(/usr)?/bin/(env )?(ba)?sh' | xargs $(VENV)/bin/shellcheck

.PHONY: contract
contract: $(READY)  ## Write the files of the public contract anew, from its structs
	@$(PY) -m customerflow_contract write

.PHONY: format
format: $(READY)  ## Format the code and mend what can be mended
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

##@ Keep it

UV := .run/tools/bin/uv
UV_COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" --no-emit-index-url --no-emit-find-links

.PHONY: lock
lock: $(READY) $(UV)  ## Lock the requirements again, of each image and of development
	$(UV_COMPILE) --group dev $(foreach package,bench command consumer contract local notifications partners projector query shared,\
		--no-emit-package customerflow-$(package)) --output-file requirements-dev.txt
	for service in command notifications partners projector query; do \
		$(UV_COMPILE) services/$$service/pyproject.toml --no-emit-package customerflow-shared --no-emit-package customerflow-contract \
			--no-emit-package customerflow-consumer --output-file services/$$service/requirements.txt || exit; \
	done
	for wanted in $$(git ls-files 'deploy/bench/*requirements.in'); do \
		$(UV_COMPILE) $$wanted --output-file $${wanted%.in}.txt || exit; \
	done

$(UV):
	@$(PY) -m pip install --quiet --disable-pip-version-check --target .run/tools uv

.PHONY: clean
clean:  ## End everything and remove all that was made: servers, data, environment, caches
	@if [ -e $(READY) ]; then $(LOCAL) down --all; fi
	rm -rf .run $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*##" } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*##/ { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The environment is complete when its last step has succeeded.
$(READY): requirements-dev.txt deploy/local/python-env $(PACKAGES:=/pyproject.toml)
	@deploy/local/python-env $(VENV)
	@touch $@
