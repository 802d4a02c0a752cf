package bench

import (
	"fmt"
	"iter"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
)

// Workload is what stands in READINGS when the clock starts.
type Workload struct {
	Name, Title string
	Readings    int
	// Series, each with two metrics a meter; Cadence is between two readings of one,
	// Window its base window.
	Meters  int
	Cadence time.Duration
	Window  time.Duration
	Batch   int // readings a message
	Format  Format
	// Disturbed is the share of readings, in per cent, that come again, corrected or
	// late: a third each.
	Disturbed int
	// Floor says that the floor can do it: it knows single objects and arrays.
	Floor bool
}

// Format is how messages are written.
type Format uint8

// The formats.
const (
	JSON Format = iota
	Protobuf
)

// The workloads. Readings are scaled by what the command is told.
var workloads = []Workload{
	{
		Name: "W1", Title: "one JSON reading a message", Readings: 1_000_000,
		Meters: 1000, Cadence: time.Second, Window: time.Minute, Batch: 1, Floor: true,
	},
	{
		Name: "W2", Title: "500 readings a message, a JSON array", Readings: 5_000_000,
		Meters: 1000, Cadence: time.Second, Window: time.Minute, Batch: 500, Floor: true,
	},
	{
		Name: "W3", Title: "500 readings a message, protobuf", Readings: 5_000_000,
		Meters: 1000, Cadence: time.Second, Window: time.Minute, Batch: 500, Format: Protobuf,
	},
	{
		Name: "W4", Title: "200,000 series, a reading a window, a JSON array", Readings: 1_600_000,
		Meters: 100_000, Cadence: 15 * time.Minute, Window: 15 * time.Minute, Batch: 500, Floor: true,
	},
	{
		Name: "W5", Title: "as W2, 20 % resent, corrected or late", Readings: 5_000_000,
		Meters: 1000, Cadence: time.Second, Window: time.Minute, Batch: 500, Disturbed: 20, Floor: true,
	},
}

// The metrics of each meter.
var metrics = [...]struct{ name, unit string }{{"bench_power", "kW"}, {"bench_index", "kWh"}}

// catalogOf declares them.
func catalogOf(w *Workload) string {
	return fmt.Sprintf(`future_skew: 5m
time_floor: 2000-01-01T00:00:00Z
units:
  kWh: {dimension: energy}
  kW: {dimension: power, integral: kWh}
metrics:
  bench_power: {kind: gauge, unit: kW, integrate: linear, max_gap: 1h, window: %[1]s}
  bench_index: {kind: register, unit: kWh, max_rate: 1000, window: %[1]s}
`, w.Window)
}

// origin is the time of the first readings: a Monday.
var origin = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// message is what is published at once.
type message struct {
	contentType string
	payload     []byte
}

// messages yields the workload's messages, in the order of the readings' times. A
// payload is valid until the next message.
func (w *Workload) messages() iter.Seq[message] {
	return func(yield func(message) bool) {
		p := packer{workload: w}
		for i := range w.Readings {
			r := w.reading(i)
			if !p.add(&r, yield) {
				return
			}
		}
		p.flush(yield)
	}
}

// reading returns the reading that is sent as the i-th.
func (w *Workload) reading(i int) reading.Reading {
	if w.Disturbed > 0 && i > 2000 && i%100 < w.Disturbed {
		before := i - 1 - (i*7919)%1000
		if before%100 < w.Disturbed {
			before -= 1 + before%100 // to the last one that was sent as it is
		}
		switch r := w.fresh(before); i % 3 {
		case 0: // again
			return r
		case 1:
			r.Value++
			r.Quality = reading.Corrected
			return r
		default: // late: a month ago
			r.Time -= int64(30 * 24 * time.Hour)
			return r
		}
	}
	return w.fresh(i)
}

// fresh returns the i-th reading of a fleet without disturbances.
func (w *Workload) fresh(i int) reading.Reading {
	series := 2 * w.Meters
	tick, one := i/series, i%series
	metric := metrics[one%2]
	r := reading.Reading{
		EntityID: fmt.Sprintf("meter-%06d", one/2), Metric: metric.name, Unit: metric.unit,
		Time: origin.Add(time.Duration(tick) * w.Cadence).UnixNano(),
	}
	r.Value = float64((one*31+tick*17)%1000) / 1000
	if one%2 == 1 {
		r.Value = float64(tick) / 100 // an index grows
	}
	return r
}

// packer writes readings into messages.
type packer struct {
	workload *Workload
	payload  []byte
	one      []byte
	count    int
}

func (p *packer) add(r *reading.Reading, yield func(message) bool) bool {
	switch {
	case p.workload.Format == Protobuf:
		p.one = bronze.AppendProtobuf(p.one[:0], r)
		p.payload = protowire.AppendTag(p.payload, 1, protowire.BytesType)
		p.payload = protowire.AppendBytes(p.payload, p.one)
	case p.workload.Batch == 1:
		p.payload = appendJSON(p.payload, r)
	default:
		separator := byte(',')
		if p.count == 0 {
			separator = '['
		}
		p.payload = appendJSON(append(p.payload, separator), r)
	}
	if p.count++; p.count < p.workload.Batch {
		return true
	}
	return p.flush(yield)
}

func (p *packer) flush(yield func(message) bool) bool {
	if p.count == 0 {
		return true
	}
	m := message{contentType: "application/json", payload: p.payload}
	if p.workload.Format == Protobuf {
		m.contentType = bronze.TypeProtobufBatch
	} else if p.workload.Batch > 1 {
		m.payload = append(m.payload, ']')
	}
	p.payload, p.count = m.payload[:0], 0
	return yield(m)
}

// appendJSON appends a reading as most producers write it.
func appendJSON(b []byte, r *reading.Reading) []byte {
	b = append(append(b, `{"entity_id":"`...), r.EntityID...)
	b = append(append(b, `","metric":"`...), r.Metric...)
	b = append(b, `","time":"`...)
	b = time.Unix(0, r.Time).UTC().AppendFormat(b, time.RFC3339)
	b = append(b, `","value":`...)
	b = strconv.AppendFloat(b, r.Value, 'f', -1, 64)
	b = append(append(b, `,"unit":"`...), r.Unit...)
	if r.Quality == reading.Corrected {
		b = append(b, `","quality":"corrected`...)
	}
	return append(b, `"}`...)
}
