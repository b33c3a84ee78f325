# Two commands for a stranger: `make demo` shows the main job, `make test` proves it.
# Both install what a bare Debian 12 with a Rust toolchain lacks (packages by apt, so as root; the rest below target/).

TOOLS ?= $(CURDIR)/target/tools
export DONJON_TEST_TOOLS = $(TOOLS)

.PHONY: all build setup test model campaign rotation-job lint deny demo bench bench-ansible bench-start bench-scan

all: build

build:
	cargo build --release --locked -p donjon

setup:
	tests/setup/packages.sh
	tests/setup/tools.sh $(TOOLS)
	tests/setup/debian-root.sh $(TOOLS)/debian-root

test: setup
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace --no-fail-fast

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

# The periodic job: a cloud on one node rotates everything while its clients go on; also a part of `make test`.
rotation-job: setup
	cargo build --locked --workspace --all-targets
	cargo test --locked -p donjon-tests --test suite -- standalone --nocapture

# Random faults on real servers. Each site prints its seed, and SEED=N plays it again; `make test` has a short part of it.
FAULTS ?= 1500
GALERA_FAULTS ?= 500
campaign: setup
	cargo build --locked --workspace --all-targets
	target/debug/campaign --peers --faults $(FAULTS) $(if $(SEED),--seed $(SEED))
	target/debug/campaign --galera --faults $(GALERA_FAULTS) $(if $(SEED),--seed $(SEED))

# The protocol of a rotation searched whole, in larger worlds than `make test` has time for; each prints its states and seconds.
model:
	cargo test --locked -p donjon-model -- --ignored --nocapture

# Advisories need a network that the tests have not; what is allowed in is in .cargo/deny.toml.
deny: $(TOOLS)/cargo/bin/cargo-deny
	$(TOOLS)/cargo/bin/cargo-deny --locked check bans licenses sources

$(TOOLS)/cargo/bin/cargo-deny:
	cargo install --quiet --locked --version 0.20.2 --root $(TOOLS)/cargo cargo-deny

demo: setup build
	tests/demo.sh

# Beside community.hashi_vault, castellan and ripgrep; HOSTS, TASKS and SECRETS scale the first down.
bench-ansible: setup build
	tests/benches/ansible_lookups.py target/release/donjon $(TOOLS)/venv $(or $(HOSTS),100) $(or $(TASKS),50) $(or $(SECRETS),5)

bench-start: setup build
	tests/benches/service_start.py target/release/donjon $(TOOLS)/venv

bench-scan: setup build
	tests/benches/scan_rg.sh target/release/donjon $(TOOLS)/venv

bench: setup build
	cargo build --release --locked -p donjon-tests --bench lookups
	tests/benches/figures.py target/release/donjon $(TOOLS)/venv "$$(ls -t target/release/deps/lookups-* | grep -v '\.d$$' | head -1)"
