// Command chaos runs the platform under fire and asks whether it kept its promises:
// see README.md beside this file.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/energy-platform/energy/services/internal/chaos"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(chaos.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
