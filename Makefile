# Parley. `make run` starts a server, `make test` proves the tree on a fresh machine,
# `make check` runs what needs nothing but Go and gcc.

GOFLAGS     := -buildvcs=false
TAGS        := sqlite_fts5
VERSION     := $(shell git describe --tags --dirty 2>/dev/null || echo 0.1.0-dev+$$(git describe --always --dirty 2>/dev/null || echo unknown))
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
export CGO_ENABLED = 1
export GOFLAGS

.PHONY: build webclient run check test fmt vet unit differential interop peers bench fault generate clean

build: webclient ## bin/parley, with the web client if npm is there
	@command -v gcc >/dev/null || { echo "gcc is needed to build the database (package gcc)"; exit 1; }
	go build -trimpath -tags $(TAGS) -ldflags "-s -w -X main.version=$(VERSION)" -o bin/parley ./cmd/parley

webclient: ## web/client/converse.zip, fetched by npm; or made of the package that WEBCLIENT names
	@GOFLAGS="$(GOFLAGS) -tags=$(TAGS)" go run ./cmd/webclient $(if $(WEBCLIENT),-from "$(WEBCLIENT)")

run: build ## a complete server with no configuration; its data is in ./data
	./bin/parley serve

check: fmt vet unit ## all that needs nothing but Go and gcc

test: peers check differential interop ## everything; installs the peers that it needs

fmt:
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "not formatted (gofmt -w):"; echo "$$bad"; exit 1; }

vet:
	go vet -tags $(TAGS) ./...
	go run $(STATICCHECK) -tags "$(TAGS) interop" ./...

unit:
	go test -race -tags $(TAGS) -timeout 25m ./...

differential: ## the scanner against expat, which other servers read with
	go test -tags "$(TAGS) expat" -run Expat -timeout 15m ./xmpp/...

interop: build ## strangers' software against a really started server
	go test -count=1 -tags "$(TAGS) interop" -run Interop -timeout 25m -v ./cmd/parley

peers: ## installs the programs that the tests run, or names them
	@sh testdata/interop/install.sh

KILLS ?= 2000
fault: ## kills the server at random moments, KILLS times, and looks for what was acknowledged; about three a second
	FAULT_KILLS=$(KILLS) go test -count=1 -tags $(TAGS) -run 'TestKilledAtAnyMoment|TestKilledWithoutArchives' -timeout 3h -v ./cmd/parley

bench:
	go test -tags $(TAGS) -run '^$$' -bench . -benchmem ./...

generate: build ## the tables of RFCs and XEPs in README.md and docs/
	go test -tags $(TAGS) -run TestGeneratedPages ./cmd/parley -update

clean:
	rm -rf bin
