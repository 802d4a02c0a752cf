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

	simulated "github.com/energy-platform/energy/pkg/fleet"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/generate"
	"github.com/energy-platform/energy/services/internal/publish"
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

// fleetWindows aggregates what a fleet sent, from the file alone: it picks the
// reading that counts of each time, applies the built-in catalogue's units and
// limits, pairs what follows each other, and shares each pair and each interval
// among the windows over it. Times are in µs, widths in hours.
const fleetWindows = `
WITH sent AS (
	SELECT row_number() OVER () AS arrival, entity_id || ' ' || metric AS series, metric, epoch_us("time"::TIMESTAMPTZ) AS ts,
		value / CASE WHEN unit IN ('Wh', 'W', 'l') THEN 1000 ELSE 1 END AS value,
		coalesce(quality, 'unspecified') AS quality, coalesce(revision, 0) AS revision, coalesce(length, 0) / 3600 AS hours
	FROM read_json('%s', format = 'newline_delimited', columns = {entity_id: 'VARCHAR', metric: 'VARCHAR', time: 'VARCHAR',
		value: 'DOUBLE', unit: 'VARCHAR', quality: 'VARCHAR', revision: 'BIGINT', length: 'DOUBLE'})
), contents AS (
	SELECT series, metric, ts, value, quality, revision, hours, min(arrival) AS arrival FROM sent GROUP BY ALL
), winners AS (
	SELECT * FROM contents QUALIFY row_number() OVER (PARTITION BY series, ts ORDER BY
		CASE quality WHEN 'corrected' THEN 2 WHEN 'withdrawn' THEN 2 WHEN 'estimated' THEN 0 ELSE 1 END DESC,
		revision DESC, arrival DESC) = 1
), readings AS (
	SELECT * FROM winners WHERE quality <> 'withdrawn'
), pairs AS (
	SELECT *, lead(ts) OVER w AS until, lead(value) OVER w AS following, (until - ts) / 3.6e9 AS apart
	FROM readings WINDOW w AS (PARTITION BY series ORDER BY ts)
), spans AS ( -- with the power at either end
	SELECT series, ts, until, CASE WHEN following - value BETWEEN 0 AND
		apart * CASE metric WHEN 'water_volume' THEN 1e5 ELSE 1e6 END
		THEN (following - value) / apart ELSE 0 END AS power, power AS power_until
	FROM pairs
	WHERE metric IN ('active_energy_import', 'active_energy_export', 'water_volume') AND until IS NOT NULL
	UNION ALL SELECT series, ts, until, value, following FROM pairs
	WHERE metric IN ('active_power', 'heat_power') AND apart <= 1
	UNION ALL SELECT series, ts, ts + hours * 3.6e9, value, value FROM readings WHERE metric = 'active_power_mean'
	UNION ALL SELECT series, ts, ts + hours * 3.6e9, value / hours, value / hours FROM readings
	WHERE metric = 'active_energy'
), shares AS (
	SELECT *, unnest(generate_series(ts // %[2]d, (until - 1)::BIGINT // %[2]d)) * %[2]d AS start,
		greatest(ts, start) AS a, least(until, start + %[2]d) AS b
	FROM spans
), energies AS (
	SELECT series, start,
		sum((power + (power_until - power) * ((a + b) / 2 - ts) / (until - ts)) * (b - a) / 3.6e9) AS energy
	FROM shares GROUP BY ALL
), counts AS (
	SELECT series, ts // %[2]d * %[2]d AS start,
		count(*) AS count, sum(value) AS sum, min(value) AS min, max(value) AS max, avg(value) AS mean
	FROM readings GROUP BY ALL
)
SELECT series, (start // 1000000)::BIGINT AS start, coalesce(count, 0) AS count, coalesce(sum, 0) AS sum,
	coalesce(min, 0) AS min, coalesce(max, 0) AS max, coalesce(mean, 0) AS mean, coalesce(energy, 0) AS energy
FROM counts FULL JOIN energies USING (series, start) ORDER BY ALL`

// TestDuckDBAgreesOnTheHousehold compares every fixed window of the household's
// series with what DuckDB computes from the file.
func TestDuckDBAgreesOnTheHousehold(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.household(t, nil)
	p.await(t, "gold to catch up", caughtUp)
	for interval, window := range map[string]time.Duration{
		"15 minutes": 15 * time.Minute, "1 hour": time.Hour, "6 hours": 6 * time.Hour,
	} {
		t.Run(interval, func(t *testing.T) {
			t.Parallel()
			p.compareWithOracle(t, window, oracle(t, fmt.Sprintf(householdWindows, householdFile, interval)))
		})
	}
}

// TestDuckDBAgreesOnTheFleet compares every fixed window of a simulated fleet:
// registers that are reset and exchanged, intervals, means and power, with gaps,
// duplicates, corrections, withdrawals and estimates.
func TestDuckDBAgreesOnTheFleet(t *testing.T) {
	t.Parallel()
	c := fleetConfig()
	c.Series, c.Days, c.Cadence, c.Window = 72, 7, 15*time.Minute, 15*time.Minute
	c.Shares.Malformed, c.Shares.Gaps = 0, 0.01
	f, err := simulated.New(c)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := generate.Run(t.Context(), f, generate.Options{Out: dir, Batch: 500}); err != nil {
		t.Fatal(err)
	}
	p := embedded(t)
	readings := filepath.Join(dir, "readings.ndjson.gz")
	if _, err := publish.Run(t.Context(), publish.Options{Files: []string{readings}, URL: p.natsURL}); err != nil {
		t.Fatal(err)
	}
	p.await(t, "gold to catch up", caughtUp)
	for _, window := range []time.Duration{15 * time.Minute, time.Hour, 6 * time.Hour} {
		t.Run(window.String(), func(t *testing.T) {
			t.Parallel()
			p.compareWithOracle(t, window, oracle(t, fmt.Sprintf(fleetWindows, readings, window.Microseconds())))
		})
	}
}

// compareWithOracle compares all windows of which anything is known with the
// rows of the oracle: counts, least and greatest exactly, sums to 1e-9 of what
// they add up.
func (p *platform) compareWithOracle(t *testing.T, window time.Duration, want []map[string]string) {
	t.Helper()
	got := make(map[string]*energyv1.Aggregate)
	for series, windows := range p.aggregates(t, &energyv1.QueryAggregatesRequest{Window: fixedWindow(window)}) {
		for _, a := range windows {
			if a.GetStatistics() != nil {
				got[fmt.Sprintf("%s %d", series, a.GetStart().GetSeconds())] = a
			}
		}
	}
	if len(want) == 0 || len(got) != len(want) {
		t.Errorf("something is known of %d windows, DuckDB has %d", len(got), len(want))
	}
	t.Logf("%d windows", len(want))
	for _, row := range want {
		a := got[row["series"]+" "+row["start"]]
		if a == nil {
			t.Fatalf("there is no window %v", row)
		}
		sameAsOracle(t, row, a)
	}
}

func sameAsOracle(t *testing.T, row map[string]string, a *energyv1.Aggregate) {
	t.Helper()
	s := a.GetStatistics()
	near := 1e-9 * max(1, math.Abs(s.GetMin()), math.Abs(s.GetMax()))
	for name, check := range map[string]struct{ got, tolerance float64 }{
		"count": {float64(s.GetCount()), 0}, "min": {s.GetMin(), 0}, "max": {s.GetMax(), 0},
		"sum": {s.GetSum(), near * float64(s.GetCount())}, "mean": {a.GetMean(), near},
		"energy": {s.GetEnergy() + s.GetAdvance(), near},
	} {
		want, err := strconv.ParseFloat(row[name], 64)
		if err != nil {
			t.Fatal(err)
		}
		if !(math.Abs(check.got-want) <= check.tolerance) {
			t.Errorf("%s from %s: %s is %v, DuckDB has %v", row["series"], row["start"], name, check.got, want)
		}
	}
}
