package rig

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
)

// module is where programs are built from.
const module = "github.com/energy-platform/energy/services/"

// programs are those that the platform is of: the services, the tool and a nats-server.
var programs = map[string]string{
	"ingest": module + "ingest", "silver-cleaner": module + "silver-cleaner",
	"gold-aggregator": module + "gold-aggregator", "query": module + "query", "energy": module + "energy",
	"nats-server": "github.com/nats-io/nats-server/v2",
}

// Build builds programs of the platform into a folder: the services, the tool and a
// nats-server, by their names, or all of them.
func Build(ctx context.Context, dir string, names ...string) error {
	args := []string{"build", "-trimpath", "-o", dir + string(filepath.Separator)}
	for name, pkg := range programs {
		if len(names) == 0 || slices.Contains(names, name) {
			args = append(args, pkg)
		}
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build %v: %w\n%s", args[4:], err, out)
	}
	return nil
}
