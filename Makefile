# The commands of this repository. A bare `make` prints them.
#
# Variables: ARGS     more options for e2e-matrix, such as ARGS='--filter k8s-1.30'
#            PROFILE  the Cargo profile that `e2e` and `test-e2e-k8s` build with: `dev` builds faster than `release`, and
#                     a run waits for clusters, not for the runner
#            CLUSTER_NAME, TIMEOUT
#                     the seed's: the exact name of the cluster and the readiness deadline of `test-e2e-k8s`; elsewhere
#                     CLUSTER_NAME is the start of every cluster's name

PROFILE ?= dev
ARGS ?=

CARGO ?= cargo
RUN = $(CARGO) run --locked --profile $(PROFILE) --bin e2e-matrix --

# nextest runs every test in a process of its own; without it, plain `cargo test` runs the same tests.
HAS_NEXTEST = $(shell $(CARGO) nextest --version 2>/dev/null)
HAS_DENY = $(shell $(CARGO) deny --version 2>/dev/null)
NO_NEXTEST = echo 'cargo-nextest is not there, so plain `cargo test` runs the tests; `make setup` installs it'

.DEFAULT_GOAL := help
.PHONY: help setup e2e test fuzz test-kind test-e2e-k8s images lint docs bench-kind clean

help: ## Prints this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Gets what the other commands need: the crates and cargo-nextest; says what real clusters need
	@command -v $(CARGO) >/dev/null || { echo 'Rust is not there: install it with https://rustup.rs'; exit 1; }
	$(CARGO) fetch --locked
	@$(if $(HAS_NEXTEST),echo 'cargo-nextest is there',$(CARGO) install --locked cargo-nextest)
	@command -v kind >/dev/null || echo 'for real clusters, install kind: https://kind.sigs.k8s.io/docs/user/quick-start'
	@docker info >/dev/null 2>&1 || echo 'for real clusters, install and start Docker: https://docs.docker.com/engine/install'

ifdef CLUSTER_NAME
e2e test-kind: export E2E_MATRIX_CLUSTER_PREFIX = $(CLUSTER_NAME)
endif
ifdef TIMEOUT
e2e test-kind: export E2E_MATRIX_PHASE_TIMEOUT = readiness=$(TIMEOUT)
endif

e2e: ## Runs the whole matrix: on real clusters where Docker and kind are there, else on the local provider
	$(RUN) $(ARGS)

test: export E2E_MATRIX_PROVIDER = local
test: ## Runs every test, and every cell on the local provider; needs no Docker
	$(if $(HAS_NEXTEST),$(CARGO) nextest run --locked --workspace $(ARGS),@$(NO_NEXTEST); $(CARGO) test --locked --workspace $(ARGS))

# Tests in modules `fuzz`. `make test` runs them too, each with 256 cases.
FUZZ = 'test(/(^|::)fuzz::/)'
CASES ?= 20000

fuzz: ## Runs the tests in modules `fuzz` with CASES cases each, in at most 1 GiB
	$(CARGO) nextest run --locked --workspace -E $(FUZZ) --no-run
	ulimit -v 1048576; PROPTEST_CASES=$(CASES) $(CARGO) nextest run --locked --workspace -E $(FUZZ) $(ARGS)

test-kind: export E2E_MATRIX_PROVIDER = kind
test-kind: ## Runs every cell, and the tests that need kind, on real clusters
	$(if $(HAS_NEXTEST),$(CARGO) nextest run --locked --run-ignored all -E 'binary(matrix) + test(/^kind::/) - test(/^kind::(engine|snapshot)::/)' $(ARGS),@$(NO_NEXTEST); $(CARGO) test --locked --test matrix $(ARGS) && $(CARGO) test --locked --test it -- --ignored --skip kind::engine:: --skip kind::snapshot:: kind:: $(ARGS))

test-e2e-k8s: CLUSTER_NAME ?= plexd-e2e
test-e2e-k8s: TIMEOUT ?= 120s
test-e2e-k8s: ## Runs one cell on a real cluster: newest version, one node, default configuration
	$(RUN) --provider kind --filter 'tag = newest and n1 and default' \
	  --cluster-name $(CLUSTER_NAME) --phase-timeout readiness=$(TIMEOUT) $(ARGS)

images: ## Builds the release images of agent and mock from source; needs Docker and a registry
	docker build -f deploy/docker/agent.Dockerfile -t plexd:dev $(ARGS) .
	docker build -f deploy/docker/mock-api.Dockerfile -t mockapi:dev $(ARGS) .

lint: export RUSTDOCFLAGS = -D warnings
lint: ## Checks formatting, lints, documentation, and the licences and sources of dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) doc --locked --workspace --no-deps
	$(if $(HAS_DENY),$(CARGO) deny --locked check licenses bans sources,@echo 'not checked: licences, bans and sources, for cargo-deny is not there (cargo install --locked cargo-deny)')

docs: export UPDATE_DOCS = 1
docs: ## Writes the generated parts of docs/ anew
	$(CARGO) test --locked --test it -- docs::

bench-kind: ## Compares a whole cell on kind with a bare cluster that comes and goes; takes minutes
	$(CARGO) bench --locked --bench kind

clean: ## Removes everything that was built, reports of runs included
	$(CARGO) clean
