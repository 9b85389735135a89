# The commands of this repository. `make` without a target lists them.
#
# Variables: ARGS     more options for e2e-matrix, such as ARGS='--filter k8s-1.30'
#            PROFILE  the Cargo profile of `e2e` and `test-e2e-k8s`: `dev` builds faster than `release`, and a run spends
#                     most of its time waiting for clusters
#            CLUSTER_NAME, TIMEOUT
#                     the name of the cluster and the readiness timeout of `test-e2e-k8s`; for other targets,
#                     CLUSTER_NAME is the start of each cluster's name
#            CELL     the cell that `test-e2e-k8s` runs, such as CELL=k8s-1.36-n1-default
#            CASES    the number of cases of each test that `fuzz` runs

PROFILE ?= dev
ARGS ?=

CARGO ?= cargo
RUN = $(CARGO) run --locked --profile $(PROFILE) --bin e2e-matrix --

# nextest runs each test in its own process. Without it, `cargo test` runs the same tests.
HAS_NEXTEST = $(shell $(CARGO) nextest --version 2>/dev/null)
HAS_DENY = $(shell $(CARGO) deny --version 2>/dev/null)
NO_NEXTEST = echo 'cargo-nextest is not installed, so `cargo test` runs the tests; `make setup` installs it'

.DEFAULT_GOAL := help
.PHONY: help setup e2e test fuzz test-kind test-e2e-k8s images lint docs site bench-kind bench-large clean

help: ## Prints this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Fetches the crates and installs cargo-nextest; says what real clusters still need
	@command -v $(CARGO) >/dev/null || { echo 'Rust is not installed: see https://rustup.rs'; exit 1; }
	$(CARGO) fetch --locked
	@$(if $(HAS_NEXTEST),echo 'cargo-nextest is installed',CARGO=$(CARGO) .ci/install-nextest)
	@command -v kind >/dev/null || echo 'for real clusters, install kind: https://kind.sigs.k8s.io/docs/user/quick-start'
	@docker info >/dev/null 2>&1 || echo 'for real clusters, install and start Docker: https://docs.docker.com/engine/install'

ifdef CLUSTER_NAME
e2e test-kind: export E2E_MATRIX_CLUSTER_PREFIX = $(CLUSTER_NAME)
endif
ifdef TIMEOUT
e2e test-kind: export E2E_MATRIX_PHASE_TIMEOUT = readiness=$(TIMEOUT)
endif

e2e: ## Runs the whole matrix on real clusters, or on the local provider if Docker or kind is missing
	$(RUN) --skip-missing-images $(ARGS)

test: export E2E_MATRIX_PROVIDER = local
test: ## Runs all tests, and all cells on the local provider; needs no Docker
	$(if $(HAS_NEXTEST),$(CARGO) nextest run --locked --workspace --profile local $(ARGS),@$(NO_NEXTEST); $(CARGO) test --locked --workspace $(ARGS))

# The property tests in modules named `fuzz`. `make test` also runs them, with 256 cases each. Tests in which each case reads a whole
# deployment run an eighth of the cases.
FUZZ = 'test(/(^|::)fuzz::/)'
CASES ?= 20000

fuzz: ## Runs the property tests in modules named `fuzz`, with CASES cases each and at most 1 GiB of memory
	$(CARGO) nextest run --locked --workspace -E $(FUZZ) --no-run
	ulimit -v 1048576; PROPTEST_CASES=$(CASES) $(CARGO) nextest run --locked --workspace -E $(FUZZ) $(ARGS)

test-kind: export E2E_MATRIX_PROVIDER = kind
test-kind: ## Runs all cells, and the tests that need kind, on real clusters
	$(if $(HAS_NEXTEST),$(CARGO) nextest run --locked --run-ignored all -E 'binary(matrix) + test(/^kind::/) - test(/^kind::(engine|snapshot)::/)' $(ARGS),@$(NO_NEXTEST); $(CARGO) test --locked --test matrix $(ARGS) && $(CARGO) test --locked --test it -- --ignored --skip kind::engine:: --skip kind::snapshot:: kind:: $(ARGS))

test-e2e-k8s: CLUSTER_NAME ?= plexd-e2e
test-e2e-k8s: TIMEOUT ?= 120s
test-e2e-k8s: CELL ?= tag = newest and n1 and default
test-e2e-k8s: ## Runs one cell on a real cluster: CELL, by default the newest version with one node
	$(RUN) --provider kind --filter '$(CELL)' \
	  --cluster-name $(CLUSTER_NAME) --phase-timeout readiness=$(TIMEOUT) $(ARGS)

images: ## Builds the images of agent and mock from source; needs Docker and access to a registry
	docker build -f deploy/docker/agent.Dockerfile -t plexd:dev $(ARGS) .
	docker build -f deploy/docker/mock-api.Dockerfile -t mockapi:dev $(ARGS) .

lint: export RUSTDOCFLAGS = -D warnings
lint: ## Checks formatting, lints, documentation, and the licenses and sources of dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) doc --locked --workspace --no-deps
	$(if $(HAS_DENY),$(CARGO) deny --locked check licenses bans sources,@echo 'not checked: licenses, bans and sources, because cargo-deny is not installed (cargo install --locked cargo-deny)')

docs: export UPDATE_DOCS = 1
docs: ## Regenerates the parts of docs/ that follow from the code
	$(CARGO) test --locked --test it -- docs::

site: ## Builds the documentation as a site in target/site; needs mdbook
	rm -rf target/book && mkdir -p target/book
	cp -r *.md LICENSE matrix.toml deploy docs target/book/
	mdbook build
	# mdBook renames README.md to index.html, but not the links to it.
	for folder in . docs; do cp target/site/$$folder/index.html target/site/$$folder/README.html; done

bench-kind: ## Compares cells on kind with bare clusters and with a script; takes two hours, or less with ARGS='--cases 1x1-fast'
	$(CARGO) bench --locked --bench kind -- $(ARGS)

bench-large: ## Measures a large cell on the local provider, or a large record: ARGS='cell --nodes 200' or ARGS='record --mib 1024'
	$(CARGO) bench --locked --bench large -- $(or $(ARGS),cell --nodes 1000)

clean: ## Deletes everything that was built, and the reports of runs
	$(CARGO) clean
