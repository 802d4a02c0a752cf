// Command gold-aggregator merges silver into gold.
// Its settings are environment variables: see README.md beside this file.
package main

import (
	"os"

	"github.com/energy-platform/energy/services/internal/app"
)

func main() {
	os.Exit(app.Main("gold-aggregator", os.Environ(), os.Stderr, app.RunAggregator))
}
