// Command silver-cleaner judges bronze and passes on as silver what counts.
// Its settings are environment variables: see README.md beside this file.
package main

import (
	"os"

	"github.com/energy-platform/energy/services/internal/app"
)

func main() {
	process := app.Process{Args: os.Args[1:], Environment: os.Environ(), Out: os.Stdout, Err: os.Stderr}
	os.Exit(app.Main("silver-cleaner", process, app.RunCleaner))
}
