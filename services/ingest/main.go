// Command ingest decodes what producers publish and passes it on as bronze.
// Its settings are environment variables: see README.md beside this file.
package main

import (
	"os"

	"github.com/energy-platform/energy/services/internal/app"
)

func main() {
	process := app.Process{Args: os.Args[1:], Environment: os.Environ(), Out: os.Stdout, Err: os.Stderr}
	os.Exit(app.Main("ingest", process, app.RunIngest))
}
