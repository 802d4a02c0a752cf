package entityfile_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/entity"
	"github.com/energy-platform/energy/services/internal/entityfile"
)

func TestReadCSV(t *testing.T) {
	t.Parallel()
	const file = "\uFEFFid,valid_from,zone,parent,name,label.tariff,label.floor\r\n" +
		"m1,2026-03-29,Europe/Paris,site,\"Main, cellar\",night,\r\n" +
		"m1,2026-10-25T00:00:00Z,,,,,2\r\n" +
		"site,,,,,,\r\n"
	got, err := entityfile.Read(strings.NewReader(file), entityfile.CSV)
	if err != nil {
		t.Fatal(err)
	}
	want := []entity.Record{
		{ID: "m1", ValidFrom: time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC).UnixNano(), Name: "Main, cellar",
			Zone: "Europe/Paris", Parent: "site", Labels: map[string]string{"tariff": "night"}},
		{ID: "m1", ValidFrom: time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC).UnixNano(), Labels: map[string]string{"floor": "2"}},
		{ID: "site"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFaultsAreNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		format entityfile.Format
		file   string
		says   []string
	}{
		"an empty file":           {entityfile.CSV, "", []string{"the file is empty", "id,zone"}},
		"no id":                   {entityfile.CSV, "name\nx\n", []string{"line 1", "no column id"}},
		"an unknown column":       {entityfile.CSV, "id,tariff\n", []string{`line 1: column "tariff"`, "label.<key>"}},
		"a column twice":          {entityfile.CSV, "id,id\n", []string{"stands twice"}},
		"a label for no one":      {entityfile.CSV, "id,label.a b\n", []string{"ASCII letters"}},
		"every line is told":      {entityfile.CSV, "id,zone\nm,Mars\n,UTC\n", []string{`line 2: invalid entity "m": zone "Mars"`, "line 3", "id is missing"}},
		"a date that is none":     {entityfile.CSV, "id,valid_from\nm,31.1.2026\n", []string{`line 2: valid_from "31.1.2026"`, "2026-01-31"}},
		"too few cells":           {entityfile.CSV, "id,name\nm\n", []string{"line 2: has 1 cells, the header names 2"}},
		"a quote without end":     {entityfile.CSV, "id\n\"m\n", []string{"line 2"}},
		"an unknown field":        {entityfile.JSON, `[{"id": "m"}, {"ident": "m"}]`, []string{"record 2", "ident"}},
		"half a list":             {entityfile.JSON, `[{"id": "m"}`, []string{"no end"}},
		"half a record":           {entityfile.JSON, `{"id": "m"`, []string{"record 1"}},
		"an unknown format":       {"xml", ``, []string{"give csv or json"}},
		"a time between seconds":  {entityfile.JSON, `{"id": "m", "valid_from": "2026-01-01T00:00:00.5Z"}`, []string{"record 1", "fraction"}},
		"no more than is helpful": {entityfile.CSV, "id\n" + strings.Repeat("\"\"\n", 50), []string{"line 21", "more is wrong"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, err := entityfile.Read(strings.NewReader(tt.file), tt.format)
			if err == nil || records != nil {
				t.Fatalf("Read = %v, %v; want no records and an error", records, err)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

// TestWhatIsWrittenIsRead: records survive both formats.
func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[a-zA-Zäß ,"'\-]{0,12}[a-z]`)
	record := rapid.Custom(func(t *rapid.T) entity.Record {
		return entity.Record{
			ID: text.Draw(t, "id"), ValidFrom: rapid.Int64Range(0, 4e9).Draw(t, "from") * int64(time.Second),
			Name: text.Draw(t, "name"), Parent: "p" + text.Draw(t, "parent"),
			Zone:   rapid.SampledFrom([]string{"", "UTC", "Europe/Paris", "Asia/Kathmandu"}).Draw(t, "zone"),
			Labels: rapid.MapOfN(rapid.StringMatching(`[a-z._-]{1,4}`), text, 0, 3).Draw(t, "labels"),
		}
	}).Filter(func(r entity.Record) bool { return r.Check() == nil })
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(record, 1, 5).Draw(t, "records")
		var csv, json bytes.Buffer
		if err := entityfile.WriteCSV(&csv, records); err != nil {
			t.Fatal(err)
		}
		if err := entityfile.WriteJSON(&json, records); err != nil {
			t.Fatal(err)
		}
		for format, file := range map[entityfile.Format]*bytes.Buffer{entityfile.CSV: &csv, entityfile.JSON: &json} {
			got, err := entityfile.Read(file, format)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(records, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s: %s", format, diff)
			}
		}
	})
}
