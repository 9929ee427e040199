# make demo   set up, build, and show the whole protocol on a local network
# make test   everything that CI runs, set-up included
# make evidence   the long proofs of evidence/README.md; ONLY="slither mutants" for some
.POSIX:
.PHONY: demo test evidence setup build contracts lint test-contracts test-rust

FORGE = node_modules/.bin/forge
ASSAY = target/release/assay

demo: build
	$(ASSAY) demo

test: lint test-contracts test-rust
	@echo "make test: all passed"

setup:
	@tools/setup

contracts: setup
	$(FORGE) build

build: contracts
	cargo build --release --locked --package assay-cli

lint: contracts
	$(FORGE) fmt --check contracts script
	tools/export-abi --check
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- --deny warnings

test-contracts: contracts
	FOUNDRY_PROFILE=test $(FORGE) test

# The flows of tests/ run the release binary. The engine also runs unoptimised: both must give the same digests.
test-rust: build
	tools/cargo-test --release --locked --workspace
	tools/cargo-test --locked --package assay-engine

# Resumable.
evidence: setup
	@python3 -B tools/evidence $(ONLY)
