package source

import (
	"errors"
	"fmt"
	"slices"
)

// bindTime says how the times of the columns are read: by what the type of the
// column tells, and by the mapping for the rest.
func (p *parquetRows) bindTime(cells []*cell) (err error) {
	if len(p.times) > 1 {
		return p.bindTimes(cells)
	}
	t, ref := p.when, p.times[0]
	c := cells[ref.index]
	fault := func(format string, args ...any) error {
		return fmt.Errorf("time: column %q is %s%s", ref.column, c.typ, fmt.Sprintf(format, args...))
	}
	switch c.content {
	case either:
		c.content, c.layout = local, localLayout
		if t.Zone == "" {
			c.content, c.layout = instant, instantLayout
		}
	case clock:
		return fault(", a time without its day; name the column of the day before it: columns: [DAY, %s]", ref.column)
	case text, number, integer:
		if t.Layout == timestamp && c.content == text {
			return fault(", which needs a layout; %s", layoutHelp)
		}
		if _, epoch := epochs[t.Layout]; !epoch && c.content != text {
			return fault("; expected one of the layouts epoch_s, epoch_ms, epoch_us, epoch_ns, which say what it counts")
		}
		return nil // as the mapping has it
	case instant, local, date: // the type tells the layout
	}
	t.Layout = c.layout
	switch {
	case c.content == instant && t.Zone != "":
		return fault(", which tells moments, so zone %s has no effect; write layout: timestamp, and no zone", t.Zone)
	case c.content == instant:
		t.Layout = rfc3339
	case t.Zone == "":
		return fault(", which does not tell a zone; name that of the file's clock, such as zone: Europe/Paris or UTC")
	}
	p.time, err = newStamps(t)
	p.time.typed = true
	return err
}

// bindTimes checks columns that are joined, which is done as text.
func (p *parquetRows) bindTimes(cells []*cell) error {
	if p.when.Layout == timestamp {
		return fmt.Errorf("time: %w", errJoined)
	}
	var faults []error
	for _, ref := range p.times {
		if c := cells[ref.index]; slices.Contains([]content{instant, local, either}, c.content) {
			faults = append(faults, fmt.Errorf("time: column %q is %s and tells day and hour; name it alone", ref.column, c.typ))
		}
	}
	return errors.Join(faults...)
}

// errJoined says how dates and times of the day are joined.
var errJoined = errors.New("columns are joined by a space as text, so layout must say how that is written; " +
	"for a DATE and a TIME it is \"2006-01-02 15:04:05\"")
