# Short names for what one does with this project. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# Each recipe is one script, so that it stops at its first failing line and can keep variables.
.ONESHELL:
.DEFAULT_GOAL := help

# Passed on by `run` and `test`, for instance: make test ARGS='name_of_a_test'
ARGS ?=

# For `fuzz` and `endurance`.
SECONDS ?= 60

# For `bench-counts`.
ACCEPT ?=

# For `observe`.
STACK ?= standalone

# For `chaos`.
ROUNDS ?= 100
SEED ?= 1

.PHONY: help run build test test-otlp test-image bench bench-counts chaos observe endurance rabbitmq4 fuzz mutations services-up services-down fmt lint doc check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the service on its own (ARGS are passed on)
	cargo run --locked -- standalone $(ARGS)

build: ## Build the program
	cargo build --locked

test: ## Run all tests, with a real RabbitMQ, PostgreSQL and Chromium (ARGS are passed on)
	@tests/chromium
	urls=$$(tests/services up)
	eval "$$urls"
	echo 'What tests/services started keeps running for the next time; `make services-down` stops it.'
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run --locked $(ARGS)
	else
		cargo test --locked $(ARGS)
	fi

openapi: ## Renew docs/openapi.json from the code
	CONTACTS_RENEW=1 cargo test --locked --test suite -- openapi::the_committed

test-openapi: build ## Hold the service against its description, and use a client made from it (needs Python 3 with venv)
	tests/schemathesis
	tests/client

test-otlp: ## The tests of a build that sends traces
	@urls=$$(tests/services up)
	eval "$$urls"
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run --locked --features otlp -E 'test(traces::)'
	else
		cargo test --locked --features otlp --test suite traces::
	fi

test-image: ## Build the image and run it as Kubernetes would, over TLS to RabbitMQ and PostgreSQL
	tests/image

chaos: ## Break things for ROUNDS rounds (default 100) from SEED on, and write docs/RELIABILITY.md
	@urls=$$(CONTACTS_TEST_PRIVATE=1 tests/services up)
	eval "$$urls"
	export CONTACTS_CHAOS_OWN_SERVICES=1 CONTACTS_CHAOS_ROUNDS=$(ROUNDS) CONTACTS_CHAOS_SEED=$(SEED)
	cargo test --locked --test suite -- --ignored --exact chaos::many_rounds --nocapture

bench: ## Measure it beside its limits and its peers (ARGS are passed on, see ARGS=--help; about 20 minutes)
	@urls=$$(tests/services up)
	eval "$$urls"
	bench/peers/install
	cargo bench --locked --bench bench -- $(ARGS)

bench-counts: ## Hold instructions and allocations of fixed work against bench/baseline.json (ACCEPT=1 renews it)
	@urls=$$(tests/services up)
	eval "$$urls"
	cargo bench --locked --bench bench -- --counts $(if $(ACCEPT),--accept)

observe: build ## Run STACK (standalone or full) under a light load, with Prometheus and, with Docker, Grafana
	@deploy/observe/run $(STACK)

endurance: ## Roles without their peers for SECONDS (default 60), and a file of 100,000 contacts: nothing lost, memory bounded
	@urls=$$(tests/services up)
	eval "$$urls"
	CONTACTS_ENDURANCE_SECONDS=$(SECONDS) CONTACTS_ENDURANCE_LINES=100000 cargo test --locked --test suite -- endurance --nocapture

rabbitmq4: ## The tests and ROUNDS rounds of faults on RabbitMQ 4, in a Debian 13 of its own (needs root)
	@tests/debian-root target/debian13 trixie rabbitmq-server
	export CONTACTS_TEST_PRIVATE=1 CONTACTS_TEST_BROKER_ROOT=$(CURDIR)/target/debian13/root
	export CONTACTS_TEST_STATE=$(CURDIR)/target/services4
	trap 'tests/services down' EXIT
	urls=$$(tests/services up)
	eval "$$urls"
	cargo test --locked $(ARGS)
	export CONTACTS_CHAOS_OWN_SERVICES=1 CONTACTS_CHAOS_ROUNDS=$(ROUNDS) CONTACTS_CHAOS_SEED=$(SEED)
	export CONTACTS_CHAOS_TARGET=$@
	cargo test --locked --test suite -- --ignored --exact chaos::many_rounds --nocapture

fuzz: ## Feed made-up bytes to every parser for SECONDS each (needs nightly and cargo-fuzz)
	@for target in message phone query; do
		mkdir -p target/fuzz/corpus/$$target
		cargo +nightly fuzz run --target-dir target/fuzz $$target target/fuzz/corpus/$$target fuzz/corpus/$$target \
			-- -max_total_time=$(SECONDS) -max_len=4096
	done

mutations: ## Break each promise on purpose, and expect the tests to notice
	tests/mutations/run

services-up: ## Start or find RabbitMQ and PostgreSQL, and print where they are
	@tests/services up

services-down: ## Stop those that services-up or test started
	@tests/services down

fmt: ## Format the sources
	cargo fmt

lint: ## Check the formatting, and run clippy with warnings as errors
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --features otlp -- -D warnings

doc: ## Build the documentation, private items included, with warnings as errors
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

check: lint doc test test-otlp test-image ## All that must pass before a change is taken in

clean: services-down ## Stop the test services and remove what was built
	cargo clean

# The image, and Kubernetes on any cluster or on Azure.
include deploy/deploy.mk
