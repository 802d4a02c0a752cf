package e2e_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
)

// loadLog is when the broker took messages in, by sequence.
type loadLog struct {
	sequences []uint64
	received  []int64
}

// last returns the last key that was received until a time.
func (l *loadLog) last(at int64) int64 {
	i := sort.Search(len(l.received), func(i int) bool { return l.received[i] > at })
	if i == 0 {
		return 0
	}
	return keyOf(l.sequences[i-1], math.MaxUint16)
}

// loadVerdict is what became of the checks of answers.
type loadVerdict struct {
	faults  []error
	facts   map[string]int // by kind of question, those with readings
	within  int            // partitions of answers that were read while more was on its way
	changed int            // revisions that were seen to grow
}

func (v *loadVerdict) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf(format, args...))
}

// snapshots returns for each partition the keys that can be the last that an
// answer of now knows, or an error if there is none: then the answer is of no
// snapshot.
func (h *recomputed) snapshots(a *loadAnswer) (map[uint32][]keySpan, error) {
	all := make(map[uint32][]keySpan)
	for i := range a.facts {
		f := &a.facts[i]
		partition := h.plan.series[h.subjects[f.subject][0]].partition
		before, ok := all[partition]
		if !ok {
			before = allKeys
		}
		spans := h.spans(f)
		if all[partition] = meet(before, spans); len(all[partition]) == 0 {
			return nil, fmt.Errorf("%s: %s, which holds for keys in %v, is in no snapshot with what the answer says besides, %v",
				a.kind, h.describe(f), spans, before)
		}
	}
	return all, nil
}

func (h *recomputed) describe(f *loadFact) string {
	s := h.plan.series[h.subjects[f.subject][0]]
	return fmt.Sprintf("%s %s (%d series) %+v", s.entity, s.metric, len(h.subjects[f.subject]), *f)
}

// past checks an answer about the past: it is what follows from all that was
// received until then, exactly.
func (h *recomputed) past(a *loadAnswer, last int64) error {
	for i := range a.facts {
		f := &a.facts[i]
		steps := h.history(f.factKey)
		n := sort.Search(len(steps), func(i int) bool { return steps[i].key > last })
		var want loadState
		if n > 0 {
			want = steps[n-1].state
		}
		if !f.is(&want) {
			return fmt.Errorf("%s at %d: %s, want %+v", a.kind, a.knownAt, h.describe(f), want)
		}
	}
	return nil
}

// check holds every answer against the truth, and all of them against each other
// in the order of time: what an answer knew, every later one knows.
func (h *recomputed) check(answers []loadAnswer, log *loadLog) *loadVerdict {
	v := &loadVerdict{facts: make(map[string]int)}
	slices.SortFunc(answers, func(a, b loadAnswer) int { return cmp.Compare(a.asked, b.asked) })
	least := make([]map[uint32]int64, len(answers)) // what each answer knew at least
	given := byAnswered(answers)
	floor, end := make(map[uint32]int64), log.last(math.MaxInt64)
	for i := range answers {
		a := &answers[i]
		for j := range a.facts {
			if !a.facts[j].absent && a.facts[j].state.count > 0 {
				v.facts[a.kind]++
			}
		}
		if a.knownAt != 0 {
			if err := h.past(a, log.last(a.knownAt)); err != nil {
				v.faults = append(v.faults, err)
			}
			continue
		}
		for ; len(given) > 0 && answers[given[0]].answered < a.asked; given = given[1:] {
			for partition, key := range least[given[0]] {
				floor[partition] = max(floor[partition], key)
			}
		}
		all, err := h.snapshots(a)
		if err != nil {
			v.faults = append(v.faults, err)
			continue
		}
		least[i] = make(map[uint32]int64)
		for partition, spans := range all {
			spans = behind(spans, floor[partition])
			switch {
			case len(spans) == 0:
				v.fault("%s: partition %d is older than what was answered before: known are keys in %v, then %d",
					a.kind, partition, all[partition], floor[partition])
				continue
			case spans[0].from > log.last(a.answered):
				v.fault("%s: partition %d is newer than what was received until the answer: %v", a.kind, partition, spans)
			}
			least[i][partition] = spans[0].from
			if spans[0].from > 0 && spans[len(spans)-1].to <= end {
				v.within++
			}
		}
	}
	v.revisions(answers)
	return v
}

// byAnswered returns the answers' places in the order in which they were given.
func byAnswered(answers []loadAnswer) []int {
	places := make([]int, len(answers))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(i, j int) int { return cmp.Compare(answers[i].answered, answers[j].answered) })
	return places
}

// revisions checks that no window goes back to an earlier revision. Answers are in
// the order in which they were asked.
func (v *loadVerdict) revisions(answers []loadAnswer) {
	newest, given := make(map[factKey]int64), byAnswered(answers)
	take := func(a *loadAnswer, fn func(*loadFact)) {
		for i := range a.facts {
			if f := &a.facts[i]; f.kind == factWindow && a.knownAt == 0 && !f.absent {
				fn(f)
			}
		}
	}
	for i := range answers {
		for ; len(given) > 0 && answers[given[0]].answered < answers[i].asked; given = given[1:] {
			take(&answers[given[0]], func(f *loadFact) { newest[f.factKey] = max(newest[f.factKey], f.revision) })
		}
		take(&answers[i], func(f *loadFact) {
			switch before := newest[f.factKey]; {
			case f.revision < before:
				v.fault("%s: %+v goes back to an earlier revision than %d", answers[i].kind, *f, before)
			case before > 0 && f.revision > before:
				v.changed++
			}
		})
	}
}

// catches shows that the checks would have found faults in the answers that they
// let pass: it makes some, and returns how many were tried and which were not
// found.
func (h *recomputed) catches(answers []loadAnswer, log *loadLog) (tried map[string]int, missed []string) {
	tried = make(map[string]int)
	fails := func(what string, a loadAnswer) {
		tried[what]++
		_, err := h.snapshots(&a)
		if a.knownAt != 0 {
			err = h.past(&a, log.last(a.knownAt))
		}
		if err == nil {
			missed = append(missed, fmt.Sprintf("%s: %s", what, a.kind))
		}
	}
	torn := make(map[factKey]*loadAnswer) // by the first fact
	for i := range answers {
		a := &answers[i]
		j := slices.IndexFunc(a.facts, func(f loadFact) bool { return f.state.count > 0 })
		if j < 0 {
			continue
		}
		if a.facts[j].kind != factListed {
			changed := *a
			changed.facts = slices.Clone(a.facts)
			changed.facts[j].state.last += 0.5
			changed.facts[j].state.sum += 0.5
			fails("a value of "+a.kind, changed)
		}
		if a.knownAt == 0 {
			h.tear(a, torn, fails)
			continue
		}
		left := *a
		left.facts = slices.Clone(a.facts)
		left.facts[j] = loadFact{factKey: left.facts[j].factKey, absent: true}
		fails("a window left out of "+a.kind, left)
	}
	return tried, missed
}

// tear puts an answer together of two that are of different snapshots.
func (h *recomputed) tear(a *loadAnswer, earlier map[factKey]*loadAnswer, fails func(string, loadAnswer)) {
	const least = 4
	if len(a.facts) < least || a.facts[0].kind != factWindow {
		return
	}
	b := earlier[a.facts[0].factKey]
	earlier[a.facts[0].factKey] = a
	if b == nil || len(b.facts) != len(a.facts) {
		return
	}
	half := len(a.facts) / 2
	first, second := *a, *b
	first.facts, second.facts = a.facts[:half], b.facts[half:]
	one, err := h.snapshots(&first)
	two, otherErr := h.snapshots(&second)
	if err != nil || otherErr != nil {
		return // reported already
	}
	for partition := range one {
		if s, ok := two[partition]; ok && len(meet(one[partition], s)) == 0 {
			first.facts = slices.Concat(first.facts, second.facts)
			fails("two snapshots in one answer", first)
			return
		}
	}
}
