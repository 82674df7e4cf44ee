# go build and go test are all that is needed; these are the longer command lines.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME   ?= 5m
BENCH      ?= .

.PHONY: build test race lint fuzz bench generate ci clean help

build: ## bin/bert: one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/bert ./cmd/bert

test: ## the tests, with the assembly of this machine and with plain Go
	go test ./...
	go test -tags purego ./...

race: ## the race detector on what is concurrent; it needs a C compiler
	CGO_ENABLED=1 go test -race . ./internal/compute/cpu ./tokenizer ./task ./train ./cmd/bert

lint: ## what .ci/run asks of the sources
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	go vet ./...
	go run $(STATICCHECK) ./...

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

bench: ## the benchmarks whose names match BENCH
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

generate: ## the assembly and the Unicode tables
	go generate ./...
	cd tokenizer/_gen && go run .

ci: ## all that has to pass before a change goes in
	.ci/run

clean:
	rm -rf bin

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' $(MAKEFILE_LIST)
