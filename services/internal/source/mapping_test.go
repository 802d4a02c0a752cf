package source_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/services/internal/source"
)

func TestParseMapping(t *testing.T) {
	t.Parallel()
	const (
		time = "time: {columns: [t], layout: rfc3339}\n"
		cols = "columns: [{column: v, entity: e, metric: m}]\n"
	)
	cases := map[string]struct {
		document string
		want     []string // each must be in the message
	}{
		"all faults are reported at once": {
			"delimeter: \";\"\ntime: {column: t}\ncolumns:\n- {column: a, entity: e}\n- {entitty: e}\n",
			[]string{
				"line 1: delimeter is no setting here; use format, delimiter, header, " +
					"comment, decimal, absent, time, columns, long",
				"line 2: column is no setting here; use columns, layout, zone",
				"line 5: entitty is no setting here; use column, entity, metric, unit, length, quality, revision, exchange_start, scale",
				"time: columns is missing", "time: layout is missing", "column a: metric is missing",
				"columns entry 2: column is missing", "columns entry 2: entity is missing",
			}},
		"an empty document": {"", []string{"is empty; it needs at least time, and columns or long"}},
		"a layout that is no Go layout": {
			cols + "time: {columns: [t], layout: dd/mm/yyyy, zone: UTC}", []string{
				`layout "dd/mm/yyyy" does not tell year, month, day and hour; ` +
					`write it as the moment 2 January 2006 15:04:05 would stand`}},
		"twelve hours without PM": {
			cols + "time: {columns: [t], layout: 2006-01-02 03:04, zone: UTC}", []string{
				"does not tell year, month, day and hour"}},
		"a zone abbreviation": {
			cols + "time: {columns: [t], layout: 2006-01-02 15:04 MST}", []string{
				"zone abbreviation, which is ambiguous"}},
		"a local layout without a zone": {
			cols + "time: {columns: [t], layout: 2006-01-02 15:04}", []string{"zone is missing", "Europe/Paris"}},
		"a zone that has no effect": {
			cols + "time: {columns: [t], layout: epoch_s, zone: UTC}", []string{
				"zone UTC has no effect, layout epoch_s tells the offset; remove it"}},
		"an unknown zone": {
			cols + "time: {columns: [t], layout: 2006-01-02 15:04, zone: CEST}", []string{
				`zone "CEST" is not known; write an IANA name`}},
		"the machine's own zone": {
			cols + "time: {columns: [t], layout: 2006-01-02 15:04, zone: Local}", []string{
				`zone "Local" is not known`}},
		"both wide and long": {
			time + cols + "long: {entity: e, metric: m, value: {column: v}}", []string{"either columns", "or long"}},
		"neither wide nor long": {time, []string{"either columns", "or long"}},
		"a long delimiter": {
			time + cols + "delimiter: ;;", []string{`delimiter ";;" must be one character`}},
		"decimal commas between commas": {
			time + cols + "decimal: comma", []string{"decimal comma needs another delimiter"}},
		"an unknown decimal": {
			time + cols + "decimal: dot", []string{`decimal "dot" is not known; use point or comma`}},
		"settings for NDJSON": {time + "format: ndjson", []string{"format ndjson takes no other settings"}},
		"a field that is a list": {
			time + "columns: [{column: v, entity: [e], metric: m}]", []string{
				"line 2: write a constant, or {column: NAME}"}},
		"every reading an exchange": {
			time + "columns: [{column: v, entity: e, metric: m, exchange_start: 0}]", []string{
				`column v: exchange_start "0" would make every reading an exchange; write {column: NAME}`}},
		"wrong constants": {
			time + "columns: [{column: v, entity: e, metric: m, length: 1 min, quality: good, revision: -1}]", []string{

				`column v: length "1 min" is no length; write a length such as 15m`, `column v: quality "good" is not known`,
				`column v: revision "-1" is no revision; write a whole number`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := source.ParseMapping([]byte(c.document))
			if err == nil {
				t.Fatal("the mapping is accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
		})
	}
	t.Run("a mapping is read as it is written", func(t *testing.T) {
		t.Parallel()
		no := false
		want := source.Mapping{
			Delimiter: "tab", Header: &no, Decimal: "comma", Absent: []string{"-"},
			Time: source.Time{Columns: []string{"#1", "#2"}, Layout: "2006-01-02 15:04", Zone: "UTC"},
			Long: &source.Long{
				Entity: source.Field{Column: "#3"}, Metric: source.Field{Constant: "m"},
				Value: source.Field{Column: "#4"}, Revision: source.Field{Constant: "2"}, Scale: 0.5,
			},
		}
		got := mapping(t, `
delimiter: tab
header: false
decimal: comma
absent: ["-"]
time: {columns: ["#1", "#2"], layout: "2006-01-02 15:04", zone: UTC}
long: {entity: {column: "#3"}, metric: m, value: {column: "#4"}, revision: 2, scale: 0.5}`)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		readings, bad, _ := read(t, got, "2026-01-01\t00:00\te\t1,5\n2026-01-01\t00:01\te\t-\n2026-01-01\t00:01\te\t1.5\n")
		if len(readings) != 1 || readings[0].Value != 0.75 || readings[0].Revision != 2 {
			t.Errorf("readings %+v", readings)
		}
		if len(bad) != 1 || !strings.Contains(bad[0], "f.csv:3: column #4") {
			t.Errorf("bad rows %q", bad)
		}
	})
}
