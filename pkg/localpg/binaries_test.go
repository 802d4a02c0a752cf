package localpg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fakeInstall makes a folder of server binaries that only know their version.
// No process may be forked while one of them is open for writing: the child
// would hold the descriptor until it has its own program, and the kernel
// refuses to run a file that anybody writes (ETXTBSY).
func fakeInstall(t *testing.T, dir string, major int) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %d.3 (Debian)'\n", major)
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFinder(t *testing.T) {
	t.Parallel()

	t.Run("PrefersTheHighestVersionThatFits", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		for _, major := range []int{9, 15, 17, 19} {
			fakeInstall(t, filepath.Join(root, "postgresql@"+fmt.Sprint(major), "bin"), major)
		}
		f := finder{globs: []string{filepath.Join(root, "*", "bin")}}
		for _, tt := range []struct{ want, major int }{{0, 17}, {15, 15}, {17, 17}} {
			got, err := f.find(t.Context(), "", tt.want)
			if err != nil || got.major != tt.major {
				t.Errorf("find %d = %+v, %v; want version %d", tt.want, got, err, tt.major)
			}
		}
	})

	t.Run("PassesOverFoldersOfClientTools", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		client := filepath.Join(root, "17", "bin")
		if err := os.MkdirAll(client, 0o755); err != nil {
			t.Fatal(err)
		}
		want := fakeInstall(t, filepath.Join(root, "16", "bin"), 16)
		got, err := finder{globs: []string{client, filepath.Join(root, "16", "bin")}}.find(t.Context(), "", 0)
		if err != nil || got.dir != want {
			t.Errorf("find = %+v, %v; want %s", got, err, want)
		}
	})

	for _, tt := range []struct {
		name   string
		finder finder
		want   int
		says   []string
	}{
		{"SaysWhatMendsABareDebian", finder{goos: "linux"}, 0, []string{"`apt-get install postgresql`", "DATABASE_URL"}},
		{"SaysWhatMendsABareMac", finder{goos: "darwin"}, 0, []string{"`brew install postgresql@17`", "DATABASE_URL"}},
		{"NamesTheVersionOfTheCluster", finder{goos: "linux"}, 16, []string{"`apt-get install postgresql-16`",
			"made by version 16"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := tt.finder.find(t.Context(), "", tt.want)
			if !errors.Is(err, ErrNoPostgres) {
				t.Fatalf("err = %v, want ErrNoPostgres", err)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}

	t.Run("NamesTheVersionsThatDoNotFit", func(t *testing.T) {
		t.Parallel()
		dir := fakeInstall(t, filepath.Join(t.TempDir(), "14", "bin"), 14)
		for _, f := range []func() (installation, error){
			func() (installation, error) { return finder{globs: []string{dir}}.find(t.Context(), "", 0) },
			func() (installation, error) { return finder{}.find(t.Context(), dir, 0) },
		} {
			_, err := f()
			if !errors.Is(err, ErrNoPostgres) || !strings.Contains(err.Error(), "version 14 in "+dir) {
				t.Errorf("err = %v, want it to name version 14 in %s", err, dir)
			}
		}
	})

	t.Run("DoesNotLookElsewhereThanInBinDir", func(t *testing.T) {
		t.Parallel()
		_, err := Start(newContext(t), Options{Dir: newDir(t), BinDir: "/nonexistent"})
		if !errors.Is(err, ErrNoPostgres) || !strings.Contains(err.Error(), "/nonexistent") {
			t.Errorf("err = %v, want ErrNoPostgres and the folder", err)
		}
	})
}
