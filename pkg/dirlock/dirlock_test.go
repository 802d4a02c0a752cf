package dirlock

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestLock(t *testing.T) {
	t.Parallel()

	t.Run("IsHeldByOneAndNamesItsHolder", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		first, err := Acquire(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Release()

		_, err = Acquire(dir)
		var held *HeldError
		if !errors.As(err, &held) {
			t.Fatalf("second Acquire: %v, want a *HeldError", err)
		}
		if held.PID != os.Getpid() || held.Dir != dir {
			t.Errorf("held = %+v, want pid %d and folder %s", held, os.Getpid(), dir)
		}
	})

	t.Run("CanBeTakenAgainAfterRelease", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		for range 3 {
			l, err := Acquire(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(l.Release(), l.Release()); err != nil {
				t.Fatal(err)
			}
		}
	})

	t.Run("IgnoresAFileThatNobodyHolds", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), []byte("4194303\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := Acquire(dir)
		if err != nil {
			t.Fatal(err)
		}
		l.Release()
	})

	t.Run("NeedsTheFolder", func(t *testing.T) {
		t.Parallel()
		if _, err := Acquire(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("err = %v, want os.ErrNotExist", err)
		}
	})
}
