package publish_test

import (
	"strings"
	"testing"

	"github.com/energy-platform/energy/pkg/localnats/natstest"
)

// TestParquet publishes the table that DuckDB wrote as CSV and as Parquet.
func TestParquet(t *testing.T) {
	t.Parallel()
	s := natstest.Server(t)
	stream := provision(t, natstest.Connect(t, s), -1)
	args := []string{"--time-column=local", "--zone=Europe/Paris", "--entity=column:meter", "--metric=active_energy",
		"--value=energy", "--unit=kWh", "--length=15m"}
	for _, file := range []string{
		"duckdb.csv --time-layout=2006-01-02 15:04:05", "duckdb.parquet --time-layout=timestamp"} {
		name, layout, _ := strings.Cut(file, " ")
		out, errs, err := command(t, s.URL(), "", append(args, "../source/testdata/"+name, layout)...)
		if err != nil || !strings.Contains(out, "read          171 readings in 200 rows; absent 29, bad rows 0\n") {
			t.Errorf("%s: %v\n%s%s", name, err, out, errs)
		}
	}
	readings := decode(t, stored(t, stream))
	if len(readings) != 2*171 {
		t.Fatalf("%d readings arrived", len(readings))
	}
	for i, r := range readings[:171] {
		if r != readings[171+i] {
			t.Errorf("%+v of the CSV is %+v of the Parquet file", r, readings[171+i])
		}
	}
}
