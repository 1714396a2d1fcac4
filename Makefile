# Every target is one line of help. `make demo` needs nothing but Go.
GO       ?= go
LINT      = $(GO) tool -modfile=tools/go.mod golangci-lint
PACKAGES  = ./...
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help demo build test check unit fuzz bench-sync bench-quality bench-linkage packages clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: build ## a small country in one process; prints the console's address
	./bin/lienthong demo

build: ## the one binary, in bin/
	$(GO) build -trimpath -o bin/lienthong ./cmd/lienthong

test: packages ## everything: installs missing Debian packages, vets, runs all tests (race detector where goroutines meet)
	./tools/test.sh

check: ## before every commit: format, lint, vet, architecture, unit tests
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(LINT) run
	$(GO) vet $(PACKAGES)
	$(GO) test -short $(PACKAGES)

fuzz: ## every fuzz target for ten seconds
	./tools/fuzz.sh 10s

bench-sync: packages ## PostgreSQL, MariaDB and files to PostgreSQL beside native references; JSON lines
	$(GO) run ./bench sync

bench-quality: packages ## 20 and 30 checks of 5,000,000 rows beside DuckDB and PostgreSQL on the same rows; JSON lines
	@./tools/packages.sh g++
	$(GO) run ./bench quality

bench-linkage: ## duplicates among 200,000 persons and 50,000 organisations of which the truth is known; JSON lines
	$(GO) run ./bench linkage

packages:
	@./tools/packages.sh

clean: ## what was built
	rm -rf bin
