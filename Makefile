# Everything a person runs here. `make help` lists it.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

TOOLS := build/tools
GNMI_PROTO = $(shell go list -m -f '{{.Dir}}' github.com/openconfig/gnmi)/proto

##@ Code
.PHONY: help generate tools
help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

tools: $(TOOLS)/.stamp ## Build the generators and linters (a module of their own)
$(TOOLS)/.stamp: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	cd tools && go build -o ../$(TOOLS)/ tool
	@touch $@

generate: tools ## Make the committed generated code again
	@for f in gnmi/gnmi.proto gnmi_ext/gnmi_ext.proto; do \
	  install -D -m 644 $(GNMI_PROTO)/$$f build/proto-deps/github.com/openconfig/gnmi/proto/$$f; done
	rm -rf proto/gen && $(TOOLS)/buf generate proto --template proto/buf.gen.yaml
