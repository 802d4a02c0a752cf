package rig

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// module is where programs are built from.
const module = "github.com/energy-platform/energy/services/"

// Build builds the services, the tool and a nats-server into a folder.
func Build(ctx context.Context, dir string) error {
	for name, pkg := range map[string]string{
		"ingest": module + "ingest", "silver-cleaner": module + "silver-cleaner",
		"gold-aggregator": module + "gold-aggregator", "query": module + "query", "energy": module + "energy",
		"nats-server": "github.com/nats-io/nats-server/v2",
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(dir, name), pkg)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}
