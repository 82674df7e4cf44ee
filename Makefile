# go build and go test are all that is needed; these are the longer command lines.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME   ?= 5m
BENCH      ?= .
COUNT      ?= 10
BENCHMARK   = go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./...
BENCHSTAT   = golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

# Packages of this module that import one of the packages given, in their tests too.
importers = $(shell go list -f '{{range .Imports}}{{.}} {{$$.ImportPath}}{{"\n"}}{{end}}{{range .TestImports}}{{.}} {{$$.ImportPath}}{{"\n"}}{{end}}{{range .XTestImports}}{{.}} {{$$.ImportPath}}{{"\n"}}{{end}}' ./... | awk '$(foreach p,$(1),$$1 == "$(p)" ||) 0 { print $$2 }' | sort -u)

.PHONY: build test torture purego-packages test-arm64 beam pages race lint fuzz bench bench-save bench-diff bench-compare bench-serve interop interop-serve generate ci clean help

build: ## bin/bert: one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/bert ./cmd/bert

test: ## the tests, with the assembly of this machine and with plain Go
	go test ./...
	go test -tags purego ./...

torture: ## commands killed, interrupted and failing at every system call that changes a file
	BERT_TORTURE=all go test -run TestTorture -timeout 4h -v ./cmd/bert

# The build tag changes internal/simd alone. What imports it sees the change; whatever is above that runs the same code on the
# results of plain Go, as BERT_SIMD=purego also gives them. So do the tests of train that import it.
purego-packages: ## the packages whose tests .ci/run runs on plain Go, too
	@echo $(filter-out %/train,$(call importers,github.com/go-bert/bert/internal/simd)) ./internal/simd

# What is left out takes long there, and what it asserts is the same on every processor, or asserted by a smaller model: kernels of bf16 and
# int8 are compared in internal/simd, and devices share them out by the same code.
EMULATED = ^(TestThreadsGiveTheSameBits|TestConcurrentSessions|TestFirstPass|TestConversionsAreExact|TestGoldenFineTuned|TestGoldenBERT4Rec)$$|^TestDevice$$/^(bf16|int8)$$
test-arm64: ## kernels, operations and models on arm64, emulated (Debian: qemu-user)
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	for package in internal/simd internal/compute/computetest internal/compute/cpu .; do \
		echo "$$package"; \
		CGO_ENABLED=0 GOARCH=arm64 go test -c -o "$$dir/test" "./$$package"; \
		(cd "$$package" && qemu-aarch64 "$$dir/test" -test.short -test.skip '$(EMULATED)'); \
	done

beam: ## the pipelines of Apache Beam, a module of its own: vet and test; the first time compiles some hundred packages
	go -C beam vet ./...
	go -C beam test ./...

pages: ## the pages of every kind of run in Chromium, and axe-core of npm about them (Debian: chromium, npm)
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	(cd "$$dir" && npm pack --silent axe-core@4.10.3 >/dev/null && tar xzf axe-core-*.tgz package/axe.min.js); \
	BERT_CHROMIUM="$${BERT_CHROMIUM:-$$(command -v chromium || command -v chromium-browser || command -v google-chrome)}" \
	BERT_AXE="$$dir/package/axe.min.js" go test -count=1 -p 1 -timeout 60m -run '^(TestBrowser|TestPages|TestServePages)$$' -v ./report ./cmd/bert

# -short leaves out what takes long and has little to race: an archive of 215 MB, products of 9 million elements, scripts of pictures. Goldens
# are left out, too: they compare numbers. make lint is what vets. In what imports sync for a value that is made once, or for measuring,
# nothing races; internal/simd is assembly, which the detector doesn't see.
ALONE = bench/% internal/bench internal/compute/computetest internal/lazyregexp internal/mmap internal/simd recipe report/draw starter
race: ## the race detector on what is concurrent: on what imports sync; it needs a C compiler
	CGO_ENABLED=1 go test -race -short -vet=off -skip "^TestGolden" -timeout 30m $(filter-out $(addprefix github.com/go-bert/bert/,$(ALONE)),$(call importers,sync sync/atomic)) ./train

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

bench-save: ## run them COUNT times and keep the results, to compare a change with
	$(BENCHMARK) >bench/saved.out || { cat bench/saved.out; rm bench/saved.out; exit 1; }

bench-diff: ## run them COUNT times again and print what has changed since bench-save
	@test -f bench/saved.out || { echo "bench/saved.out is missing: run make bench-save before the change"; exit 1; }
	$(BENCHMARK) >bench/current.out || { cat bench/current.out; exit 1; }
	go run $(BENCHSTAT) bench/saved.out bench/current.out

bench-compare: ## measure beside PyTorch, ONNX Runtime, OpenVINO, CTranslate2 and tokenizers; ARGS are its flags (Python, 7 GB)
	go run ./bench/compare $(ARGS)

interop: ## beside transformers, ONNX Runtime, OpenVINO and TensorFlow, both ways; ARGS are its flags (Python, 8 GB)
	interop/run.sh $(ARGS)

bench-serve: ## bert serve beside text-embeddings-inference, infinity and FastAPI under load; ARGS are its flags (Python, 10 GB; Debian: wrk)
	go run ./bench/serve $(ARGS)

interop-serve: ## unmodified clients of other servers on bert serve; ARGS are its flags (Python, npm, 6 GB)
	interop/serve/run.sh $(ARGS)

generate: ## the assembly and the Unicode tables
	go generate ./...
	cd tokenizer/_gen && go run .

ci: ## all that has to pass before a change goes in
	.ci/run

clean:
	rm -rf bin

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1: /p' $(MAKEFILE_LIST)
