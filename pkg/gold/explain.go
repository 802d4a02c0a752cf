package gold

import (
	"slices"

	"github.com/energy-platform/energy/pkg/reading"
)

// Outcome is what becomes of a version, and why. It is numbered as in the wire
// contract.
type Outcome uint8

// The outcomes.
const (
	OutcomeUnknown Outcome = iota
	Counts                 // it is the reading
	Withdraws              // it takes the reading out
	LesserQuality          // another has a better quality
	LesserRevision         // another of that quality has a greater revision
	Earlier                // another of that quality and revision was received later
	LesserValue            // another that was received with it is greater
	JudgedAgain            // the same was judged under a later epoch or a waiver, or received before
	Rejected               // the rules reject it
	Overruled              // the rules of a later epoch reject it
)

// Explained is a version and what becomes of it.
type Explained struct {
	Version
	Outcome Outcome
}

// Explain tells what becomes of each version of one event time of a normalized
// set, as Winners decides it: the one that counts or withdraws the reading comes
// first, then the other contents that stand from the greatest to the least, then
// the rest.
func Explain(same []Version) []Explained {
	type content struct {
		contender
		versions []Version
	}
	var contents []content
	for i := 0; i < len(same); {
		j := i + 1
		for j < len(same) && compareContents(&same[i], &same[j]) == 0 {
			j++
		}
		contents = append(contents, content{contend(same[i:j]), same[i:j]})
		i = j
	}
	slices.SortFunc(contents, func(c, d content) int {
		switch {
		case c.version == nil || d.version == nil:
			return compareBool(c.version == nil, d.version == nil)
		case c.outranks(&d.contender):
			return -1
		default:
			return 1
		}
	})
	var stand, fall []Explained
	for i := range contents {
		c := &contents[i]
		for j := range c.versions {
			v := &c.versions[j]
			switch {
			case v == c.version:
				stand = append(stand, Explained{*v, c.outcome(&contents[0].contender)})
			case v.Rejected:
				fall = append(fall, Explained{*v, Rejected})
			case v.Epoch < lastRejection(c.versions, v.Waived):
				fall = append(fall, Explained{*v, Overruled})
			default:
				fall = append(fall, Explained{*v, JudgedAgain})
			}
		}
	}
	return append(stand, fall...)
}

// lastRejection returns the latest epoch that rejects a content, with or without
// a waiver.
func lastRejection(same []Version, waived bool) (epoch uint64) {
	for i := range same {
		if v := &same[i]; v.Rejected && v.Waived == waived {
			epoch = max(epoch, v.Epoch)
		}
	}
	return epoch
}

// outcome says why a content that stands counts, or does not beside the best.
func (c *contender) outcome(best *contender) Outcome {
	v, w := c.version, best.version
	switch {
	case v == w && v.Quality == reading.Withdrawn:
		return Withdraws
	case v == w:
		return Counts
	case v.Quality.Rank() != w.Quality.Rank():
		return LesserQuality
	case v.Revision != w.Revision:
		return LesserRevision
	case c.stamp.Compare(best.stamp) != 0:
		return Earlier
	default:
		return LesserValue
	}
}
