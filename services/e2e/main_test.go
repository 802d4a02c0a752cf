// Package e2e_test runs the platform from publish to query: in one process as
// `energy up` does, and as processes of their own that are killed on the way.
package e2e_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/energy-platform/energy/pkg/localpg/pgtest"
)

func TestMain(m *testing.M) {
	// The image of testcontainers' reaper is in no bundle: tests remove what they start.
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := pgtest.Run(m)
	if err := removeBinaries(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}
