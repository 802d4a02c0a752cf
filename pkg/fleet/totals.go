package fleet

import "github.com/energy-platform/energy/pkg/reading"

// Totals are the numbers of everything. They hold
//
//	Slots      = Gaps + Identities
//	Identities = Winners + Withdrawn
//	Versions   = Identities + Sent[Estimate] + Sent[Correction] + Sent[Withdrawal]
//	Readings   = Versions + Sent[Duplicate]
//	Deliveries = Readings + Sent[Malformed]
type Totals struct {
	Slots      uint64 // readings taken
	Gaps       uint64 // readings that were never sent
	Identities uint64 // (series, event time) of which something was sent
	Winners    uint64 // identities that count in the end
	Withdrawn  uint64 // identities that are withdrawn in the end
	Versions   uint64 // distinct contents of identities
	Readings   uint64 // deliveries of proper readings: what silver accepts
	Deliveries uint64
	Sent       Sent // by cause

	Resets    uint64 // registers that fell to 0
	Exchanges uint64 // registers that another meter took over from
	Rollovers uint64 // registers that reached their modulus

	Quarantine []Quarantined // every defect, in the order of Defects
}

// Sent counts deliveries by cause.
type Sent [causeCount]uint64

// Quarantined counts the deliveries of one defect.
type Quarantined struct {
	Defect *Defect
	Count  uint64
}

// Refused returns how many deliveries a rule of a stage refuses.
func (t *Totals) Refused(stage string, rule reading.Rule) (n uint64) {
	for _, q := range t.Quarantine {
		if q.Defect.Stage == stage && q.Defect.Rule == rule {
			n += q.Count
		}
	}
	return n
}

// Totals counts the whole fleet.
func (f *Fleet) Totals() Totals {
	t := Totals{Quarantine: make([]Quarantined, len(defects))}
	for i := range defects {
		t.Quarantine[i].Defect = &defects[i]
	}
	for i := range f.series {
		for w := f.walker(i); w.more(); {
			taken := w.next()
			t.take(&taken)
			for j := range w.sends {
				t.send(w.s, &w.sends[j])
			}
		}
	}
	t.Identities = t.Winners + t.Withdrawn
	t.Deliveries = t.Readings + t.Sent[Malformed]
	t.Versions = t.Readings - t.Sent[Duplicate]
	return t
}

// take counts a reading that a meter took.
func (t *Totals) take(r *taken) {
	t.Slots++
	switch r.fate {
	case counts:
		t.Winners++
	case withdrawn:
		t.Withdrawn++
	default:
		t.Gaps++
	}
	for _, incident := range [...]struct {
		happened bool
		count    *uint64
	}{{r.reset, &t.Resets}, {r.exchange, &t.Exchanges}, {r.rollover, &t.Rollovers}} {
		if incident.happened {
			*incident.count++
		}
	}
}

// send counts what is sent of it.
func (t *Totals) send(s *Series, d *send) {
	t.Sent[d.cause]++
	if d.cause != Malformed {
		t.Readings++
		return
	}
	defect := s.defect(d.defect)
	for i := range t.Quarantine {
		if t.Quarantine[i].Defect == defect {
			t.Quarantine[i].Count++
		}
	}
}
