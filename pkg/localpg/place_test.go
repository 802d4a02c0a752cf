package localpg

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestPlace(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root has another user run its server")
	}

	// hidden is a folder that no other user can reach, and a fallback root that every user can.
	hidden := func(t *testing.T) Options {
		t.Helper()
		dir, root := newDir(t), newDir(t)
		if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		return Options{Dir: dir, fallbackRoot: root}
	}

	t.Run("FallsBackWhenTheServersUserCannotReachTheFolder", func(t *testing.T) {
		t.Parallel()
		o := hidden(t)
		var log bytes.Buffer
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		s := mustStart(t, o)
		mustExec(t, s, "postgres", "CREATE TABLE kept AS SELECT 'yes' AS v")
		data := show(t, s, "postgres", "SHOW data_directory")
		if !strings.HasPrefix(data, o.fallbackRoot) || !strings.Contains(log.String(), o.fallbackRoot) {
			t.Errorf("data folder %s, log %s: want both to name %s", data, &log, o.fallbackRoot)
		}
		mustStop(t, s)

		// It stays there also when the folder opens up: where a cluster exists, it stays.
		if err := os.Chmod(filepath.Dir(o.Dir), 0o755); err != nil {
			t.Fatal(err)
		}
		s = mustStart(t, o)
		if got := show(t, s, "postgres", "SELECT v FROM kept"); got != "yes" {
			t.Errorf("kept = %q, want yes", got)
		}
	})

	t.Run("BeginsAnewWhenTheFolderWasRemoved", func(t *testing.T) {
		t.Parallel()
		o := hidden(t)
		s := mustStart(t, o)
		mustExec(t, s, "postgres", "CREATE TABLE kept AS SELECT 'yes' AS v")
		mustStop(t, s)
		if err := os.RemoveAll(o.Dir); err != nil {
			t.Fatal(err)
		}
		s = mustStart(t, o)
		if got := show(t, s, "postgres", "SELECT count(*)::text FROM pg_class WHERE relname = 'kept'"); got != "0" {
			t.Error("the old data came back")
		}
		aside, _ := filepath.Glob(filepath.Join(o.fallbackRoot, "*", "cluster.removed", "data"))
		if len(aside) != 1 {
			t.Errorf("set aside: %v, want the old cluster", aside)
		}
	})

	t.Run("RunsAnExistingClusterAsItsOwner", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		mustStop(t, mustStart(t, Options{Dir: dir}))
		const uid = 65534 // nobody
		err := filepath.WalkDir(filepath.Join(dir, "cluster"), func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, uid, uid)
		})
		if err != nil {
			t.Fatal(err)
		}
		s := mustStart(t, Options{Dir: dir})
		// A file that the server has made is its user's.
		info, err := os.Stat(filepath.Join(dir, "cluster", "data", "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != uid {
			t.Errorf("server %d runs as user %d, want %d", s.PID(), got, uid)
		}
	})
}
