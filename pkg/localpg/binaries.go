package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// ErrNoPostgres says that no server binaries fit: none on this machine, or none of the version that made the cluster.
// The message that wraps it holds the command that mends it.
var ErrNoPostgres = errors.New("no PostgreSQL server found")

// The versions that the platform is tested with.
const (
	oldestMajor = 15
	newestMajor = 18
)

// installation is one set of server binaries.
type installation struct {
	dir   string
	major int
}

func (i installation) tool(name string) string { return filepath.Join(i.dir, name) }

// finder looks for installations. The zero value finds none.
type finder struct {
	pgConfig string   // a command that prints the folder of the binaries for --bindir
	globs    []string // patterns of folders; within one, the highest version comes first
	goos     string
}

// machine is the finder of this machine.
func machine() finder {
	return finder{
		pgConfig: "pg_config",
		globs: []string{
			"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
			"/usr/pgsql-*/bin",          // RHEL, Fedora, from postgresql.org
			"/usr/local/pgsql/bin",      // built from source
			"/opt/homebrew/opt/postgresql@*/bin",
			"/usr/local/opt/postgresql@*/bin",
			"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
			"/usr/bin", // Fedora, Arch, Alpine
		},
		goos: runtime.GOOS,
	}
}

// find returns the installation to use: the one in binDir when that is given, else the first that the machine offers.
// A want above zero asks for just that major version: a cluster can be opened only by the version that made it.
func (f finder) find(ctx context.Context, binDir string, want int) (installation, error) {
	fits := func(major int) bool {
		return major >= oldestMajor && major <= newestMajor && (want == 0 || major == want)
	}
	dirs := []string{binDir}
	if binDir == "" {
		dirs = f.candidates(ctx)
	}
	var misfits []string
	for _, dir := range dirs {
		major, err := majorOf(ctx, dir)
		switch {
		case err != nil && ctx.Err() != nil:
			return installation{}, ctx.Err()
		case err != nil && binDir != "":
			return installation{}, fmt.Errorf("%w in BinDir %s: %w: name the folder of initdb, pg_ctl and postgres",
				ErrNoPostgres, binDir, err)
		case err != nil:
		case fits(major):
			return installation{dir: dir, major: major}, nil
		default:
			misfits = append(misfits, fmt.Sprintf("version %d in %s", major, dir))
		}
	}
	return installation{}, f.explain(want, misfits)
}

// candidates lists the folders to look at, in order of preference.
func (f finder) candidates(ctx context.Context) []string {
	var dirs []string
	if f.pgConfig != "" {
		if out, err := exec.CommandContext(ctx, f.pgConfig, "--bindir").Output(); err == nil {
			dirs = append(dirs, strings.TrimSpace(string(out)))
		}
	}
	for _, g := range f.globs {
		found, _ := filepath.Glob(g) // fails only for a malformed pattern
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(numberIn(b), numberIn(a)) })
		dirs = append(dirs, found...)
	}
	return dirs
}

var digits = regexp.MustCompile(`\d+`)

// numberIn is the version that a folder's path speaks of last, zero when it speaks of none.
func numberIn(path string) int {
	all := digits.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	n, err := strconv.Atoi(all[len(all)-1])
	if err != nil { // too long to be one
		return 0
	}
	return n
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// majorOf asks the server binary in dir for its version. It fails when one of the binaries is not there: a folder with
// only client tools is no server.
func majorOf(ctx context.Context, dir string) (int, error) {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return 0, err
		}
	}
	out, err := command(ctx, nil, dir, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("postgres --version: %w", err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("postgres --version says %q", out)
	}
	return strconv.Atoi(string(m[1]))
}

func (f finder) explain(want int, misfits []string) error {
	versions := fmt.Sprintf("versions %d to %d fit", oldestMajor, newestMajor)
	if want > 0 {
		versions = fmt.Sprintf("the cluster was made by version %d and opens with no other", want)
	}
	found := ""
	if len(misfits) > 0 {
		found = ", found only " + strings.Join(misfits, ", ")
	}
	return fmt.Errorf("%w (%s%s): run `%s`, or set DATABASE_URL to a server that runs already",
		ErrNoPostgres, versions, found, f.remedy(want))
}

// remedy is the one command that brings the binaries to this machine.
func (f finder) remedy(want int) string {
	switch {
	case f.goos == "darwin" && want == 0:
		return "brew install postgresql@17"
	case f.goos == "darwin":
		return fmt.Sprintf("brew install postgresql@%d", want)
	case want == 0:
		return "apt-get install postgresql"
	default:
		return fmt.Sprintf("apt-get install postgresql-%d", want)
	}
}
