package localpg

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// helperDir, when set, makes this test binary a process that starts the cluster of that folder and waits to be killed.
const (
	helperDir     = "LOCALPG_TEST_HELPER_DIR"
	helperOutlive = "LOCALPG_TEST_HELPER_OUTLIVE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		helper(dir, os.Getenv(helperOutlive) != "")
		return
	}
	goleak.VerifyTestMain(m)
}

func helper(dir string, outlive bool) {
	s, err := Start(context.Background(), Options{Dir: dir, outlive: outlive})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(s.PID())
	<-s.Exited()
}

// newDir is a folder that the user postgres can reach also when the tests run as root, which t.TempDir's is not.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "localpg-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "pg")
}

func newContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func mustStart(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := Start(newContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustStop(t, s) })
	return s
}

func mustStop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(newContext(t)); err != nil {
		t.Error(err)
	}
}

// eventually polls until ok or a minute has gone.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := newContext(t)
	for !ok() {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
