// Package entity is the registry of entities: what meters, sensors and sites
// are called, which zone they keep, what they belong to and how they are
// labelled, each from a date on.
//
// The registry is no part of gold: it is applied when a question is answered,
// so a record that is added, mended or taken out changes answers at once and
// stored numbers never. An entity without records works: it has no name, no
// parent and no labels, and keeps UTC.
package entity

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Record is what holds of an entity from a time on, until its next record.
type Record struct {
	ID        string
	ValidFrom int64 // Unix ns, in whole seconds; Ever where the record has no beginning
	Name      string
	Zone      string // IANA name; empty means UTC
	Parent    string // id of the entity that it belongs to; empty means none
	Labels    map[string]string
}

// Ever is the time from which records without a beginning hold. It lies before
// every reading that is taken in.
const Ever int64 = 0

// What a record may hold.
const (
	maxNameBytes  = 256 // of ids, names, zones and values of labels
	maxLabelBytes = 64  // of keys of labels
	maxLabels     = 64
)

// ErrInvalid says that a record cannot be registered; the error that wraps it
// says why.
var ErrInvalid = errors.New("invalid entity")

// Fault is what is wrong with a field of a record.
type Fault struct{ Field, Why string }

// Faults returns all that is wrong with a record.
func (r *Record) Faults() (faults []Fault) {
	fault := func(field, why string, args ...any) {
		faults = append(faults, Fault{field, fmt.Sprintf(why, args...)})
	}
	if r.ID == "" {
		fault("id", "is missing")
	}
	for _, f := range [...]Fault{{"id", r.ID}, {"name", r.Name}, {"zone", r.Zone}, {"parent", r.Parent}} {
		if why := unfit(f.Why); why != "" {
			fault(f.Field, "%s", why)
		}
	}
	switch {
	case r.ValidFrom < Ever:
		fault("valid_from", "is before 1970: leave it out for what has always held")
	case r.ValidFrom%int64(time.Second) != 0:
		fault("valid_from", "has a fraction of a second: windows begin at whole ones")
	}
	if _, err := Location(r.Zone); err != nil {
		fault("zone", "%.64q is no IANA time zone: give one such as Europe/Paris, or none for UTC", r.Zone)
	}
	if r.ID != "" && r.ID == r.Parent {
		fault("parent", "is the entity itself: leave it out, or name another")
	}
	if len(r.Labels) > maxLabels {
		fault("labels", "has %d entries: at most %d are allowed", len(r.Labels), maxLabels)
	}
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		if err := CheckLabel(key); err != nil {
			fault("labels", "%s", err)
		}
		if why := unfit(r.Labels[key]); why != "" {
			fault("labels", "%.64q: the value %s", key, why)
		}
	}
	return faults
}

// Check returns ErrInvalid, wrapped with all that is wrong with the record, nil
// when nothing is.
func (r *Record) Check() error {
	faults := r.Faults()
	if len(faults) == 0 {
		return nil
	}
	all := make([]string, len(faults))
	for i, f := range faults {
		all[i] = f.Field + " " + f.Why
	}
	return fmt.Errorf("%w %.64q: %s", ErrInvalid, r.ID, strings.Join(all, "; "))
}

// CheckLabel reports what is wrong with the key of a label. Keys are letters,
// digits, '_', '-' and '.', so that they can stand in a query parameter.
func CheckLabel(key string) error {
	switch {
	case key == "":
		return errors.New("a key is empty")
	case len(key) > maxLabelBytes:
		return fmt.Errorf("key %.64q… has %d bytes: at most %d are allowed", key, len(key), maxLabelBytes)
	case strings.ContainsFunc(key, func(r rune) bool {
		allowed := unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-.", r)
		return r >= utf8.RuneSelf || !allowed
	}):
		return fmt.Errorf("key %q may hold ASCII letters, digits, '_', '-' and '.'", key)
	default:
		return nil
	}
}

func unfit(text string) string {
	switch {
	case len(text) > maxNameBytes:
		return fmt.Sprintf("has %d bytes: at most %d are allowed", len(text), maxNameBytes)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Sprintf("%.64q must be UTF-8 without control characters", text)
	default:
		return ""
	}
}

// Location returns the zone of that IANA name; the empty name is UTC. "Local" is
// refused: answers must not depend on the machine that gives them.
func Location(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("zone %q is that of the machine", name)
	}
	return time.LoadLocation(name)
}

// Compare orders records by id and time.
func Compare(r, s *Record) int {
	return cmp.Or(cmp.Compare(r.ID, s.ID), cmp.Compare(r.ValidFrom, s.ValidFrom))
}

// Equal reports whether two records say the same.
func Equal(r, s *Record) bool {
	return Compare(r, s) == 0 && r.Name == s.Name && r.Zone == s.Zone && r.Parent == s.Parent &&
		maps.Equal(r.Labels, s.Labels)
}
