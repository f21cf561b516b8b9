# Everything a person runs here. `make` or `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

TOOLS := build/tools
GNMI_PROTO = $(shell go list -m -f '{{.Dir}}' github.com/openconfig/gnmi)/proto
GO_BUILD := CGO_ENABLED=0 GOFLAGS= go build -trimpath -buildvcs=false -ldflags '-s -w'

# The components of build/generation, which a device runs that is not installed from packages.
COMPONENTS := pkgmgr state config host interfaces rib dataplane

.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ See it run (root)
.PHONY: demo up down
demo: prerequisites build repository ## A router and two hosts in namespaces: configured, attacked, measured
	@build/bin/ashlar-lab demo

up: prerequisites build ## The same lab in the background; build/lab/env tells how to reach it (LAB=name for more than one)
	@build/bin/ashlar-lab up $(if $(LAB),--name $(LAB))

down: ## End exactly what `make up` started (LAB=name)
	@test -x build/bin/ashlar-lab || $(MAKE) --no-print-directory build
	@build/bin/ashlar-lab down $(if $(LAB),--name $(LAB))

##@ Build
.PHONY: build rpm releases repository release prerequisites clean
build: ## Every component into build/trees and build/generation, the commands into build/bin
	@mkdir -p build/bin build/generation
	@$(GO_BUILD) -o build/bin/ ./rpm/cmd/ashlar-release ./rpm/cmd/ashlar-rpm
	@build/bin/ashlar-release trees
	@find build/generation -mindepth 1 -maxdepth 1 ! -type l -exec rm -rf {} +
	@$(foreach c,$(COMPONENTS),ln -sfnT ../trees/$(c) build/generation/$(c) &&) true
	@$(GO_BUILD) -o build/bin/ashlar ./cli
	@ln -f build/trees/supervisor/bin/ashlard build/bin/ashlard
	@$(GO_BUILD) -o build/bin/ashlar-lab ./lab

# Packages are made of what build made; what has not changed is not packed again. Results of the contract tests belong into
# build/repo/evidence. The keys in build/keys are the lab's own, made once.
rpm: build ## Every component as a signed RPM in the repository build/repo
	@build/bin/ashlar-release pack

releases: build ## The released versions, each built from its own commit, into build/repo
	@build/bin/ashlar-release build

# What devices are installed from: released versions and the tree's own. Of the contract tests only those are made whose
# result is not there yet.
repository: releases rpm ## Every version there is, in build/repo, with the results of their contract tests (root)
	@$(GO_BUILD) -o build/bin/ashlar-compat ./compat-tests/cmd/ashlar-compat
	@build/bin/ashlar-compat verify --build build --repository build/repo --keys build/keys

release: build ## Record the versions of HEAD in rpm/releases.yaml: all new ones, or COMPONENT=name
	@build/bin/ashlar-release add $(COMPONENT)

prerequisites: ## Install what is missing of Debian's packages, saying what and why
	@lab/prerequisites.sh

clean: ## Remove everything that was built
	rm -rf build

##@ Check
.PHONY: test test-unprivileged check lint generated breaking models
test: prerequisites build tools ## All tests, with counts; needs root
	@$(TOOLS)/gotestsum --format pkgname --jsonfile build/test.json -- -count=1 -p 1 -timeout 15m ./...
	@! grep -q '"Action":"skip".*"Test"' build/test.json || { echo 'skipped tests:'; grep '"Action":"skip".*"Test"' build/test.json; exit 1; }

# What makes namespaces, loads programs, or proves that root and strangers are told apart.
NEEDS_ROOT := compat-tests/internal/run|lab|dataplane|pkgmgr|rpm|services/interfaces|services/host|services/kit$$|services/config/internal/app|services/config/internal/northbound|services/rib/internal/app|services/state/internal/app
test-unprivileged: ## The tests that an ordinary user can run
	go test $$(go list ./... | grep -vE '/ashlar/($(NEEDS_ROOT))(/|$$)')

.PHONY: proof
PROOFS := kill-matrix back-to-back
proof: prerequisites build repository ## All slow proofs, or one: make proof NAME=kill-matrix (root, minutes)
	@for name in $(or $(NAME),$(PROOFS)); do build/bin/ashlar-lab proof $$name; done

check: lint generated breaking models ## What CI checks besides the tests

lint: tools proto-deps ## gofmt, vet, staticcheck, buf lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	$(TOOLS)/staticcheck ./...
	$(TOOLS)/buf lint

GENERATED := proto services/config/internal/oc dataplane/internal/tables dataplane/internal/losses lab/stream bench/v4forwarding
generated: generate ## Fail when generated code differs from what is committed
	@git diff --exit-code --stat -- $(GENERATED) && test -z "$$(git status --porcelain -- $(GENERATED))"

models: ## Compare our YANG with OpenConfig's
	cd tools && go test ./modelcheck && go run ./modelcheck ../services/config/yang

breaking: tools proto-deps ## Compare the contracts with their last released form
	$(TOOLS)/buf breaking proto --against proto/released/contracts.binpb

##@ Measure
BENCHMARKS := v4-forwarding gnmi-set cold-start footprint upgrade

.PHONY: bench
bench: prerequisites build repository ## All benchmarks, or one: make bench NAME=v4-forwarding
	@for name in $(or $(NAME),$(BENCHMARKS)); do go run ./bench/$${name//-/}; done

##@ Generate
.PHONY: generate proto-deps tools release-contracts
generate: tools proto-deps generate-yang generate-bpf ## Make the committed generated code again
	rm -rf proto/gen && $(TOOLS)/buf generate proto --template proto/buf.gen.yaml

proto-deps:
	@for f in gnmi/gnmi.proto gnmi_ext/gnmi_ext.proto; do \
	  install -D -m 644 $(GNMI_PROTO)/$$f build/proto-deps/github.com/openconfig/gnmi/proto/$$f; done

release-contracts: tools proto-deps ## Freeze the contracts as they are; later changes are compared with this
	$(TOOLS)/buf build proto --exclude-source-info -o proto/released/contracts.binpb

tools: $(TOOLS)/.stamp ## The generators, linters and test clients (a module of their own)
$(TOOLS)/.stamp: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	cd tools && go build -o ../$(TOOLS)/ tool
	@touch $@

# The service compiles the YANG itself; the structs are for code that wants types. The generator writes its own place on
# this machine into the file: it is cut off.
OC := services/config/internal/oc/oc.go
.PHONY: generate-yang
generate-yang: tools
	@mkdir -p $(dir $(OC))
	$(TOOLS)/generator -path=services/config/yang -output_file=$(OC) -package_name=oc \
	  -generate_fakeroot -fakeroot_name=device -compress_paths=false -typedef_enum_with_defmod \
	  -enum_suffix_for_simple_union_enums -generate_simple_unions $$(LC_ALL=C ls services/config/yang/*.yang)
	sed -i 's#[^ ]*/github.com/openconfig/ygot@#github.com/openconfig/ygot@#' $(OC) && gofmt -w $(OC)

# The forwarding program, and Go's mirror of the memory it shares with the daemon.
BPF2GO = $(CURDIR)/$(TOOLS)/bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types
BPF_CFLAGS := -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -mcpu=v3 -idirafter /usr/include/$(shell uname -m)-linux-gnu
BPF_TYPES := line header tables shadow cpu_counters port_counters next_hop_counters adjacency port control \
  limit reason action ref_kind port_flag adjacency_flag group_bits
.PHONY: generate-bpf
generate-bpf: tools
	cd dataplane/internal/tables && GOPACKAGE=tables $(BPF2GO) $(BPF_TYPES:%=-type %) router ../../bpf/router.c -- $(BPF_CFLAGS)
	cd dataplane/internal/losses && GOPACKAGE=losses $(BPF2GO) losses ../../bpf/losses.c -- $(BPF_CFLAGS)
	cd bench/v4forwarding && GOPACKAGE=main $(BPF2GO) -type trace -type destination trace bpf/trace.c -- $(BPF_CFLAGS)
	go generate ./lab/stream
