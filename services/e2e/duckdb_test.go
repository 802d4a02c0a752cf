package e2e_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// duckDB builds the oracle once. It is a module of its own, so that the
// platform does not carry a database engine for its tests.
var duckDB = sync.OnceValues(func() (string, error) {
	program := filepath.Join(binariesDir, "duckdb")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", program, "./duckdb")
	cmd.Dir, cmd.Env = "../../scripts/tools", append(cmd.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build duckdb: %w\n%s", err, out)
	}
	return program, nil
})

// oracle returns the rows that DuckDB answers, by the names of the columns.
func oracle(t *testing.T, sql string) []map[string]string {
	t.Helper()
	program, err := duckDB()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(sql), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("duckdb: %v\n%s", err, stderr.Bytes())
	}
	records, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]map[string]string, len(records)-1)
	for i, record := range records[1:] {
		rows[i] = make(map[string]string, len(record))
		for n, name := range records[0] {
			rows[i][name] = record[n]
		}
	}
	return rows
}

// householdWindows aggregates the file: of each series and fixed window the
// count, sum, least, greatest and mean value and, where there is one, the
// energy in kWh. All of the file is in winter time, an hour ahead of UTC.
const householdWindows = `
WITH file AS (
	SELECT strptime("Date" || ' ' || "Time", '%%d/%%m/%%Y %%H:%%M:%%S') - INTERVAL 1 HOUR AS ts, *
	FROM read_csv('%s', delim = ';', header = true, nullstr = ['?', ''], auto_detect = true,
		types = {'Date': 'VARCHAR', 'Time': 'VARCHAR', 'Global_active_power': 'DOUBLE', 'Global_reactive_power': 'DOUBLE',
			'Voltage': 'DOUBLE', 'Global_intensity': 'DOUBLE', 'Sub_metering_1': 'DOUBLE', 'Sub_metering_2': 'DOUBLE',
			'Sub_metering_3': 'DOUBLE'})
), readings AS (
	SELECT 'sceaux active_power_mean' AS series, ts, Global_active_power AS value, Global_active_power / 60 AS kwh
	FROM file
	UNION ALL SELECT 'sceaux reactive_power_mean', ts, Global_reactive_power, Global_reactive_power / 60 FROM file
	UNION ALL SELECT 'sceaux voltage_mean', ts, Voltage, NULL FROM file
	UNION ALL SELECT 'sceaux current_mean', ts, Global_intensity, NULL FROM file
	UNION ALL SELECT 'sceaux.kitchen active_energy', ts, Sub_metering_1 / 1000, Sub_metering_1 / 1000 FROM file
	UNION ALL SELECT 'sceaux.laundry active_energy', ts, Sub_metering_2 / 1000, Sub_metering_2 / 1000 FROM file
	UNION ALL SELECT 'sceaux.heating active_energy', ts, Sub_metering_3 / 1000, Sub_metering_3 / 1000 FROM file
)
SELECT series, epoch(time_bucket(INTERVAL '%s', ts, TIMESTAMP '1970-01-01'))::BIGINT AS start,
	count(*) AS count, sum(value) AS sum, min(value) AS min, max(value) AS max, avg(value) AS mean,
	coalesce(sum(kwh), 0) AS energy
FROM readings WHERE value IS NOT NULL
GROUP BY ALL ORDER BY ALL`

// TestDuckDBAgrees compares every fixed window of the household's series with
// what DuckDB computes from the file.
func TestDuckDBAgrees(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.household(t, nil)
	p.await(t, "gold to catch up", caughtUp)
	for interval, window := range map[string]time.Duration{
		"15 minutes": 15 * time.Minute, "1 hour": time.Hour, "6 hours": 6 * time.Hour,
	} {
		t.Run(interval, func(t *testing.T) {
			t.Parallel()
			want := oracle(t, fmt.Sprintf(householdWindows, householdFile, interval))
			got := make(map[string]*energyv1.Aggregate)
			answers := p.aggregates(t, &energyv1.QueryAggregatesRequest{Window: fixedWindow(window)})
			for series, windows := range answers {
				for _, a := range windows {
					if a.GetReceived() > 0 {
						got[fmt.Sprintf("%s %d", series, a.GetStart().GetSeconds())] = a
					}
				}
			}
			if len(want) == 0 || len(got) != len(want) {
				t.Fatalf("%d windows with readings, DuckDB has %d", len(got), len(want))
			}
			for _, row := range want {
				compareWithOracle(t, row, got[row["series"]+" "+row["start"]])
			}
		})
	}
}

// compareWithOracle compares a window with the oracle's row: counts, least and
// greatest exactly, sums to 1e-9 relative.
func compareWithOracle(t *testing.T, row map[string]string, a *energyv1.Aggregate) {
	t.Helper()
	if a == nil {
		t.Errorf("there is no window %v", row)
		return
	}
	s := a.GetStatistics()
	for name, check := range map[string]struct{ got, tolerance float64 }{
		"count": {float64(s.GetCount()), 0}, "min": {s.GetMin(), 0}, "max": {s.GetMax(), 0},
		"sum": {s.GetSum(), 1e-9}, "mean": {a.GetMean(), 1e-9}, "energy": {s.GetEnergy(), 1e-9},
	} {
		want, err := strconv.ParseFloat(row[name], 64)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(check.got-want) > check.tolerance*math.Abs(want) {
			t.Errorf("%s from %s: %s is %v, DuckDB has %v", row["series"], row["start"], name, check.got, want)
		}
	}
}
