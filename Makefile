# Two commands for users: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(shell cat requirements/dev.txt pyproject.toml | sha256sum | cut -c1-12)

E2E_PARTS ?= $(sort $(wildcard test/e2e/local/test_*.py))

.DEFAULT_GOAL := help

help: ## What the targets do
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

$(READY):
	@hack/setup.sh "$(PYTHON)" "$(VENV)"
	@rm -f $(VENV)/.ready-* && touch $@

setup: $(READY) ## Make .venv with everything pinned

demo: $(READY) ## Run a sample RayJob on real Ray, here, without a cluster
	@$(BIN)/manta run config/samples/rayjob.yaml

test: $(READY) ## The tests that need neither root nor a network: pure and stories
	@mkdir -p .pytest_cache && rm -f .pytest_cache/claims.jsonl
	@MANTA_CLAIMS=.pytest_cache/claims.jsonl $(BIN)/python -m pytest test/unit test/stories test/faults test/conformance -m "not judge and not local and not root" -n 2 --dist worksteal -q

format: $(READY) ## Put the code into its format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix-only -q .

check: $(READY) ## Format, lint, strict types, import contracts, generated files, spec coverage
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python hack/generate.py --check
	@$(BIN)/python hack/hygiene.py
	@$(BIN)/python hack/spec_coverage.py --check

generate: $(READY) ## Write what is generated: CRDs
	@$(BIN)/python hack/generate.py

spec-coverage: $(READY) ## Which items of docs/spec a passing test claims, and which are missing
	@$(BIN)/python hack/spec_coverage.py

conformance: $(READY) ## The conformance tests on the local API server and on a real one (builds it once)
	@$(BIN)/python -m pytest test/conformance -q

mutate-localcluster: $(READY) ## Seeded mistakes in the local cluster: the conformance tests must catch every one
	@$(BIN)/python hack/mutate_localcluster.py

e2e-local: $(READY) ## Real Ray processes on this machine; as root, also as an ordinary user. E2E_PARTS chooses files
	@failed=; for part in $(E2E_PARTS); do \
	  began=$$(date +%s); \
	  $(BIN)/python -m pytest $$part -m local -q --durations=3 || failed="$$failed $$part"; \
	  echo "-- $$part took $$(($$(date +%s) - began)) s"; \
	done; test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

faults: $(READY) ## Every write of every life going wrong in every way, and many random walks; `make test` has a sample
	@MANTA_FAULTS=all MANTA_WALKS=0:100 $(BIN)/python -m pytest test/faults -n 2 --dist worksteal -q

bench: $(READY) ## Figures for benchmarks/README.md
	@$(BIN)/python -m benchmarks

lock: $(READY) ## Compile requirements/*.in into pinned, hashed files
	@for r in operator local dev; do $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header requirements/$$r.in -o requirements/$$r.txt; done

.PHONY: help setup demo test format check generate spec-coverage conformance mutate-localcluster e2e-local bench lock faults
