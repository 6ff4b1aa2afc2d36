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
	@MANTA_CLAIMS=.pytest_cache/claims.jsonl $(BIN)/python -m pytest test/unit test/admission test/stories test/faults test/conformance -m "not judge and not local and not root" -n 2 --dist worksteal -q

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

process: $(READY) ## The operator's own processes on a real API server: leader election, outages, credentials, rights, bad input
	@$(BIN)/python -m pytest test/process -q --durations=5

mutate-localcluster: $(READY) ## Seeded mistakes in the local cluster: the conformance tests must catch every one
	@$(BIN)/python hack/mutate_localcluster.py

e2e-local: $(READY) ## Real Ray processes on this machine; as root, also as an ordinary user. E2E_PARTS chooses files
	@failed=; for part in $(E2E_PARTS); do \
	  began=$$(date +%s); \
	  $(BIN)/python -m pytest $$part -m local -q --durations=3 || failed="$$failed $$part"; \
	  echo "-- $$part took $$(($$(date +%s) - began)) s"; \
	done; test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

# Of test_install, test_raycluster and test_rayjob what says most in the least time.
E2E_SUITES ?= $(filter-out test/e2e/local/,$(sort $(wildcard test/e2e/*/)))
E2E_SMOKE := test/e2e/node/test_node.py \
  test/e2e/operator/test_install.py::test_it_is_available_within_fifteen_seconds \
  test/e2e/raycluster/test_raycluster.py::test_a_cluster_of_one_head_and_one_worker_is_two_nodes_to_ray \
  'test/e2e/rayjob/test_rayjob.py::test_a_finished_job_takes_its_cluster_away_if_it_should[K8sJobMode]'

e2e: $(READY) ## Real Ray on real nodes: E2E_CLUSTER is kind, bare (as root) or current; E2E_SUITES chooses folders
	@$(BIN)/python -m hack.e2e $(E2E_SUITES)

e2e-smoke: $(READY) ## The node, the operator from its manifests, a cluster and a job: under ten minutes
	@$(BIN)/python -m pytest $(E2E_SMOKE) -m e2e -q --durations=10

KUBECTL ?= kubectl

image: $(READY) ## The operator's image as an archive, without a container daemon (hack/image/README.md)
	@$(BIN)/python -m hack.image operator

install: ## Ray's CRDs, on the cluster of your kubeconfig
	@$(KUBECTL) apply --server-side -k config/crd

deploy: ## The CRDs and the operator, on the cluster of your kubeconfig
	@$(KUBECTL) apply --server-side -k config/default
	@$(KUBECTL) rollout status deployment/kuberay-operator --namespace=default --timeout=90s

deploy-with-webhooks: ## The same with webhooks that refuse what is wrong, in namespace ray-system
	@$(KUBECTL) apply --server-side -k config/default-with-webhooks
	@$(KUBECTL) rollout status deployment/kuberay-operator --namespace=ray-system --timeout=90s

undeploy: ## Take the operator away again; CRDs and everybody's Ray clusters stay (docs/install.md says how they go)
	@$(KUBECTL) delete -k config/default/operator

.PHONY: e2e e2e-smoke image install deploy deploy-with-webhooks undeploy

faults: $(READY) ## Every write of every life going wrong in every way, and many random walks; `make test` has a sample
	@MANTA_FAULTS=all MANTA_WALKS=0:100 $(BIN)/python -m pytest test/faults -n 2 --dist worksteal -q

bench: $(READY) ## Figures for benchmarks/README.md
	@$(BIN)/python -m benchmarks

lock: $(READY) ## Compile requirements/*.in into pinned, hashed files
	@for r in operator local dev ray; do $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header requirements/$$r.in -o requirements/$$r.txt; done

.PHONY: help setup demo test format check generate spec-coverage conformance process mutate-localcluster e2e-local bench lock faults
