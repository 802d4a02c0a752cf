package localpg

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestFind(t *testing.T) {
	t.Parallel()
	t.Run("TellsWhatTheServerTells", func(t *testing.T) {
		t.Parallel()
		dir := newDir(t)
		if _, err := Find(dir, "postgres"); !errors.Is(err, ErrNotRunning) {
			t.Errorf("before the first start: %v", err)
		}
		s, err := Start(newContext(t), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if url, err := Find(dir, "gold"); err != nil || url != s.URL("gold") {
			t.Errorf("found %s, %v; want %s", url, err, s.URL("gold"))
		}
		if err := s.Stop(newContext(t)); err != nil {
			t.Fatal(err)
		}
		if _, err := Find(dir, "postgres"); !errors.Is(err, ErrNotRunning) {
			t.Errorf("after the stop: %v", err)
		}
	})
	t.Run("FollowsAClusterThatLivesElsewhere", func(t *testing.T) {
		t.Parallel()
		dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), clusterName)
		if err := os.MkdirAll(filepath.Join(elsewhere, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string]string{
			filepath.Join(dir, movedName):                      elsewhere + "\n",
			filepath.Join(elsewhere, "password"):               "secret\n",
			filepath.Join(elsewhere, "data", "postmaster.pid"): strconv.Itoa(os.Getpid()) + "\n/data\n1\n5433\n",
		} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		const want = "postgres://energy:secret@127.0.0.1:5433/energy?sslmode=disable"
		if url, err := Find(dir, "energy"); err != nil || url != want {
			t.Errorf("found %s, %v; want %s", url, err, want)
		}
	})
	t.Run("PassesOverWhatAKilledServerLeft", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		data := filepath.Join(dir, clusterName, "data")
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string]string{
			filepath.Join(dir, clusterName, "password"): "secret\n",
			filepath.Join(data, "postmaster.pid"):       "4194304\n/data\n1\n5433\n", // above the greatest pid
		} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Find(dir, "energy"); !errors.Is(err, ErrNotRunning) {
			t.Error(err)
		}
	})
}
