package e2e_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

const (
	loadCadence    = 5 * time.Minute // of the readings of one series
	loadPerMessage = 100
	loadPartitions = 4
	loadHeader     = "Load-Message"  // the number of a message in the plan
	canaryHeader   = "Load-Canary"   // the number of a message of canaries
	canaryMetric   = "pressure"      // in Pa, the number of its message
	canaryEvery    = time.Second / 4 // and not before the one before is seen
)

// loadStart is when the readings begin, whatever the time is now: a day before
// clocks are set back in Europe, a week before the end of a month.
var loadStart = time.Date(2025, time.October, 25, 10, 0, 0, 0, time.UTC)

// loadMetrics are a gauge, an interval and a register. All values are whole, so
// that sums are exact in whatever order they are added.
var loadMetrics = [...]struct{ name, unit string }{
	{"voltage", "V"}, {"active_energy", "kWh"}, {"active_energy_import", "kWh"},
}

const loadRegister = 2

// loadSeries is one series, and what the registry says of its entity.
type loadSeries struct {
	entity, metric, unit string
	kind                 int // index in loadMetrics; len(loadMetrics) of canaries
	partition            uint32
	zone, parent, tariff string
}

// loadReading is a reading as the test sends it.
type loadReading struct {
	series   int32
	step     int32 // of loadCadence, from loadStart on
	quality  reading.Quality
	revision uint8
	value    float64
}

func (r *loadReading) at() int64 {
	return loadStart.Add(time.Duration(r.step) * loadCadence).UnixNano()
}

// loadPlan is what is to be sent.
type loadPlan struct {
	series   []loadSeries
	canaries []int32 // a series a partition
	messages [][]loadReading
	until    time.Time // the readings end
	happened map[string]int

	lastCanary int          // its number; -1 while there is none
	reached    atomic.Int32 // the last step that was sent
}

// newLoadPlan returns a plan of that many readings of that many entities. All
// entities of a parent are in one partition.
func newLoadPlan(entities, readings int) *loadPlan {
	p := &loadPlan{happened: make(map[string]int), lastCanary: -1}
	zones := [...]string{"Europe/Paris", "America/New_York", "Australia/Lord_Howe", ""}
	for i := range entities {
		name := fmt.Sprintf("meter-%04d", i)
		partition := reading.Partition(name, loadPartitions)
		for kind, m := range loadMetrics {
			p.series = append(p.series, loadSeries{
				entity: name, metric: m.name, unit: m.unit, kind: kind, partition: partition, zone: zones[i%len(zones)],
				parent: fmt.Sprintf("site-%d-%d", partition, i%3), tariff: [...]string{"day", "night"}[i/2%2],
			})
		}
	}
	meters := len(p.series)
	for i := 0; len(p.canaries) < loadPartitions; i++ {
		name := fmt.Sprintf("canary-%d", i)
		if reading.Partition(name, loadPartitions) == uint32(len(p.canaries)) {
			p.canaries = append(p.canaries, int32(len(p.series)))
			p.series = append(p.series, loadSeries{
				entity: name, metric: canaryMetric, unit: "Pa", kind: len(loadMetrics), partition: uint32(len(p.canaries) - 1),
			})
		}
	}
	p.deliver(meters, readings)
	return p
}

// delivery is a reading at its place in the order of sending.
type delivery struct {
	place float64
	loadReading
}

// deliver fills the messages.
func (p *loadPlan) deliver(meters, readings int) {
	dice := rand.New(rand.NewPCG(20, 25))
	var all []delivery
	steps := readings*11/10/meters + 1 // some deliveries come too late to be sent
	for step := range steps {
		for s := range meters {
			// Each fourth entity joins later than the others.
			if entity := s / len(loadMetrics); entity%4 == 3 && step < steps*entity*len(loadMetrics)/(2*meters) {
				continue
			}
			all = p.events(dice, all, float64(step*meters+s), readings, loadReading{series: int32(s), step: int32(step)})
		}
	}
	slices.SortStableFunc(all, func(a, b delivery) int { return cmp.Compare(a.place, b.place) })
	all = all[:min(len(all), readings)]
	for chunk := range slices.Chunk(all, loadPerMessage) {
		message := make([]loadReading, len(chunk))
		for i := range chunk {
			message[i] = chunk[i].loadReading
		}
		p.messages = append(p.messages, message)
	}
	p.until = loadStart.Add(time.Duration(steps) * loadCadence)
}

// events appends the deliveries of the readings of one event time.
func (p *loadPlan) events(dice *rand.Rand, all []delivery, place float64, readings int, r loadReading) []delivery {
	kind := p.series[r.series].kind
	right := [...]float64{float64(220 + dice.IntN(21)), float64(dice.IntN(50)), 1000 + 10*float64(r.step)}[kind]
	wrong := right + float64(1+dice.IntN(5))
	if kind == loadRegister {
		wrong = right - 3 // above the index before
	}
	later := func() float64 { return place + dice.Float64()*float64(readings)/5 }
	add := func(place float64, value float64, quality reading.Quality, revision uint8) {
		r.value, r.quality, r.revision = value, quality, revision
		all = append(all, delivery{place, r})
	}
	what, n := "in time", dice.IntN(1000)
	switch {
	case n < 50:
		what = "late"
		add(later(), right, reading.Actual, 0)
	case n < 80:
		what = "twice"
		add(place, right, reading.Actual, 0)
		add(later(), right, reading.Actual, 0)
	case n < 100:
		what = "corrected"
		add(place, wrong, reading.Actual, 0)
		add(later(), right, reading.Corrected, 0)
	case n < 110:
		what = "estimated first"
		add(place, wrong, reading.Estimated, 0)
		add(later(), right, reading.Actual, 0)
	case n < 120:
		what = "estimated afterwards"
		add(place, right, reading.Actual, 0)
		add(later(), wrong, reading.Estimated, 0)
	case n < 130:
		what = "revised, out of order"
		add(place, right, reading.Actual, 1)
		add(later(), wrong, reading.Actual, 0)
	case n < 140:
		what = "sent again with another value"
		add(place, wrong, reading.Actual, 0)
		add(later(), right, reading.Actual, 0)
	case n < 150 && kind != loadRegister:
		what = "withdrawn"
		add(place, right, reading.Actual, 0)
		add(later(), 0, reading.Withdrawn, 0)
	default:
		add(place, right, reading.Actual, 0)
	}
	p.happened[what]++
	return all
}

// entities returns the records of the registry.
func (p *loadPlan) entities() []*energyv1.Entity {
	var all []*energyv1.Entity
	for i := range p.series {
		if s := &p.series[i]; s.kind == 0 {
			all = append(all, &energyv1.Entity{
				Id: s.entity, Zone: s.zone, Parent: s.parent, Labels: map[string]string{"tariff": s.tariff},
			})
		}
	}
	return all
}

// message returns readings as they are published, under a number.
func (p *loadPlan) message(t *testing.T, header string, number int, readings []loadReading) *nats.Msg {
	t.Helper()
	batch := &energyv1.ReadingBatch{Readings: make([]*energyv1.Reading, len(readings))}
	for i := range readings {
		r, s := &readings[i], &p.series[readings[i].series]
		one := &energyv1.Reading{
			EntityId: s.entity, Metric: s.metric, Unit: s.unit, Time: timestamppb.New(time.Unix(0, r.at())),
			Value: r.value, Quality: energyv1.Quality(r.quality), Revision: uint64(r.revision),
		}
		if s.metric == "active_energy" {
			one.Length = durationpb.New(loadCadence)
		}
		batch.Readings[i] = one
	}
	data, err := proto.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	return &nats.Msg{Subject: "readings.load", Data: data, Header: nats.Header{
		"Content-Type": {bronze.TypeProtobufBatch}, header: {strconv.Itoa(number)},
	}}
}

// canary returns the readings of a message of canaries: a number for each
// partition. The last one lies days behind all others, in windows of its own.
func (p *loadPlan) canary(number int) []loadReading {
	step := int32(number)
	if number == p.lastCanary {
		step = int32((p.until.Sub(loadStart) + 3*24*time.Hour) / loadCadence)
	}
	all := make([]loadReading, len(p.canaries))
	for i, s := range p.canaries {
		all[i] = loadReading{series: s, step: step, quality: reading.Actual, value: float64(number)}
	}
	return all
}
