# Commands for developers. `make` without a target lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# Each recipe runs as one script: it stops at the first failing line, and its lines share variables.
.ONESHELL:
.DEFAULT_GOAL := help

# Additional arguments for `run`, `test`, `bench` and `dlq`. Example: make test ARGS='name_of_a_test'
ARGS ?=

# The duration for `fuzz` and `endurance`.
SECONDS ?= 60

# For `bench-counts`: 1 updates the baseline.
ACCEPT ?=

# For `release` and `reproducible`.
VERSION ?=
DRY_RUN ?=
PROFILE ?=

# For `observe`: standalone or full.
STACK ?= standalone

# For `chaos`, `cluster` and `rabbitmq4`: the number of rounds, and the first seed.
ROUNDS ?= 100
SEED ?= 1

.PHONY: help run build test screenshots console-memory console-trial test-otlp test-image bench bench-counts chaos cluster upgrade recovery matrix observe endurance rabbitmq4 fuzz mutations services-up services-down fmt lint doc release reproducible check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the service as one process, without other services (ARGS: additional arguments)
	cargo run --locked -- standalone $(ARGS)

build: ## Build the program
	cargo build --locked

test: ## Run all tests, with a real RabbitMQ, PostgreSQL and Chromium (ARGS: additional arguments)
	@tests/chromium
	tests/axe >/dev/null
	urls=$$(tests/services up)
	eval "$$urls"
	echo 'The services keep running for the next test run; `make services-down` stops them.'
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run --locked $(ARGS)
	else
		cargo test --locked $(ARGS)
	fi

screenshots: ## Make the pictures of the operator's console in docs/images, with made-up data (5 minutes)
	@tests/chromium
	cargo test --locked --test suite -- --ignored --exact console_page::pictures_for_the_documents

console-memory: ## Measure the memory of the console with 100,000 dead-lettered messages (10 minutes)
	@urls=$$(tests/services up)
	eval "$$urls"
	export CONTACTS_TEST_DEAD_LETTERS=100000
	cargo test --locked --test suite -- --exact console_dead_letters::many_messages_need_little_memory --nocapture

console-trial: ## Stage outages, and print what the page of the console says and how soon (needs rabbitmqctl)
	@tests/chromium
	urls=$$(tests/services up)
	eval "$$urls"
	cargo test --locked --test suite -- --ignored --exact console_trial::an_operator_reads_three_outages_from_the_page --nocapture

openapi: ## Update docs/openapi.json from the code
	CONTACTS_RENEW=1 cargo test --locked --test suite -- openapi::the_committed

test-openapi: build ## Test the service against its OpenAPI document, and with a generated client (needs Python 3 with venv)
	tests/schemathesis
	tests/client

test-otlp: ## Run the tests of the build with trace export (feature otlp)
	@urls=$$(tests/services up)
	eval "$$urls"
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run --locked --features otlp -E 'test(traces::)'
	else
		cargo test --locked --features otlp --test suite traces::
	fi

test-image: ## Build the image and run it like Kubernetes, with TLS to RabbitMQ and PostgreSQL
	tests/image

chaos: ## Run ROUNDS rounds of fault injection (default 100), starting at SEED, and write docs/RELIABILITY.md
	@urls=$$(CONTACTS_TEST_PRIVATE=1 tests/services up)
	eval "$$urls"
	export CONTACTS_CHAOS_OWN_SERVICES=1 CONTACTS_CHAOS_ROUNDS=$(ROUNDS) CONTACTS_CHAOS_SEED=$(SEED)
	cargo test --locked --test suite -- --ignored --exact chaos::many_rounds --nocapture

cluster: ## Run ROUNDS rounds of fault injection on three broker nodes and two databases, in network namespaces (needs root)
	@trap 'tests/cluster down' EXIT
	urls=$$(tests/cluster up)
	eval "$$urls"
	export CONTACTS_CHAOS_CLUSTER=1 CONTACTS_CHAOS_ROUNDS=$(ROUNDS) CONTACTS_CHAOS_SEED=$(SEED) CONTACTS_CHAOS_TARGET=$@
	cargo test --locked --test suite -- --ignored --exact failover::a_pooler_with_sessions_works_and_one_without_is_refused
	cargo test --locked --test suite -- --ignored --exact chaos::many_rounds --nocapture

upgrade: ## Upgrade from the release before this version and back, under load
	@export CONTACTS_TEST_PREVIOUS_RELEASE=$$(tests/previous-release)
	urls=$$(tests/services up)
	eval "$$urls"
	cargo test --locked --test suite -- --ignored rolling:: --nocapture --test-threads 1

recovery: ## Restore PostgreSQL to a time in the past, and find what was lost; read a replica (needs its programs, for example by Debian's package)
	@urls=$$(tests/services up)
	eval "$$urls"
	cargo test --locked --test suite -- --ignored recovery:: --nocapture

matrix: ## Run the tests with each combination of three versions of RabbitMQ and PostgreSQL (needs root and Debian)
	@tests/matrix

bench: ## Measure the performance and compare it with other programs (about 20 minutes; options: ARGS=--help)
	@urls=$$(tests/services up)
	eval "$$urls"
	bench/peers/install
	cargo bench --locked --bench bench -- $(ARGS)

bench-counts: ## Compare instruction and allocation counts with bench/baseline.json (ACCEPT=1 updates the file)
	@urls=$$(tests/services up)
	eval "$$urls"
	cargo bench --locked --bench bench -- --counts $(if $(ACCEPT),--accept)

observe: build ## Run STACK (standalone or full) with a light load and Prometheus, and with Docker also Grafana
	@deploy/observe/run $(STACK)

endurance: ## Test each role without its broker or database for SECONDS (default 60), and an import of 100,000 contacts
	@urls=$$(tests/services up)
	eval "$$urls"
	CONTACTS_ENDURANCE_SECONDS=$(SECONDS) CONTACTS_ENDURANCE_LINES=100000 cargo test --locked --test suite -- endurance --nocapture

rabbitmq4: ## Run the tests and ROUNDS rounds of fault injection on RabbitMQ 4, in a separate Debian 13 (needs root)
	@tests/debian-root target/debian-trixie trixie rabbitmq-server
	export CONTACTS_TEST_PRIVATE=1 CONTACTS_TEST_BROKER_ROOT=$(CURDIR)/target/debian-trixie/root
	export CONTACTS_TEST_STATE=$(CURDIR)/target/services4
	trap 'tests/services down' EXIT
	urls=$$(tests/services up)
	eval "$$urls"
	cargo test --locked $(ARGS)
	export CONTACTS_CHAOS_OWN_SERVICES=1 CONTACTS_CHAOS_ROUNDS=$(ROUNDS) CONTACTS_CHAOS_SEED=$(SEED)
	export CONTACTS_CHAOS_TARGET=$@
	cargo test --locked --test suite -- --ignored --exact chaos::many_rounds --nocapture

fuzz: ## Fuzz each parser for SECONDS (needs nightly Rust and cargo-fuzz)
	@for target in message phone query; do
		mkdir -p target/fuzz/corpus/$$target
		cargo +nightly fuzz run --target-dir target/fuzz $$target target/fuzz/corpus/$$target fuzz/corpus/$$target \
			-- -max_total_time=$(SECONDS) -max_len=4096
	done

mutations: ## Run the mutation tests: break each promise in the code, and expect that a test fails
	tests/mutations/run

services-up: ## Find or start RabbitMQ and PostgreSQL, and print their addresses
	@tests/services up

services-down: ## Stop the services that services-up or test started
	@tests/services down

fmt: ## Format the sources
	cargo fmt

lint: ## Check the format, and run clippy with warnings as errors
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --features otlp -- -D warnings

doc: ## Build the documentation with private items and warnings as errors
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

release: ## Release VERSION: changelog, checks, commit, files, tag (DRY_RUN=1 changes nothing; docs/RELEASING.md)
	@DRY_RUN=$(DRY_RUN) release/run $(VERSION)

reproducible: ## Build the program twice, in two folders, and compare (PROFILE: a profile of cargo, default release)
	@PROFILE=$(PROFILE) release/reproducible

check: lint doc test test-otlp test-image ## Run every check that must pass before a merge

clean: services-down ## Stop the test services and remove the build output
	cargo clean

# Targets for the image and for deployment to Kubernetes, local or on Azure.
include deploy/deploy.mk
