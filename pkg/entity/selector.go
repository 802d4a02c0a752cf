package entity

import "slices"

// Selector picks entities by what their records say. The zero Selector picks
// all, those that are not registered too.
type Selector struct {
	Parents []string          // any of them, directly; none does not restrict
	Labels  map[string]string // all of them, with these values
}

// All reports whether the selector picks every entity, whatever its records.
func (s *Selector) All() bool { return len(s.Parents) == 0 && len(s.Labels) == 0 }

// Picks reports whether what holds of an entity at a time fits.
func (s *Selector) Picks(r *Record) bool {
	for key, want := range s.Labels {
		if have, ok := r.Labels[key]; !ok || have != want {
			return false
		}
	}
	return len(s.Parents) == 0 || slices.Contains(s.Parents, r.Parent)
}
