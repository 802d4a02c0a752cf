// Command silver-cleaner judges bronze and passes on as silver what counts.
// Its settings are environment variables: see README.md beside this file.
package main

import (
	"os"

	"github.com/energy-platform/energy/services/internal/app"
)

func main() {
	os.Exit(app.Main("silver-cleaner", os.Environ(), os.Stderr, app.RunCleaner))
}
