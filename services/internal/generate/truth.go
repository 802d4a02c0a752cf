package generate

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/energy-platform/energy/pkg/fleet"
	"github.com/energy-platform/energy/pkg/reading"
)

// The headers of the truth.
const (
	statistics     = "count,sum,min,max,energy,energy_unit,estimated,corrected,resets,exchanges\n"
	windowsHead    = "entity_id,metric,unit,start,end," + statistics
	daysHead       = "entity_id,metric,unit,zone,day,start,end," + statistics
	quarantineHead = "stage,rule,defect,count,in_readings\n"
)

// appendRow appends a row of the truth. No name in it needs quotes. Empty are the
// statistics of no reading and the energy of a series that has none.
func appendRow(b []byte, s *fleet.Series, r *fleet.Row) []byte {
	start, end := time.Unix(0, r.Start).UTC(), time.Unix(0, r.End).UTC()
	for _, name := range [...]string{s.Entity.ID, s.Metric, s.Unit} {
		b = append(append(b, name...), ',')
	}
	if r.Span == fleet.Day {
		b = append(append(b, s.Entity.Zone...), ',')
		b = append(start.In(s.Entity.Location()).AppendFormat(b, time.DateOnly), ',')
	}
	b = append(start.AppendFormat(b, time.RFC3339), ',')
	b = append(end.AppendFormat(b, time.RFC3339), ',')
	b = append(strconv.AppendUint(b, r.Count, 10), ',')
	for _, v := range [...]float64{r.Sum, r.Min, r.Max} {
		if r.Count > 0 {
			b = strconv.AppendFloat(b, v, 'f', -1, 64)
		}
		b = append(b, ',')
	}
	if s.EnergyUnit != "" {
		b = strconv.AppendFloat(b, r.Energy, 'f', -1, 64)
	}
	b = append(append(append(b, ','), s.EnergyUnit...), ',')
	for _, n := range [...]uint64{r.Estimated, r.Corrected, r.Resets} {
		b = append(strconv.AppendUint(b, n, 10), ',')
	}
	return append(strconv.AppendUint(b, r.Exchanges, 10), '\n')
}

// writeQuarantine writes what is refused, by defect. What is no reading at all
// is not in readings.ndjson.gz.
func writeQuarantine(w io.Writer, t *fleet.Totals) error {
	b := []byte(quarantineHead)
	for _, q := range t.Quarantine {
		b = fmt.Appendf(b, "%s,%s,%s,%d,%t\n", q.Defect.Stage, q.Defect.Rule, q.Defect.Name, q.Count,
			q.Defect.Rule != reading.Undecodable)
	}
	_, err := w.Write(b)
	return err
}

// manifest is fleet.yaml.
type manifest struct {
	Config   fleet.Config     `yaml:"config"`
	Totals   manifestTotals   `yaml:"totals"`
	Entities []manifestEntity `yaml:"entities"`
}

type manifestTotals struct {
	Slots      uint64            `yaml:"slots"`
	Gaps       uint64            `yaml:"gaps"`
	Identities uint64            `yaml:"identities"`
	Winners    uint64            `yaml:"winners"`
	Withdrawn  uint64            `yaml:"withdrawn"`
	Versions   uint64            `yaml:"versions"`
	Readings   uint64            `yaml:"readings"`
	Deliveries uint64            `yaml:"deliveries"`
	Sent       map[string]uint64 `yaml:"sent"`
	Resets     uint64            `yaml:"resets"`
	Exchanges  uint64            `yaml:"exchanges"`
	Rollovers  uint64            `yaml:"rollovers"`
}

type manifestEntity struct {
	ID     string           `yaml:"id"`
	Zone   string           `yaml:"zone"`
	Series []manifestSeries `yaml:"series"`
}

type manifestSeries struct {
	Metric string        `yaml:"metric"`
	Kind   string        `yaml:"kind"`
	Unit   string        `yaml:"unit"`
	Sent   string        `yaml:"sent_unit"`
	Length time.Duration `yaml:"length,omitempty"`
}

// writeManifest writes the configuration, the totals and the entities.
func writeManifest(w io.Writer, f *fleet.Fleet, t *fleet.Totals) error {
	m := manifest{
		Config: f.Config(),
		Totals: manifestTotals{
			Slots: t.Slots, Gaps: t.Gaps, Identities: t.Identities, Winners: t.Winners, Withdrawn: t.Withdrawn,
			Versions: t.Versions, Readings: t.Readings, Deliveries: t.Deliveries, Sent: make(map[string]uint64),
			Resets: t.Resets, Exchanges: t.Exchanges, Rollovers: t.Rollovers,
		},
	}
	for cause, n := range t.Sent {
		m.Totals.Sent[fleet.Cause(cause).String()] = n
	}
	for _, s := range f.Series() {
		if n := len(m.Entities); n == 0 || m.Entities[n-1].ID != s.Entity.ID {
			m.Entities = append(m.Entities, manifestEntity{ID: s.Entity.ID, Zone: s.Entity.Zone})
		}
		e := &m.Entities[len(m.Entities)-1]
		e.Series = append(e.Series, manifestSeries{
			Metric: s.Metric, Kind: s.Kind.String(), Unit: s.Unit, Sent: s.SentUnit, Length: s.Length,
		})
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(m); err != nil {
		return err
	}
	return encoder.Close()
}
