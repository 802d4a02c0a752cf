// Command energy is the operator's tool: it runs the whole platform on one
// machine, publishes readings, asks for aggregates, and tells how things are.
package main

import (
	"os"
	_ "time/tzdata" // calendar windows work on machines without a zone database

	"github.com/energy-platform/energy/services/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Environ(), cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
