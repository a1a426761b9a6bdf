# finite: a container init. `make help` lists what can be made.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

# The version is stamped here, so Go need not look into the repository, which it may not be allowed to (another owner), or cannot (an
# image build, a tarball). With -trimpath the same sources give the same bytes wherever they are built. -E is where the binary begins: before
# the Go runtime, so that no signal is lost on it (internal/keeper/entry_linux_amd64.s).
#
# The collector of Go 1.25 touches a page less for each size of an allocation, which is 2 in 100 of the time of a start; what that of 1.26 is better at is heaps
# that finite does not have. Where a toolchain has it no longer, this is empty, and so it is without effect.
ENTRY = github.com/finite-init/finite/internal/keeper.entry
GOEXPERIMENT ?= $(shell GOEXPERIMENT=nogreenteagc $(GO) env GOEXPERIMENT 2>/dev/null)
BUILD = CGO_ENABLED=0 GOEXPERIMENT=$(GOEXPERIMENT) $(GO) build -buildvcs=false -trimpath -ldflags '-s -w -E $(ENTRY) -X main.version=$(VERSION) -X main.commit=$(COMMIT)'

DIST_ARCHS = amd64 arm64

# Nothing here is a file to make: what is out of date is for go's build cache to know.
.PHONY: help build dist image demo test unit integration fuzz simulate defects chaos hostile faults bench profile lint fmt clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

# The linker writes through a memory map, and what it leaves in the page cache is a page here and a page there. A copy, as every installation
# and every image makes one, starts 0.1 ms faster.
build: ## bin/finite, static, for this machine
	$(BUILD) -o bin/.linked .
	install -m 755 bin/.linked bin/finite
	rm bin/.linked

dist: ## dist/finite-linux-{amd64,arm64} and their SHA256SUMS
	rm -rf dist
	set -e; for arch in $(DIST_ARCHS); do GOOS=linux GOARCH=$$arch $(BUILD) -o dist/finite-linux-$$arch .; done
	cd dist && sha256sum finite-linux-* > SHA256SUMS

image: ## the image "finite", by docker
	docker build --build-arg VERSION='$(VERSION)' --build-arg COMMIT='$(COMMIT)' -t finite .

demo: ## run a tree that does not want to end, and end it
	@scripts/demo.sh

test: ## everything; as root on Debian it installs what the tests need
	@scripts/test.sh

unit: ## the unit tests alone
	@scripts/test.sh build unit

integration: ## the tests of the built binary alone
	@scripts/test.sh build integration

# For so long each; or some of them: make fuzz FUZZ=Stat FUZZTIME=5m.
FUZZTIME ?= 60s
FUZZ     ?= .

fuzz: ## every fuzz target, on what others write: 60 s each (an hour)
	@scripts/fuzz.sh '$(FUZZTIME)' '$(FUZZ)'

# One history again, with a trace: make simulate SEED=4711 HISTORIES=1.
HISTORIES ?= 1000000

simulate: ## runs in a simulated kernel, a million histories of them (2 minutes)
	cd init && CGO_ENABLED=0 $(GO) test . -count=1 -timeout 1h -v -run '^TestSimulate$$' -args -simulate.histories $(HISTORIES) -simulate.seed $(SEED)

defects: ## put defects into the code, one after the other, and have the simulation find each (10 minutes)
	cd init && CGO_ENABLED=0 $(GO) test . -count=1 -timeout 1h -v -run '^TestSimulateFindsDefects$$' -args -simulate.defects

# One round again: make chaos SEED=4711 ROUNDS=1.
ROUNDS ?= 2000
SEED   ?= 0

chaos: build ## random trees, faults and signals, 2000 rounds of them (10 minutes)
	@scripts/test.sh setup
	cd tests/chaos && CGO_ENABLED=0 FINITE_BIN=$(CURDIR)/bin/finite $(GO) test -count=1 -timeout 1h -args -chaos.rounds $(ROUNDS) -chaos.seed $(SEED)

# For so long; or one round again: make hostile SEED=4711 ROUNDS=1 DURATION=0.
DURATION ?= 10m

hostile: build ## a command that attacks finite, by every means that it has (10 minutes)
	@scripts/test.sh setup
	cd tests/hostile && CGO_ENABLED=0 FINITE_BIN=$(CURDIR)/bin/finite $(GO) test -count=1 -timeout 1h -run TestHostile -args -hostile.duration $(DURATION) -hostile.rounds $(ROUNDS) -hostile.seed $(SEED)

# One case again: make faults CASE=subreaper/deadline/keeper/ppoll/3/ENOMEM.
FAULTTIME ?= 13m
CASE      ?=

faults: build ## system calls of finite that fail, hang and are late, one in each run (15 minutes)
	@scripts/test.sh setup
	cd tests/faults && CGO_ENABLED=0 FINITE_BIN=$(CURDIR)/bin/finite $(GO) test -count=1 -timeout 1h -run TestFaults -args -faults.duration $(FAULTTIME) -faults.seed $(SEED) -faults.case '$(CASE)'

bench: build ## measure beside tini, dumb-init, catatonit, timeout and BEFORE, another finite (15 minutes), and write docs/benchmarks
	@scripts/test.sh setup
	cd tests/bench && $(GO) run . -o ../../docs/benchmarks $(if $(BEFORE),-before $(abspath $(BEFORE))) ../../bin/finite

profile: build ## where the time of a start goes, by perf and strace
	@scripts/profile.sh

lint: ## golangci-lint, and govulncheck where its database can be reached
	@scripts/test.sh lint

fmt: ## format the Go code (gofumpt)
	@scripts/tools.sh golangci-lint
	bin/tools/golangci-lint fmt

clean: ## remove what was made
	rm -rf bin dist
