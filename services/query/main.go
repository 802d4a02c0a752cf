// Command query answers from gold over gRPC and REST.
// Its settings are environment variables: see README.md beside this file.
package main

import (
	"os"
	_ "time/tzdata" // calendar windows work on machines without a zone database

	"github.com/energy-platform/energy/services/internal/app"
)

func main() {
	process := app.Process{Args: os.Args[1:], Environment: os.Environ(), Out: os.Stdout, Err: os.Stderr}
	os.Exit(app.Main("query", process, app.RunQuery))
}
