package silver

import (
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
)

// Hearing is a bench for each epoch that judges readings of certain names in
// its own way: it judges a reading again under all of them.
//
// What it says of a reading depends on the reading, its stamp, its waivers and
// the epochs alone, not on which of them have judged it before. So it makes no
// difference to gold, byte for byte, which epoch was in force where a reading
// was first judged, once the reading has been heard (invariant 17).
type Hearing struct{ benches []*Bench }

// NewHearing prepares for readings of an entity and metric that come with a
// unit, to be judged under all epochs so far.
func NewHearing(epochs catalog.Epochs, entityID, metric, unit string) *Hearing {
	h := new(Hearing)
	for _, c := range epochs.Judging(metric) {
		h.benches = append(h.benches, NewJudge(c).Bench(entityID, metric, unit))
	}
	return h
}

// Newest returns the newest epoch's bench.
func (h *Hearing) Newest() *Bench { return h.benches[len(h.benches)-1] }

// Judge appends to dst the judgements of a reading that gold needs, and returns
// the newest epoch's, which may refuse it, and the epoch until which an earlier one
// refuses it: the first behind the last of these, 0 when none does.
//
// For each epoch it gives the judgement if that accepts the reading, and the
// rejection of what the epoch before made of it if this one makes something
// else of it or refuses it. See gold.Winners for what they do.
func (h *Hearing) Judge(
	dst []Judgement, r reading.Reading, stamp reading.Stamp, waiver *reading.Waiver,
) (all []Judgement, newest Judgement, refusedUntil uint64) {
	for i, b := range h.benches {
		before := newest
		newest = b.Judge(r, stamp, waiver)
		if i > 0 && !before.accepted {
			refusedUntil = newest.Epoch
		}
		if before.accepted && (!newest.accepted || !newest.sameContent(&before)) {
			dst = append(dst, before.rejected(&newest))
		}
		if newest.accepted {
			dst = append(dst, newest)
		}
	}
	return dst, newest, refusedUntil
}

// sameContent reports whether two judgements accept the same content by the
// same right.
func (j *Judgement) sameContent(k *Judgement) bool {
	return j.Reading == k.Reading && j.Waived == k.Waived
}

// rejected returns the rejection of what j accepted by a later epoch's
// judgement of the same reading.
func (j *Judgement) rejected(by *Judgement) Judgement {
	return Judgement{
		Reading: j.Reading, Stamp: j.Stamp, Waived: j.Waived, Released: j.Released,
		Flags: by.Refused | by.Flags, Refused: by.Refused, Epoch: by.Epoch,
	}
}
