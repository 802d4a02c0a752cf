# `make` lists the targets. Everything here also works by hand: a target is a command or two.
SHELL         := bash
.SHELLFLAGS   := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS     += --no-print-directory

BIN      := $(CURDIR)/bin
MODULES  := proto pkg services
ALONE    := scripts/tools services/e2e/collector services/e2e/prometheus services/e2e/kubernetes
PACKAGES := $(MODULES:%=./%/...)
SERVICES := ingest silver-cleaner gold-aggregator query energy
PLUGINS  := $(addprefix bin/protoc-gen-,go go-grpc grpc-gateway openapiv2)
TOOLS    := bin/buf bin/golangci-lint $(PLUGINS)
SCRIPTS  := scripts/setup scripts/fuzz .ci/run $(addprefix deployments/airgap/,build bundle image load lib postgres/entrypoint)
BASELINE := proto/baseline.binpb
OPENAPI  := services/internal/rest/openapi.swagger.json
LOAD     := clients=64 seconds=60 rate=20000 entities=200 pause=0s
TEST     := go test -race -shuffle=on -timeout 30m

# The settings in .env, when there is one; what the environment sets already wins.
LOAD_ENV := if [ -f .env ]; then given=$$(export -p); set -a; . ./.env; set +a; eval "$$given"; fi

##@ Run

.PHONY: run run-stream run-api health
run: setup bin/energy ## everything in one process, with a month of real readings; Ctrl-C ends it, data stays in .energy/
	exec bin/energy up --load docs/data/household_power_consumption.txt.gz --mapping docs/data/household.yaml

run-stream: bin/energy ## the services, with the NATS and Postgres servers of the environment or .env
	$(LOAD_ENV); exec bin/energy run-stream

run-api: bin/query ## the query service alone, with the servers of the environment or .env
	$(LOAD_ENV); exec bin/query

health: bin/energy ## is what runs healthy?
	$(LOAD_ENV); exec bin/energy health

##@ Containers

# CLUSTER=1 runs three NATS servers with a replica of each stream on each.
COMPOSE      := $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
ifdef CLUSTER
export COMPOSE_PROFILES := cluster
export NATS_CONFIG      := cluster
export NATS_SERVERS     := nats://nats:4222,nats://nats-2:4222,nats://nats-3:4222
export REPLICAS         := 3
endif
# METRICS=1 runs Prometheus and Grafana beside it.
ifdef METRICS
comma := ,
export COMPOSE_PROFILES := $(if $(COMPOSE_PROFILES),$(COMPOSE_PROFILES)$(comma))metrics
endif
IN_CONTAINERS := $(COMPOSE) run --rm energy
EVERY_SERVICE := ingest:8080,silver-cleaner:8080,gold-aggregator:8080,query:8080

.PHONY: docker-images docker-up docker-batch docker-verify docker-logs docker-down
docker-images: ## the images that docker-compose.yml names, where no registry has them: from here, Go modules, Debian
	deployments/airgap/build

docker-up: ## the platform as containers, and waits until all services are ok; CLUSTER=1 with three NATS servers, METRICS=1 with Grafana
	$(COMPOSE) up -d
	$(IN_CONTAINERS) health --wait 1m --address $(EVERY_SERVICE)

docker-batch: ## energy run-batch within the platform that docker-up started; BATCH= for its flags
	$(IN_CONTAINERS) run-batch $(BATCH)

docker-verify: ## energy verify within the platform that docker-up started
	$(IN_CONTAINERS) verify

docker-logs: ## what the containers log, until Ctrl-C
	$(COMPOSE) logs --follow --tail 100

docker-down: ## end the containers; data stays in their volumes, unless DATA=remove
	COMPOSE_PROFILES=cluster,tool,metrics $(COMPOSE) down $(if $(filter remove,$(DATA)),--volumes)

##@ Develop

.PHONY: setup setup-tests build test test-cov test-fleet load chaos fuzz bench bench-go bench-durable bench-ask generate format lint picture
setup: ## install what is missing: the modules, Postgres
	scripts/setup

setup-tests:
	scripts/setup --tests

build: ## all binaries into bin/
	go build -trimpath -o bin/ $(SERVICES:%=./services/%)

test: setup-tests bin/testreport ## all tests, under the race detector, in random order; skipped ones are listed
	$(TEST) -json $(PACKAGES) | bin/testreport

test-cov: setup-tests bin/testreport ## all tests with coverage into coverage.out, and the total
	$(TEST) -json -coverprofile=coverage.out -coverpkg=./pkg/...,./services/... $(PACKAGES) | bin/testreport
	go tool cover -func=coverage.out | tail -n 1

test-fleet: setup ## a simulated fleet of 2,000 series over 60 days, held against its truth by every way to ask
	ENERGY_TEST_FULL_FLEET=1 go test -count=1 -timeout 30m -run '^TestFleetEqualsItsTruth$$' -v ./services/e2e | \
		grep -v 'level=INFO'

load: setup ## 64 clients ask for a minute beside 20,000 readings/s: every answer is true; LOAD= for another size
	ENERGY_TEST_LOAD="$(LOAD)" go test -count=1 -timeout 30m -run '^TestAnswersUnderLoad$$' -v ./services/e2e | \
		grep -v 'level=INFO'

chaos: setup ## the platform under fire, held against its promises; SEED= KILLS= READINGS= for another run
	go run ./services/chaos $(if $(SEED),-seed $(SEED)) $(if $(KILLS),-kills $(KILLS)) \
		$(if $(READINGS),-readings $(READINGS))

fuzz: ## every fuzz target for 50,000 executions; COUNT=n for another number
	scripts/fuzz $(COUNT)

bench: setup ## readings into Postgres, against the floor; ONLY=W1,W2 RUNS= SCALE= for a part
	go run ./services/bench $(if $(ONLY),-only $(ONLY)) $(if $(RUNS),-runs $(RUNS)) $(if $(SCALE),-scale $(SCALE))

bench-go: ## all benchmarks of functions
	go test -run='^$$' -bench=. -benchmem ./pkg/...

bench-durable: setup ## what syncing each message costs, as ratios: the household published twice
	ENERGY_BENCH_DURABLE=1 go test -count=1 -timeout 30m -run '^TestWhatDurabilityCosts$$' -v ./services/e2e | \
		grep -v 'level='

bench-ask: ## questions to a store of 20 million base rows, made first; ROWS=n for another size
	ENERGY_BENCH_ROWS=$(or $(ROWS),20000000) go test -run='^$$' -bench=Ask -v -timeout 60m ./services/internal/query | \
		grep -v 'level=INFO'

picture: setup-tests ## docs/page.png anew: the page, with a month of real readings
	ENERGY_PAGE_PICTURE=$(CURDIR)/docs/page.png go test -count=1 -run '^TestPage$$' ./services/e2e

generate: bin/buf $(PLUGINS) ## the Go code and the OpenAPI document of the contracts
	bin/buf generate --template proto/buf.gen.yaml

format: bin/buf bin/golangci-lint ## format Go and protobuf
	bin/golangci-lint fmt $(PACKAGES)
	bin/buf format --write

lint: bin/golangci-lint ## golangci-lint over all modules
	for m in $(ALONE); do (cd $$m && GOWORK=off $(BIN)/golangci-lint run ./...) || exit 1; done
	bin/golangci-lint run $(PACKAGES)

##@ Check

# Sub-targets of check are independent: `make -k check` shows the faults of all.
.PHONY: check check-format check-vet check-proto check-generated check-modules check-scripts baseline
check: check-format check-vet lint check-proto check-generated check-modules check-scripts ## all that CI runs besides the tests

check-format:
	files=$$(gofmt -l $(MODULES) scripts); [ -z "$$files" ] || { echo "run 'make format' for:"; echo "$$files"; exit 1; }

check-vet:
	go vet $(PACKAGES)

check-proto: bin/buf
	bin/buf format --diff --exit-code
	bin/buf lint
	bin/buf breaking --against $(BASELINE)

check-generated: bin/buf $(PLUGINS)
	dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	bin/buf generate --template proto/buf.gen.yaml -o "$$dir"; \
	for f in proto/gen $(OPENAPI); do diff -r "$$dir/$$f" $$f || \
		{ echo "$$f is not what the contracts generate: run 'make generate'"; exit 1; }; done

# Each module stands on its own: tidy, and building without go.work. Go keeps the outcome of tests whatever changes in
# files outside of their module, such as the alerts: hence -count=1.
check-modules:
	export GOWORK=off; bad=; for m in $(MODULES) $(ALONE); do \
		(cd $$m && go mod tidy -diff && go build -o /dev/null ./...) || bad+=" $$m"; \
	done; [ -z "$$bad" ] || { echo "not tidy, or not building alone:$$bad"; exit 1; }
	for m in $(ALONE); do (cd $$m && GOWORK=off go vet ./... && GOWORK=off go test -count=1 ./...) || exit 1; done

check-scripts:
	for s in $(SCRIPTS); do bash -n $$s; done

baseline: bin/buf ## declare the contracts released: from now on, check refuses what breaks their users
	bin/buf build --exclude-source-info -o $(BASELINE)

##@ Other

.PHONY: tools clean help
tools: $(TOOLS) ## the pinned tools into bin/ (the other targets build those that they need)

clean: ## remove what was built; the data in .energy/ stays
	rm -rf bin coverage.out

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Binaries of the project: go build itself knows what is up to date.
.PHONY: force
$(SERVICES:%=bin/%): bin/%: force
	go build -trimpath -o $@ ./services/$*

# Tools are pinned in go.mod files and rebuilt when those change.
bin/buf: PACKAGE = github.com/bufbuild/buf/cmd/buf
bin/golangci-lint: PACKAGE = github.com/golangci/golangci-lint/v2/cmd/golangci-lint
bin/testreport: PACKAGE = ./testreport
bin/testreport: scripts/tools/testreport/main.go
bin/buf bin/golangci-lint bin/testreport: scripts/tools/go.mod
	cd scripts/tools && GOWORK=off GOBIN=$(BIN) go install $(PACKAGE)

bin/protoc-gen-go: PACKAGE = google.golang.org/protobuf/cmd/protoc-gen-go
bin/protoc-gen-go-grpc: PACKAGE = google.golang.org/grpc/cmd/protoc-gen-go-grpc
bin/protoc-gen-grpc-gateway: PACKAGE = github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway
bin/protoc-gen-openapiv2: PACKAGE = github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2
$(PLUGINS): proto/go.mod
	cd proto && GOWORK=off GOBIN=$(BIN) go install $(PACKAGE)
