package app

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/ingest"
	"github.com/energy-platform/energy/services/internal/janitor"
)

// Components of health that are no worker's own.
const (
	connection = "nats"
	postgres   = "postgres"
	setup      = "setup" // what a service needs before it can work: it is down until all of that is there
	catalogue  = "catalog"
	durability = "durability"
)

// runbooks is the folder of pages that say what to do.
const runbooks = "docs/runbooks/"

// pagesOfTrouble are the pages for what is wrong, wherever it is.
var pagesOfTrouble = []struct {
	trouble error
	page    string
}{
	{broker.ErrDisconnected, "broker-away.md"},
	{broker.ErrStreamFull, "stream-full.md"},
	{broker.ErrTooLarge, "stage-stuck.md"},
	{broker.ErrPositionMoved, "stage-stuck.md"},
	{goldstore.ErrPositionMoved, "stage-stuck.md"},
	{goldstore.ErrContended, "stage-stuck.md"},
	{broker.ErrStreamRecreated, "position-rewound.md"},
	{broker.ErrBeyondEnd, "position-rewound.md"},
	{broker.ErrNotProvisioned, "setup.md"},
	{broker.ErrStreamMissing, "setup.md"},
	{broker.ErrPartitionMismatch, "setup.md"},
	{broker.ErrFormat, "setup.md"},
	{goldstore.ErrNotMigrated, "setup.md"},
	{goldstore.ErrCatalogBehind, "catalogue.md"},
	{goldstore.ErrOtherWindow, "catalogue.md"},
	{goldstore.ErrEpochConflict, "catalogue.md"},
}

// pagesOfComponents are the pages for components in any other trouble. A component is
// named like these, or begins so and goes on with its number or name.
var pagesOfComponents = map[string]string{
	connection:                 "broker-away.md",
	postgres:                   "postgres-away.md",
	setup:                      "setup.md",
	catalogue:                  "catalogue.md",
	ingest.Stage:               "stage-stuck.md",
	cleaner.Stage:              "stage-stuck.md",
	aggregator.Stage:           "stage-stuck.md",
	aggregator.QuarantineStage: "stage-stuck.md",
	aggregator.RecomputeStage:  "catalogue.md",
	aggregator.Feed:            "behind-gold.md",
	aggregator.Parents:         "behind-gold.md",
	janitor.Name:               "janitor.md",
	janitor.Stream:             "stream-full.md",
}

// Runbook returns the page that says what to do about a component in trouble: the one for
// that trouble, else the one for that component. It is a [health.Guide].
func Runbook(component string, trouble error) string {
	for _, p := range pagesOfTrouble {
		if errors.Is(trouble, p.trouble) {
			return runbooks + p.page
		}
	}
	if fromPostgres(trouble) {
		return runbooks + "postgres-away.md"
	}
	family := component
	if i := strings.IndexAny(component, ". "); i > 0 {
		family = component[:i]
	}
	if page, ok := pagesOfComponents[family]; ok {
		return runbooks + page
	}
	return runbooks + "README.md"
}

// fromPostgres reports whether Postgres said so, or does not answer.
func fromPostgres(err error) bool {
	_, said := errors.AsType[*pgconn.PgError](err)
	_, away := errors.AsType[*pgconn.ConnectError](err)
	return said || away
}
