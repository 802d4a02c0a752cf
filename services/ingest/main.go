// Command ingest decodes what producers publish and passes it on as bronze.
// Its settings are environment variables: see README.md beside this file.
package main

import (
	"os"

	"github.com/energy-platform/energy/services/internal/app"
)

func main() {
	os.Exit(app.Main("ingest", os.Environ(), os.Stderr, app.RunIngest))
}
