package reading

// Waiver lets one reading pass rules that refused it: a release from quarantine.
// A nil Waiver waives nothing.
type Waiver struct {
	Rules Rules  // that are waived
	Epoch uint64 // catalogue epoch under which the reading had been quarantined
	Decision
}

// Has reports whether the waiver lets a reading pass a rule.
func (w *Waiver) Has(r Rule) bool { return w != nil && w.Rules.Has(r) }

// Decision is what a person decided on a reading in quarantine.
type Decision struct {
	Person string
	At     int64 // Unix ns
	Reason string
}

// Resolution is what became of a reading that was refused. It is numbered as in
// the wire contract.
type Resolution uint8

// The resolutions.
const (
	Refused   Resolution = iota // it is in quarantine
	Accepted                    // it was judged again, and is accepted
	Released                    // it is accepted by a waiver
	Discarded                   // somebody decided that it is not wanted
)

var resolutionNames = [...]string{"refused", "accepted", "released", "discarded"}

// String returns the resolution's name as it stands in subjects.
func (r Resolution) String() string {
	if int(r) < len(resolutionNames) {
		return resolutionNames[r]
	}
	return "unknown"
}
