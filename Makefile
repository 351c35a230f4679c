# Parley: `make run` starts a server, `make test` proves the tree.
GOFLAGS := -buildvcs=false -trimpath
TAGS    := sqlite_fts5
export CGO_ENABLED = 1

.PHONY: build
build:
	go build $(GOFLAGS) -tags $(TAGS) -o bin/parley ./cmd/parley
