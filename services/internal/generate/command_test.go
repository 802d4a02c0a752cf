package generate_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/energy-platform/energy/pkg/fleet"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/generate"
	"github.com/energy-platform/energy/services/internal/source"
)

// command runs "energy generate".
func command(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	c := generate.Command()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(io.Discard)
	err := c.ExecuteContext(ctx)
	return out.String(), err
}

// contents returns the files of a folder, unpacked.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Name(), ".gz") {
			r, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		files[e.Name()] = string(data)
	}
	return files
}

// smallFlags are flags for a fleet in which everything goes wrong.
func smallFlags(out string, more ...string) []string {
	return append([]string{
		"--series", "18", "--days", "6", "--malformed", "0.05", "--late", "0.1", "--corrected", "0.1", "--out", out,
	}, more...)
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	said, err := command(t.Context(), smallFlags(dir)...)
	if err != nil {
		t.Fatal(err)
	}
	files := contents(t, dir)
	want := []string{
		"deliveries.jsonl.gz", "fleet.yaml", "readings.ndjson.gz", "rubbish.jsonl.gz", "truth_days.csv.gz",
		"truth_quarantine.csv", "truth_windows.csv.gz",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(files))); diff != "" {
		t.Fatalf("files differ:\n%s", diff)
	}
	var manifest struct{ Config fleet.Config }
	if err := yaml.Unmarshal([]byte(files["fleet.yaml"]), &manifest); err != nil {
		t.Fatal(err)
	}
	f, err := fleet.New(manifest.Config) // the file tells how to make the fleet again
	if err != nil {
		t.Fatal(err)
	}
	totals := f.Totals()
	t.Run("TheSummarySaysWhatIsNext", func(t *testing.T) {
		t.Parallel()
		for _, part := range []string{
			strconv.FormatUint(totals.Deliveries, 10) + " deliveries of 18 series of 8 entities",
			"next: energy publish " + filepath.Join(dir, "readings.ndjson.gz"),
		} {
			if !strings.Contains(said, part) {
				t.Errorf("%q does not say %q", said, part)
			}
		}
	})
	t.Run("PublishReadsEveryReading", func(t *testing.T) {
		t.Parallel()
		readings(t, filepath.Join(dir, "readings.ndjson.gz"), f)
	})
	t.Run("TheMessagesAreTheFleets", func(t *testing.T) {
		t.Parallel()
		messages(t, dir, f)
	})
	t.Run("TheTruthIsTheFleets", func(t *testing.T) {
		t.Parallel()
		truth(t, files, f)
	})
}

// readings reads the file as energy publish does.
func readings(t *testing.T, path string, f *fleet.Fleet) {
	t.Helper()
	s, err := source.Open(path, source.Mapping{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for d := range f.Deliveries() {
		if d.Undecodable() {
			continue
		}
		r, _, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if same(d.Reading) != same(r) {
			t.Fatalf("a reading is %+v, want %+v", r, d.Reading)
		}
	}
	if _, _, err := s.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last reading is %v", err)
	}
}

// messages reads the files of messages.
func messages(t *testing.T, dir string, f *fleet.Fleet) {
	t.Helper()
	read := func(name string) (all []generate.Message) {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for m, err := range generate.ReadMessages(file) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		return all
	}
	want := slices.Collect(generate.Messages(f, generate.JSON, 500))
	equal := func(a, b generate.Message) bool {
		return a.ContentType == b.ContentType && a.Deliveries == b.Deliveries && bytes.Equal(a.Payload, b.Payload)
	}
	if got := read("deliveries.jsonl.gz"); !slices.EqualFunc(want, got, equal) {
		t.Errorf("messages differ:\n%.2000s", cmp.Diff(want, got))
	}
	totals := f.Totals()
	rubbish := totals.Refused(fleet.Ingest, reading.Undecodable)
	if got := len(read("rubbish.jsonl.gz")); got == 0 || uint64(got) != rubbish {
		t.Errorf("%d messages of rubbish, want %d", got, rubbish)
	}
}

// truth sums the truth up by file.
func truth(t *testing.T, files map[string]string, f *fleet.Fleet) {
	t.Helper()
	column := func(file, name string) (values []string) {
		rows, err := csv.NewReader(strings.NewReader(files[file])).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		i := slices.Index(rows[0], name)
		if i < 0 {
			t.Fatalf("%s has no column %s", file, name)
		}
		for _, row := range rows[1:] {
			values = append(values, row[i])
		}
		return values
	}
	sum := func(file, name string) (n uint64) {
		for _, text := range column(file, name) {
			v, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			n += v
		}
		return n
	}
	totals := f.Totals()
	for _, file := range []string{"truth_windows.csv.gz", "truth_days.csv.gz"} {
		if n := sum(file, "count"); n != totals.Winners {
			t.Errorf("%s counts %d readings, want %d", file, n, totals.Winners)
		}
	}
	if n := sum("truth_quarantine.csv", "count"); n != totals.Sent[fleet.Malformed] {
		t.Errorf("%d are refused, want %d", n, totals.Sent[fleet.Malformed])
	}
	var energies []float64
	for r := range f.Rows() {
		if r.Span == fleet.Day && f.Series()[r.Series].EnergyUnit != "" {
			energies = append(energies, r.Energy)
		}
	}
	var got []float64
	for _, text := range column("truth_days.csv.gz", "energy") {
		if text != "" {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, v)
		}
	}
	if !slices.Equal(energies, got) {
		t.Errorf("daily energies differ:\n%.2000s", cmp.Diff(energies, got))
	}
	if day := column("truth_days.csv.gz", "day")[0]; day != "2025-03-01" {
		t.Errorf("the first day is %s", day)
	}
}

func TestFlagsDecideTheBytes(t *testing.T) {
	t.Parallel()
	first, again, other := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, more := range map[string][]string{first: nil, again: nil, other: {"--seed", "2"}} {
		if _, err := command(t.Context(), smallFlags(dir, more...)...); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(contents(t, first), contents(t, again)) {
		t.Error("the same flags wrote something else")
	}
	if contents(t, first)["readings.ndjson.gz"] == contents(t, other)["readings.ndjson.gz"] {
		t.Error("another seed wrote the same")
	}
}

func TestEarlierFilesStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	precious := filepath.Join(dir, "truth_days.csv.gz")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := command(t.Context(), smallFlags(dir)...)
	if err == nil || !strings.Contains(err.Error(), precious+" exists; name another folder") {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = command(ended, smallFlags(dir, "--force")...); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was cancelled ends with %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v: %v", entries, err)
	}
	if _, err = command(t.Context(), smallFlags(dir, "--force", "--quiet")...); err != nil {
		t.Errorf("force: %v", err)
	}
}

func TestFlagFaultsAreAllReported(t *testing.T) {
	t.Parallel()
	_, err := command(t.Context(), "--format", "xml", "--batch", "0", "--start", "2098-01-01")
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, part := range []string{
		"name the folder to write to with --out", "use json or protobuf", "batch: 0 is not positive",
		"refuses readings from the future",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	_, err = command(t.Context(), "--out", t.TempDir(), "--late", "2", "--days", "0")
	if err == nil || !strings.Contains(err.Error(), "late: 2 is not from 0 to 1") || !strings.Contains(err.Error(), "days: 0") {
		t.Errorf("got %v", err)
	}
}

func TestCleanMeansNoDisturbance(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := command(t.Context(), "--clean", "--series", "9", "--days", "1", "--out", dir); err != nil {
		t.Fatal(err)
	}
	files := contents(t, dir)
	if n := strings.Count(files["readings.ndjson.gz"], "\n"); n != 9*96 {
		t.Errorf("%d readings, want %d", n, 9*96)
	}
	if files["rubbish.jsonl.gz"] != "" {
		t.Error("there is rubbish")
	}
}
