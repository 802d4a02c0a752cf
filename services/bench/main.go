// Command bench measures the platform against the floor: see package bench.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/energy-platform/energy/services/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(bench.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
