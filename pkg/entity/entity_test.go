package entity_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/entity"
	"github.com/energy-platform/energy/pkg/gold"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 257)
	for name, tt := range map[string]struct {
		record entity.Record
		says   []string // nothing for a record that is fine
	}{
		"an id is enough":         {entity.Record{ID: "m"}, nil},
		"all that there is":       {entity.Record{"m", 3e9, "M", "Asia/Kathmandu", "s", map[string]string{"tariff.2-b": "ä"}}, nil},
		"nothing":                 {entity.Record{}, []string{"id is missing"}},
		"its own parent":          {entity.Record{ID: "m", Parent: "m"}, []string{"parent is the entity itself"}},
		"a zone of the machine":   {entity.Record{ID: "m", Zone: "Local"}, []string{`zone "Local"`, "Europe/Paris"}},
		"a zone that is not":      {entity.Record{ID: "m", Zone: "Europe/Atlantis"}, []string{"Atlantis", "IANA"}},
		"a time before time":      {entity.Record{ID: "m", ValidFrom: -1}, []string{"valid_from is before 1970"}},
		"a key for no parameter":  {entity.Record{ID: "m", Labels: map[string]string{"a b": ""}}, []string{`key "a b"`}},
		"an empty key":            {entity.Record{ID: "m", Labels: map[string]string{"": ""}}, []string{"a key is empty"}},
		"a time between seconds":  {entity.Record{ID: "m", ValidFrom: 1}, []string{"fraction of a second"}},
		"control characters":      {entity.Record{ID: "m\n"}, []string{"id", "control"}},
		"a long value":            {entity.Record{ID: "m", Labels: map[string]string{"k": long}}, []string{`labels "k"`, "257 bytes"}},
		"all faults are named":    {entity.Record{Name: long, Zone: "x"}, []string{"id is missing", "name has", "zone"}},
		"what is no text is told": {entity.Record{ID: "m", Name: "\xff"}, []string{"name", "UTF-8"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.record.Check()
			if (err != nil) != (len(tt.says) > 0) || err != nil && !errors.Is(err, entity.ErrInvalid) {
				t.Fatalf("Check = %v", err)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

func at(hour int) int64 { return int64(hour) * int64(time.Hour) }

func TestHistory(t *testing.T) {
	t.Parallel()
	g := entity.NewRegistry([]entity.Record{
		{ID: "m", ValidFrom: at(20), Parent: "b"},
		{ID: "m", ValidFrom: at(10) + 1, Parent: "a"},
	})
	for _, tt := range []struct {
		t      int64
		parent string
	}{{at(0), ""}, {at(10), ""}, {at(10) + 1, "a"}, {at(20) - 1, "a"}, {at(20), "b"}, {math.MaxInt64, "b"}} {
		if r := g.At("m", tt.t); r.ID != "m" || r.Parent != tt.parent {
			t.Errorf("at %d it is %+v, want parent %q", tt.t, r, tt.parent)
		}
	}
	if r := g.At("unknown", at(1)); !cmp.Equal(r, entity.Record{ID: "unknown"}) {
		t.Errorf("an unregistered entity is %+v", r)
	}
}

// TestSpansFollowBaseWindows: over any history every instant is in one span,
// whose record is the one in force when its base window began.
func TestSpansFollowBaseWindows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]time.Duration{time.Minute, 15 * time.Minute, time.Hour}).Draw(t, "width")
		instant := rapid.Int64Range(0, at(30))
		var records []entity.Record
		for _, from := range rapid.SliceOfNDistinct(instant, 0, 6, rapid.ID).Draw(t, "valid from") {
			records = append(records, entity.Record{ID: "m", ValidFrom: from})
		}
		h := entity.NewRegistry(records)["m"]
		from, until := instant.Draw(t, "from"), instant.Draw(t, "until")
		covered := from
		for _, s := range h.Spans("m", from, until, width) {
			if s.From != covered || s.Until <= s.From {
				t.Fatalf("span %+v after %d", s, covered)
			}
			covered = s.Until
			for _, instant := range []int64{s.From, (s.From + s.Until) / 2, s.Until - 1} {
				want := h.At("m", gold.WindowStart(instant, width))
				if !entity.Equal(&s.Record, &want) {
					t.Fatalf("%d is in the span of %+v, its window began under %+v", instant, s.Record, want)
				}
			}
		}
		if covered < until {
			t.Fatalf("spans end at %d, before %d", covered, until)
		}
	})
}

func TestParentsDoNotLeadInACircle(t *testing.T) {
	t.Parallel()
	record := func(id string, from int, parent string) entity.Record {
		return entity.Record{ID: id, ValidFrom: at(from), Parent: parent}
	}
	for name, tt := range map[string]struct {
		records []entity.Record
		circle  string
	}{
		"a tree":                             {[]entity.Record{record("a", 0, "c"), record("b", 0, "c")}, ""},
		"a turn at different times":          {[]entity.Record{record("a", 0, "b"), record("a", 5, ""), record("b", 5, "a")}, ""},
		"a circle of two":                    {[]entity.Record{record("a", 0, "b"), record("b", 0, "a")}, "a → b → a"},
		"a circle that another record makes": {[]entity.Record{record("a", 0, "b"), record("b", 1, "c"), record("c", 9, "a")}, "a → b → c → a"},
		"a parent that is not registered":    {[]entity.Record{record("a", 0, "site")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := entity.NewRegistry(tt.records).CheckParents([]string{"a"})
			if (err != nil) != (tt.circle != "") || err != nil && !strings.Contains(err.Error(), tt.circle) {
				t.Errorf("CheckParents = %v, want circle %q", err, tt.circle)
			}
		})
	}
}

func TestSelector(t *testing.T) {
	t.Parallel()
	r := entity.Record{ID: "m", Parent: "site", Labels: map[string]string{"tariff": "night", "phase": ""}}
	for name, tt := range map[string]struct {
		selector entity.Selector
		picks    bool
	}{
		"nothing asked":         {entity.Selector{}, true},
		"its parent":            {entity.Selector{Parents: []string{"other", "site"}}, true},
		"another parent":        {entity.Selector{Parents: []string{"other"}}, false},
		"a label":               {entity.Selector{Labels: map[string]string{"tariff": "night"}}, true},
		"an empty label":        {entity.Selector{Labels: map[string]string{"phase": ""}}, true},
		"a label it lacks":      {entity.Selector{Labels: map[string]string{"floor": ""}}, false},
		"one of two labels":     {entity.Selector{Labels: map[string]string{"tariff": "night", "phase": "1"}}, false},
		"a label and no parent": {entity.Selector{[]string{"x"}, map[string]string{"tariff": "night"}}, false},
	} {
		if got := tt.selector.Picks(&r); got != tt.picks {
			t.Errorf("%s: picked %t", name, got)
		}
	}
}
