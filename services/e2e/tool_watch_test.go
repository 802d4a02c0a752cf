package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/services/internal/cli"
)

// TestToolWatchesASelection under one header, whatever comes.
func TestToolWatchesASelection(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.status(t) // it stands
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, errOut, ended := new(syncBuffer), new(syncBuffer), make(chan error, 1)
	root := cli.New(map[string]string{"ENERGY_QUERY_ADDRESS": p.grpc})
	root.SetArgs(strings.Fields("watch --parent site-1 --window day --zone own --format csv"))
	root.SetOut(out)
	root.SetErr(errOut)
	file := filepath.Join(t.TempDir(), "entities.csv")
	if err := os.WriteFile(file, []byte("id,zone,parent\nm1,Asia/Tokyo,site-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, said, status := tool(t, []string{"ENERGY_QUERY_ADDRESS=" + p.grpc}, "entities", "load", file); status != 0 {
		t.Fatal(said)
	}
	go func() { ended <- root.ExecuteContext(ctx) }()

	// A watch brings what changes after it stands: readings are sent until it does.
	at := time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for n := 0; strings.Count(out.String(), "\nm1,") < 2; n++ {
		const reading = `{"entity_id":%q,"metric":"voltage","value":230,"time":%q}`
		when := at.Add(time.Duration(n) * time.Second).Format(time.RFC3339)
		send(t, p, "application/x-ndjson", fmt.Sprintf(reading+"\n"+reading, "m2", when, "m1", when))
		select {
		case err := <-ended:
			t.Fatalf("it ended with %v: %s", err, errOut)
		case <-poll.C:
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	lines := table(t, out.String())
	if n := strings.Count(out.String(), "entity,group"); n != 1 {
		t.Errorf("%d headers:\n%s", n, out)
	}
	for _, line := range lines {
		if line["entity"] != "m1" || line["date"] != "2026-03-02" || line["start"] != "2026-03-01T15:00:00Z" {
			t.Errorf("it brings %v", line)
		}
	}
}
