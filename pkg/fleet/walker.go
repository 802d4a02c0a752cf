package fleet

import "github.com/energy-platform/energy/pkg/reading"

// Delays, in ms.
const (
	second     = 1000
	leastDelay = 1 * second // of every reading
	mostDelay  = 30 * second
	lateFrom   = 2 * hourMillis
	lateTo     = 7 * dayMillis
	revisedTo  = 3 * dayMillis // corrections and withdrawals, from an hour on
	repeatedTo = 2 * dayMillis // duplicates
	overtaken  = 8             // cadences that a reordered reading may be behind
)

// mostRevision is how often a reading is corrected at most.
const mostRevision = 3

// send is one delivery as it waits for its arrival. Times are Unix ms, the value
// is in thousandths of the canonical unit.
type send struct {
	arrival, time, value int64
	order                uint64 // of the series' sends as they were decided
	series               int32
	cause                Cause
	quality              reading.Quality
	revision             uint8
	defect               uint8 // index in defects, of Malformed
}

// fate is what becomes of the reading that a meter took.
type fate uint8

const (
	lost      fate = iota // never sent
	counts                // it has a winner
	withdrawn             // its winner is a withdrawal
)

// taken is a reading that a meter took, with the content that counts.
type taken struct {
	fate                      fate
	quality                   reading.Quality
	reset, exchange, rollover bool // of the register, before the reading
	time, value               int64
}

// walker takes the readings of one series one after the other and decides the
// whole history of each.
type walker struct {
	f      *Fleet
	s      *Series
	index  int32
	dice   dice
	slot   int64
	outage int64 // readings that are still to be lost
	order  uint64
	acc    int64  // a register's index, in thousandths of a unit × ms of an hour
	sends  []send // of the last reading taken
}

func (f *Fleet) walker(index int) walker {
	s := f.series[index]
	return walker{
		f: f, s: s, index: int32(index), dice: newDice(f.config.Seed, 2*uint64(index)+1), acc: s.first * hourMillis,
	}
}

// tick returns the earliest time of the next reading, Unix ms.
func (w *walker) tick() int64 { return w.f.start + w.slot*w.f.cadence }

// more reports whether a reading is left.
func (w *walker) more() bool { return w.slot < w.f.slots }

// next takes a reading and decides what is sent of it.
func (w *walker) next() taken {
	t := taken{time: w.tick() + w.s.phase}
	if w.s.jitter > 0 {
		t.time += w.dice.below(w.s.jitter)
	}
	w.slot++
	w.sends = w.sends[:0]
	w.measure(&t)
	if w.outage == 0 && w.dice.happens(w.f.odds.outage) {
		w.outage = w.dice.between(1, shortOutage)
		if w.dice.below(2) == 0 {
			w.outage = w.dice.between(1, w.f.odds.longest)
		}
	}
	if w.outage > 0 {
		w.outage--
		return t
	}
	w.transmit(&t)
	return t
}

// measure sets the value of a reading.
func (w *walker) measure(t *taken) {
	s := w.s
	level := s.load.at(t.time, &w.dice)
	switch s.Kind {
	case Register:
		w.count(t, level)
	case Interval:
		t.value = level * w.f.cadence / hourMillis
	default:
		t.value = level / s.grain * s.grain
	}
}

// count advances the register, after what may befall it.
func (w *walker) count(t *taken, level int64) {
	switch {
	case w.dice.happens(w.f.odds.reset):
		w.acc, t.reset = 0, true
	case w.dice.happens(w.f.odds.exchange):
		w.acc, t.exchange = w.dice.below(w.acc/2+1), true
	}
	w.acc += level * w.f.cadence
	if full := w.s.modulus * hourMillis; w.acc >= full {
		w.acc, t.rollover = w.acc%full, true
	}
	t.value = w.acc / hourMillis
}

// transmit decides what is sent of a reading, and what of it counts.
func (w *walker) transmit(t *taken) {
	d, o := &w.dice, &w.f.odds
	ready := t.time + w.s.Length.Milliseconds() + d.between(leastDelay, mostDelay)
	t.fate, t.quality = counts, w.s.quality
	switch {
	case d.happens(o.estimated):
		w.send(t, send{cause: Estimate, arrival: ready, value: w.perturbed(t.value), quality: reading.Estimated})
		w.send(t, send{cause: Replacement, arrival: ready + d.between(hourMillis, repeatedTo)})
	case d.happens(o.substituted):
		t.value, t.quality = w.perturbed(t.value), reading.Estimated
		w.send(t, send{cause: Substitute, arrival: ready})
	case d.happens(o.late):
		w.send(t, send{cause: Late, arrival: ready + d.between(lateFrom, lateTo)})
	case d.happens(o.reordered):
		w.send(t, send{cause: Reordered, arrival: ready + d.between(w.f.cadence, overtaken*w.f.cadence)})
	default:
		w.send(t, send{cause: Regular, arrival: ready})
	}
	w.revise(t, ready)
	if d.happens(o.duplicate) {
		again := w.sends[d.below(int64(len(w.sends)))]
		again.cause = Duplicate
		again.arrival += d.between(second, repeatedTo)
		w.push(again)
	}
	if d.happens(o.malformed) {
		w.push(send{
			cause: Malformed, arrival: ready, time: t.time, value: t.value, quality: w.s.quality,
			defect: uint8(d.below(int64(len(defects)))),
		})
	}
}

// revise corrects and withdraws a reading. Every revision has a number of its
// own, so that the order of their arrival does not matter.
func (w *walker) revise(t *taken, ready int64) {
	d, o := &w.dice, &w.f.odds
	var revision uint8
	for odds := o.corrected; revision < mostRevision && d.happens(odds); odds = o.again {
		revision++
		t.value, t.quality = w.perturbed(t.value), reading.Corrected
		w.send(t, send{cause: Correction, arrival: ready + d.between(hourMillis, revisedTo), revision: revision})
	}
	if d.happens(o.withdrawn) {
		revision++
		t.fate = withdrawn
		w.push(send{
			cause: Withdrawal, arrival: ready + d.between(hourMillis, revisedTo), time: t.time,
			quality: reading.Withdrawn, revision: revision,
		})
	}
}

// send sends the reading as it stands; a value and a quality of its own come
// first.
func (w *walker) send(t *taken, s send) {
	s.time = t.time
	if s.cause != Estimate {
		s.value, s.quality = t.value, t.quality
	}
	w.push(s)
}

func (w *walker) push(s send) {
	s.series, s.order = w.index, w.order
	w.order++
	w.sends = append(w.sends, s)
}

// perturbed returns another value near v, not below zero unless v is.
func (w *walker) perturbed(v int64) int64 {
	const most = 20
	by := w.dice.between(1, most) * w.s.grain
	if w.dice.below(2) == 0 && (v >= by || v < 0) {
		by = -by
	}
	return v + by
}
