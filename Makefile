# Every target runs on a fresh machine with Go, a C compiler (for -race) and
# make; redis-server comes from PATH or from scripts/redis-server.sh.

# The modules of this repository, each a folder with a go.mod.
MODULES := . integration bench

# The build tags of tests that only some targets run; lint reads them all.
TAGS := long,compose

STATICCHECK = go tool -modfile='$(CURDIR)/.ci/tools/go.mod' staticcheck

# each runs a command in every module and stops at the first failure.
each = set -e; for module in $(MODULES); do (cd $$module; $(1)); done

# redis runs commands with REDIS_SERVER set. A failing script fails the target,
# which REDIS_SERVER=$$(...) go test would not.
redis = set -e; REDIS_SERVER=$$(scripts/redis-server.sh); export REDIS_SERVER; $(1)

# integration runs the integration tests with the given flags. -count=1: go test
# cannot know that the server it starts has changed.
integration = $(call redis,cd integration; go test -race -count=1 $(1) ./...)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

.PHONY: build
build: ## build ./mcpsession
	go build -o mcpsession ./cmd/mcpsession

.PHONY: test
test: lint unit bench-test integration ## what every change must pass: lint, unit, integration

.PHONY: test-all
test-all: ## the integration tests with the long ones (build tag long); needs npm
	@command -v npm >/dev/null || { echo 'npm is needed: install Node.js 22 or newer' >&2; exit 1; }
	$(call integration,-tags long -timeout 30m)

.PHONY: lint
lint: ## gofmt, go mod tidy -diff, vet and staticcheck of every module
	@unformatted=$$("$$(go env GOROOT)/bin/gofmt" -l .) && [ -z "$$unformatted" ] || \
		{ echo "gofmt -w these: $$unformatted" >&2; exit 1; }
	$(call each,go mod tidy -diff)
	cd .ci/tools && go mod tidy -diff
	$(call each,go vet -tags $(TAGS) ./...)
	$(call each,$(STATICCHECK) -tags $(TAGS) ./...)

.PHONY: unit
unit: ## unit tests, without Redis, with -race
	go test -race ./...

.PHONY: integration
integration: ## real processes, a real redis-server, with -race
	$(call integration,-timeout 10m)

.PHONY: bench-test
bench-test: ## every measurement in tiny sizes: does it still work?
	$(call redis,cd bench; go test -count=1 ./...)

.PHONY: bench
bench: ## the stores side by side with their rivals, one table in under ten minutes
	$(call redis,cd bench; go run .)

.PHONY: compose-test
compose-test: ## docker-compose.yml in a Docker engine; SKIPPED without one, unless COMPOSE_TEST_STRICT=1
	@scripts/compose-test.sh

.PHONY: tidy
tidy: ## go mod tidy in every module
	$(call each,go mod tidy)
	cd .ci/tools && go mod tidy
