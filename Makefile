# The few commands that matter. `make` alone lists them.

CARGO ?= cargo
# Where test hosts are kept between runs: roots of other Debian releases, Go toolchains. Ignored by git.
CACHE ?= tests/.cache
export EVENKEEL_TEST_CACHE = $(CACHE)
export EVENKEEL_GO_DIR = $(abspath $(CACHE)/go)

.PHONY: help demo test test-hosts bench dist image fuzz lint install-test-hosts

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a collector, four environments and their drift, on this machine, in under a minute after the build
	$(CARGO) build -p evenkeel-agent -p evenkeel-collector -p evenkeel-cli
	deploy/demo/run.sh $${CARGO_TARGET_DIR:-target}/debug

test: install-test-hosts ## every suite that this machine can run; says which it skipped, and why
	$(call run_tests,--workspace)

test-hosts: export EVENKEEL_ALL_HOSTS = 1
test-hosts: install-test-hosts ## only the suites on real hosts: namespaces, sandboxes, other releases, packages, real Go programs, a million files, power cuts
	export EVENKEEL_HOSTILE_FILES=1000000 EVENKEEL_ROUNDS=$${EVENKEEL_ROUNDS:-20} EVENKEEL_OVERLOAD_SECONDS=$${EVENKEEL_OVERLOAD_SECONDS:-60}; \
		$(call run_tests,-p evenkeel-tests --test suites,-- hosts:: boot:: service:: portable:: containers:: pods:: sandbox:: hostile_tree:: third_party:: durability:: overload:: packages:: dist::)

bench: ## the budgets, measured, beside their peers; ONLY=agent,idle,changes,go,sizes,wire,collector,scale,transport,drift runs some parts
	$(CARGO) build --release --workspace --bins
	$(if $(findstring sizes,$(ONLY))$(findstring agent,$(ONLY)),$(CARGO) build --profile dist --workspace --bins)
	$(if $(ONLY),$(if $(findstring agent,$(ONLY))$(findstring idle,$(ONLY)),deploy/dist.sh),deploy/dist.sh)
	$(CARGO) bench -p evenkeel-tests --bench budgets -- $(if $(ONLY),--only $(ONLY))

fuzz: ## damaged contents for every parser of the agent and for what others hand in, ten minutes each; SECONDS=60 for less, ONLY=dpkg_status for one
	$(if $(wildcard agent/sources/fuzz/$(ONLY)),EVENKEEL_FUZZ_SECONDS=$(or $(SECONDS),600) EVENKEEL_FUZZ_ONLY=$(ONLY) $(CARGO) test --release -p evenkeel-sources --test fuzz -- --nocapture)
	$(if $(and $(ONLY),$(wildcard agent/sources/fuzz/$(ONLY))),,EVENKEEL_FUZZ_SECONDS=$(or $(SECONDS),600) EVENKEEL_FUZZ_ONLY=$(ONLY) $(CARGO) test --release -p evenkeel-tests --test suites damaged:: -- --nocapture)

dist: ## a release in target/shipped: packages, RPMs, tarball, SBOM, checksums, the static agent; for glibc 2.17 with cargo-zigbuild
	deploy/dist.sh

image: ## images of the programs in target/images, for any engine; EVENKEEL_IMAGES=target/images makes the suites use them
	deploy/image/build.sh

lint: ## format, clippy, file lengths, shell scripts
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	.ci/file-lengths
	.ci/shell-syntax

install-test-hosts:
	tests/hosts/install.sh $(CACHE)

# nextest runs suites side by side and shows failures last; without it cargo's own runner does.
run_tests = if $(CARGO) nextest --version >/dev/null 2>&1; then $(CARGO) nextest run --no-fail-fast $(1) $(2); else $(CARGO) test --no-fail-fast $(1) $(2); fi
