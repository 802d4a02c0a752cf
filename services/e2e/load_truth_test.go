package e2e_test

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/energy-platform/energy/pkg/reading"
)

// loadVersion is a reading as the broker stored it. Keys order readings as the
// broker took them in: by sequence, then by place in the message.
type loadVersion struct {
	key, received int64
	series        int32
	at            int64 // Unix ns
	value         float64
	quality       reading.Quality
	revision      uint8
}

func keyOf(sequence uint64, index int) int64 { return int64(sequence)<<16 | int64(index) }

// loadState is what an answer says about one window, or one thing of another
// kind; what it does not say is 0.
type loadState struct {
	count, estimated, corrected uint64
	sum, min, max, first, last  float64
	energy                      float64
	firstAt, lastAt             int64 // Unix ns
	quality                     reading.Quality
	received                    int64 // of an explained reading
}

// loadStep is a state that holds from a key on.
type loadStep struct {
	key   int64
	state loadState
}

// What a fact is about.
type factKind uint8

const (
	factWindow factKind = iota + 1
	factLatest
	factListed
	factExplained
)

// loadFact is one thing that an answer says: that a subject's window is so.
type loadFact struct {
	factKey
	absent   bool // the answer does not have it
	revision int64
	state    loadState
}

// factKey names what can be told: a window of a subject, or all of it.
type factKey struct {
	kind     factKind
	subject  int32
	from, to int64
}

// recomputed knows what was stored, and recomputes naively what an answer must say
// when any first part of it is in gold. It knows nothing of the platform's code.
type recomputed struct {
	plan      *loadPlan
	subjects  [][]int32                 // series; each alone first, then those of groups
	versions  [][]loadVersion           // by series, by key
	base      []map[int64][]loadVersion // by series and quarter of an hour
	histories map[factKey][]loadStep
}

const quarter = int64(15 * 60 * 1e9)

func newRecomputed(plan *loadPlan, subjects [][]int32, stored []loadVersion) *recomputed {
	h := &recomputed{
		plan: plan, subjects: subjects, versions: make([][]loadVersion, len(plan.series)),
		base: make([]map[int64][]loadVersion, len(plan.series)), histories: make(map[factKey][]loadStep),
	}
	slices.SortFunc(stored, func(a, b loadVersion) int { return cmp.Compare(a.key, b.key) })
	for _, v := range stored {
		if h.base[v.series] == nil {
			h.base[v.series] = make(map[int64][]loadVersion)
		}
		h.versions[v.series] = append(h.versions[v.series], v)
		window := v.at - v.at%quarter
		h.base[v.series][window] = append(h.base[v.series][window], v)
	}
	return h
}

// contents is what was received of one reading: each content once, as it came
// first.
type contents []loadVersion

// add reports whether the version is a new content.
func (c *contents) add(v loadVersion) bool {
	for _, have := range *c {
		if have.value == v.value && have.quality == v.quality && have.revision == v.revision {
			return false
		}
	}
	*c = append(*c, v)
	return true
}

// winner returns the version that counts, or withdraws the reading.
func (c contents) winner() loadVersion {
	if len(c) == 1 {
		return c[0]
	}
	return slices.MaxFunc(c, func(a, b loadVersion) int {
		rank := func(v loadVersion) int {
			switch v.quality {
			case reading.Corrected, reading.Withdrawn:
				return 2
			case reading.Estimated:
				return 0
			default:
				return 1
			}
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.revision, b.revision), cmp.Compare(a.key, b.key))
	})
}

// history returns the states of what can be told, from no reading at all on.
func (h *recomputed) history(k factKey) []loadStep {
	steps, ok := h.histories[k]
	if ok {
		return steps
	}
	switch k.kind {
	case factListed:
		if all := h.versions[k.subject]; len(all) > 0 {
			steps = []loadStep{{key: all[0].key, state: loadState{count: 1}}}
		}
	case factExplained:
		steps = h.explained(k)
	case factLatest:
		steps = h.window(k, math.MinInt64, math.MaxInt64)
		for i := range steps {
			s := &steps[i].state
			s.count = min(s.count, 1)
		}
	case factWindow:
		steps = h.window(k, k.from, k.to)
	}
	h.histories[k] = steps
	return steps
}

// in returns the versions of a subject with times in [from, to), by key.
func (h *recomputed) in(subject int32, from, to int64) (all []loadVersion) {
	for _, series := range h.subjects[subject] {
		if to-from > 1000*quarter || from == math.MinInt64 {
			for _, v := range h.versions[series] {
				if v.at >= from && v.at < to {
					all = append(all, v)
				}
			}
			continue
		}
		for window := from - from%quarter; window < to; window += quarter {
			for _, v := range h.base[series][window] {
				if v.at >= from && v.at < to {
					all = append(all, v)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b loadVersion) int { return cmp.Compare(a.key, b.key) })
	return all
}

// explained follows what is known of one reading.
func (h *recomputed) explained(k factKey) (steps []loadStep) {
	var known contents
	for _, v := range h.in(k.subject, k.from, k.to) {
		if known.add(v) {
			w := known.winner()
			steps = append(steps, loadStep{v.key, loadState{
				count: uint64(len(known)), last: w.value, quality: w.quality, received: w.received,
			}})
		}
	}
	return steps
}

// window follows the fold of the readings that count in [from, to).
func (h *recomputed) window(k factKey, from, to int64) (steps []loadStep) {
	f := fold{known: make(map[identity]*contents), values: make(map[float64]int)}
	f.single = int(k.subject) < len(h.plan.series)
	kind := h.plan.series[h.subjects[k.subject][0]].kind
	f.interval = kind == 1
	for _, v := range h.in(k.subject, from, to) {
		if f.add(v) {
			steps = append(steps, loadStep{v.key, f.state})
		}
	}
	if kind == loadRegister && k.kind == factWindow {
		steps = withEnergy(steps, h.advance(k.subject, from, to))
	}
	return steps
}

type identity struct {
	series int32
	at     int64
}

// fold is the readings of a window and what they come to. All values are whole, so
// that what was added can be taken out again.
type fold struct {
	known            map[identity]*contents
	values           map[float64]int // how often each is there
	single, interval bool
	state            loadState
}

// add takes a version in and reports whether that changes the state.
func (f *fold) add(v loadVersion) bool {
	id := identity{v.series, v.at}
	one := f.known[id]
	if one == nil {
		one = new(contents)
		f.known[id] = one
	}
	var before loadVersion
	isNew := len(*one) == 0
	if !isNew {
		before = one.winner()
	}
	if !one.add(v) || !isNew && one.winner() == before {
		return false
	}
	if !isNew {
		f.count(before, -1)
	}
	f.count(one.winner(), 1)
	f.ends()
	return true
}

// count adds a reading, or takes it out.
func (f *fold) count(v loadVersion, n int) {
	if v.quality == reading.Withdrawn {
		return
	}
	s := &f.state
	s.count += uint64(n)
	s.sum += float64(n) * v.value
	if f.interval {
		s.energy += float64(n) * v.value
	}
	switch v.quality { //nolint:exhaustive // others are not counted apart
	case reading.Estimated:
		s.estimated += uint64(n)
	case reading.Corrected:
		s.corrected += uint64(n)
	}
	if f.values[v.value] += n; f.values[v.value] == 0 {
		delete(f.values, v.value)
	}
	switch {
	case n < 0 && (v.value == s.min || v.value == s.max):
		s.min, s.max = math.Inf(1), math.Inf(-1)
		for value := range f.values {
			s.min, s.max = min(s.min, value), max(s.max, value)
		}
	case n > 0 && s.count == 1:
		s.min, s.max = v.value, v.value
	case n > 0:
		s.min, s.max = min(s.min, v.value), max(s.max, v.value)
	}
	if f.single && n > 0 {
		f.touch(v)
	} else if v.at == s.firstAt || v.at == s.lastAt {
		s.firstAt, s.lastAt = 0, 0
		for _, c := range f.known {
			if w := c.winner(); f.single && w.at != v.at && w.quality != reading.Withdrawn {
				f.touch(w)
			}
		}
	}
}

// touch makes a reading the first or the last, if it is.
func (f *fold) touch(v loadVersion) {
	s := &f.state
	if s.firstAt == 0 || v.at <= s.firstAt {
		s.first, s.firstAt = v.value, v.at
	}
	if s.lastAt == 0 || v.at >= s.lastAt {
		s.last, s.lastAt, s.quality = v.value, v.at, v.quality
	}
}

// ends clears what a window without readings does not have.
func (f *fold) ends() {
	if f.state.count == 0 {
		f.state = loadState{}
	}
}

// advance follows what a register advances from one time to another: the
// difference of its index, which lies on straight lines between readings.
func (h *recomputed) advance(series int32, from, to int64) (steps []loadStep) {
	a, b := registerIndex{at: from}, registerIndex{at: to}
	last := 0.0
	for _, v := range h.versions[series] {
		a.add(v)
		b.add(v)
		if is := b.value - a.value; is != last {
			steps = append(steps, loadStep{v.key, loadState{energy: is}})
			last = is
		}
	}
	return steps
}

// registerIndex is the index of a register at a time, by the readings on either
// side of it.
type registerIndex struct {
	at             int64
	before, behind contents
	value          float64
}

func (x *registerIndex) add(v loadVersion) {
	side, nearer := &x.before, len(x.before) == 0 || v.at > x.before[0].at
	if v.at > x.at {
		side, nearer = &x.behind, len(x.behind) == 0 || v.at < x.behind[0].at
	}
	if nearer {
		*side = append((*side)[:0], v)
	} else if v.at != (*side)[0].at || !side.add(v) {
		return
	}
	switch {
	case len(x.before) == 0:
		x.value = x.behind.winner().value
	case len(x.behind) == 0:
		x.value = x.before.winner().value
	default:
		a, b := x.before.winner(), x.behind.winner()
		x.value = a.value + (b.value-a.value)*float64(x.at-a.at)/float64(b.at-a.at)
	}
}

// withEnergy merges the steps of a fold with those of its energy.
func withEnergy(folds, energies []loadStep) (steps []loadStep) {
	var now loadState
	for len(folds) > 0 || len(energies) > 0 {
		var key int64
		energy := now.energy
		if len(energies) == 0 || len(folds) > 0 && folds[0].key <= energies[0].key {
			key, now, folds = folds[0].key, folds[0].state, folds[1:]
		} else {
			key = energies[0].key
		}
		if len(energies) > 0 && energies[0].key == key {
			energy, energies = energies[0].state.energy, energies[1:]
		}
		now.energy = energy
		steps = append(steps, loadStep{key, now})
	}
	return steps
}

// span is the keys from which one is the last that an answer knows.
type keySpan struct{ from, to int64 }

var allKeys = []keySpan{{0, math.MaxInt64}}

// spans returns when a fact is true.
func (h *recomputed) spans(f *loadFact) (spans []keySpan) {
	steps := h.history(f.factKey)
	state, from := loadState{}, int64(0)
	for i := 0; i <= len(steps); i++ {
		to := int64(math.MaxInt64)
		if i < len(steps) {
			to = steps[i].key
		}
		if f.is(&state) {
			if n := len(spans); n > 0 && spans[n-1].to == from {
				spans[n-1].to = to
			} else if to > from {
				spans = append(spans, keySpan{from, to})
			}
		}
		if i < len(steps) {
			state, from = steps[i].state, to
		}
	}
	return spans
}

// is reports whether a fact tells of that state.
func (f *loadFact) is(s *loadState) bool {
	if f.absent {
		return s.count == 0
	}
	want, got := *s, f.state
	switch f.kind {
	case factLatest:
		want = loadState{count: s.count, last: s.last, lastAt: s.lastAt, quality: s.quality}
	case factWindow:
		want.quality = 0 // of the last reading, which windows do not tell
	case factListed, factExplained:
	}
	// Between readings an index is rounded.
	if math.Abs(want.energy-got.energy) > 1e-6 {
		return false
	}
	want.energy, got.energy = 0, 0
	return want == got
}

// meet returns what two lists of spans have in common.
func meet(a, b []keySpan) (both []keySpan) {
	for len(a) > 0 && len(b) > 0 {
		if s := (keySpan{max(a[0].from, b[0].from), min(a[0].to, b[0].to)}); s.from < s.to {
			both = append(both, s)
		}
		if a[0].to < b[0].to {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}

// behind returns the part of spans from a key on.
func behind(spans []keySpan, key int64) []keySpan {
	i := sort.Search(len(spans), func(i int) bool { return spans[i].to > key })
	if spans = slices.Clone(spans[i:]); len(spans) > 0 {
		spans[0].from = max(spans[0].from, key)
	}
	return spans
}
