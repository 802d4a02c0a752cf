package localpg

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

const (
	defaultFallbackRoot = "/var/lib/energy-platform"
	clusterName         = "cluster"
	movedName           = "moved-to"
)

// place is where the cluster lives and as whom its server runs.
type place struct {
	parent string              // holds cluster/
	as     *syscall.Credential // nil: as ourselves
}

func (p place) folder() string   { return filepath.Join(p.parent, clusterName) }
func (p place) data() string     { return filepath.Join(p.folder(), "data") }
func (p place) password() string { return filepath.Join(p.folder(), "password") }

// findPlace decides, for a folder that this process has locked. Only root has a choice to make: the server's user may
// be unable to reach the folder, as when the clone lies below a /root of mode 0700. Then the cluster lives in a folder
// of its own below fallbackRoot, and the file moved-to in dir says so. Where a cluster exists, it stays.
func findPlace(ctx context.Context, o Options) (place, error) {
	here := place{parent: o.Dir}
	if os.Geteuid() != 0 {
		return here, nil
	}
	as, err := serverUser()
	if err != nil {
		return place{}, err
	}
	here.as = as
	switch owner, err := ownerOf(here.data()); {
	case err == nil:
		here.as = owner
		if err := reach(ctx, here); err != nil {
			return place{}, fmt.Errorf("the cluster's owner (user id %d) cannot reach it: %w: "+
				"give the folders above it the x bit (chmod o+x)", owner.Uid, err)
		}
		return here, nil
	case !errors.Is(err, fs.ErrNotExist):
		return place{}, err
	}
	marker := filepath.Join(o.Dir, movedName)
	if _, err := os.Stat(marker); errors.Is(err, fs.ErrNotExist) {
		if err := reach(ctx, here); !errors.Is(err, fs.ErrPermission) {
			return here, err
		}
	}
	return fallback(ctx, o, as, marker)
}

// fallback is the place below fallbackRoot that belongs to o.Dir. Without the marker, a cluster found there belonged to
// a folder that has since been removed, which is how people begin anew: it is set aside, not opened.
func fallback(ctx context.Context, o Options, as *syscall.Credential, marker string) (place, error) {
	root := o.fallbackRoot
	if root == "" {
		root = defaultFallbackRoot
	}
	sum := sha256.Sum256([]byte(o.Dir))
	p := place{parent: filepath.Join(root, hex.EncodeToString(sum[:6])), as: as}
	if err := os.MkdirAll(p.parent, 0o711); err != nil {
		return place{}, fmt.Errorf("make the fallback folder: %w", err)
	}
	for _, dir := range []string{root, p.parent} { // whatever the umask says
		if err := os.Chmod(dir, 0o711); err != nil {
			return place{}, fmt.Errorf("open the fallback folder to the server's user: %w", err)
		}
	}
	if err := reach(ctx, p); err != nil {
		return place{}, fmt.Errorf("user id %d can reach neither %s nor the fallback: %w: "+
			"use a folder that it can reach", as.Uid, o.Dir, err)
	}
	if owner, err := ownerOf(p.data()); err == nil {
		p.as = owner
	}
	o.Logger.InfoContext(ctx, "the server's user cannot reach the folder: the cluster lives elsewhere",
		"dir", o.Dir, "place", p.folder(), "uid", p.as.Uid)
	if _, err := os.Stat(marker); err == nil {
		return p, nil
	}
	if err := setAside(ctx, p, o.Logger); err != nil {
		return place{}, err
	}
	if err := os.WriteFile(marker, []byte(p.folder()+"\n"), 0o644); err != nil {
		return place{}, fmt.Errorf("note where the cluster lives: %w", err)
	}
	return p, nil
}

// setAside keeps one generation, so that neither a slip nor habit costs more than it should.
func setAside(ctx context.Context, p place, logger *slog.Logger) error {
	if _, err := os.Stat(p.folder()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := stopOrphan(ctx, p, logger); err != nil {
		return err
	}
	aside := p.folder() + ".removed"
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("remove the cluster set aside before: %w", err)
	}
	if err := os.Rename(p.folder(), aside); err != nil {
		return fmt.Errorf("set the old cluster aside: %w", err)
	}
	logger.WarnContext(ctx, "the folder was removed: its old cluster is set aside", "now", aside)
	return nil
}

// serverUser is whom a server run by root becomes.
func serverUser() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, fmt.Errorf("ids of the user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("postgres refuses to run as root and there is neither a user postgres nor nobody: " +
		"run `useradd --system postgres`, or run as another user")
}

// ownerOf is the only user as whom Postgres opens an existing data folder; root never is one.
func ownerOf(data string) (*syscall.Credential, error) {
	info, err := os.Stat(data)
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil, fmt.Errorf("the data folder %s belongs to root, as whom postgres refuses to run: "+
			"give it to another user (chown -R postgres)", data)
	}
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}, nil
}

// reach finds out whether the server's user can enter the place, by entering it as that user: this knows of ACLs and of
// every folder above, which a look at mode bits does not. It fails with fs.ErrPermission when that user cannot.
func reach(ctx context.Context, p place) error {
	return runTool(command(ctx, p.as, p.parent, "/bin/sh", "-c", ":"))
}
