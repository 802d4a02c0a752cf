package localpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const initPrefix = "init-"

// cluster is a data folder that exists, is ours to run, and has no server on it.
type cluster struct {
	place
	bin      installation
	password string
	log      string // path
	durable  bool
	outlive  bool
	logger   *slog.Logger
}

// openCluster finds the cluster of a locked folder, or makes it.
func openCluster(ctx context.Context, o Options) (*cluster, error) {
	p, err := findPlace(ctx, o)
	if err != nil {
		return nil, err
	}
	major, err := madeBy(p)
	if err != nil {
		return nil, err
	}
	bin, err := machine().find(ctx, o.BinDir, major)
	if err != nil {
		return nil, err
	}
	c := &cluster{place: p, bin: bin, log: filepath.Join(o.Dir, "postgres.log"),
		durable: o.Durable, outlive: o.outlive, logger: o.Logger}
	if major == 0 {
		if err := c.create(ctx); err != nil {
			return nil, fmt.Errorf("make the cluster in %s: %w", c.folder(), err)
		}
	}
	if err := stopOrphan(ctx, p, o.Logger); err != nil {
		return nil, err
	}
	password, err := os.ReadFile(p.password())
	if err != nil {
		return nil, fmt.Errorf("%w: put the file back, or remove %s to begin anew without its data", err, c.folder())
	}
	c.password = strings.TrimSpace(string(password))
	return c, nil
}

// madeBy is the major version of the cluster, zero when there is none.
func madeBy(p place) (int, error) {
	path := filepath.Join(p.data(), "PG_VERSION")
	b, err := os.ReadFile(path)
	switch _, statErr := os.Stat(p.folder()); {
	case errors.Is(err, fs.ErrNotExist) && errors.Is(statErr, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("%w: %s is no cluster: restore it, or remove it to begin anew", err, p.folder())
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return major, nil
}

// create makes the cluster and its password in a folder of another name and renames that: a crash on the way leaves no
// half a cluster, only litter, which the next create sweeps away.
func (c *cluster) create(ctx context.Context) error {
	c.sweep(ctx)
	tmp, err := os.MkdirTemp(c.parent, initPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	password := filepath.Join(tmp, "password")
	if err := os.WriteFile(password, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	if c.as != nil {
		for _, path := range []string{tmp, password} {
			if err := os.Chown(path, int(c.as.Uid), int(c.as.Gid)); err != nil {
				return err
			}
		}
	}
	args := []string{"--pgdata", filepath.Join(tmp, "data"), "--username", User, "--pwfile", password,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-instructions"}
	if c.durable {
		args = append(args, "--data-checksums")
	} else {
		args = append(args, "--no-sync")
	}
	if err := runTool(command(ctx, c.as, tmp, c.bin.tool("initdb"), args...)); err != nil {
		return err
	}
	if err := os.Rename(tmp, c.folder()); err != nil {
		return err
	}
	c.logger.InfoContext(ctx, "made a postgres cluster", "dir", c.folder(), "version", c.bin.major)
	return syncDir(c.parent)
}

// sweep removes what creates that crashed have left. What it cannot remove only takes room.
func (c *cluster) sweep(ctx context.Context) {
	entries, err := os.ReadDir(c.parent)
	if err != nil {
		c.logger.WarnContext(ctx, "crashed set-ups of postgres could not be looked for", "dir", c.parent, "error", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), initPrefix) {
			continue
		}
		dir := filepath.Join(c.parent, e.Name())
		if err := os.RemoveAll(dir); err != nil {
			c.logger.WarnContext(ctx, "a crashed set-up of postgres could not be removed", "dir", dir, "error", err)
			continue
		}
		c.logger.InfoContext(ctx, "removed a crashed set-up of postgres", "dir", dir)
	}
}

// syncDir makes a rename in dir last.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
