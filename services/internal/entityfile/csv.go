package entityfile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/entity"
)

// labelPrefix begins the columns of labels.
const labelPrefix = "label."

// fixed is the columns besides those of labels, as they are written.
var fixed = []string{"id", "valid_from", "name", "zone", "parent"}

func readCSV(in io.Reader) ([]entity.Record, error) {
	rows := csv.NewReader(in)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty: the first line names the columns, such as id,zone,parent,label.tariff")
	}
	if err != nil {
		return nil, err
	}
	columns := slices.Clone(header)
	if err := checkHeader(columns); err != nil {
		return nil, err
	}
	var c collector
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return c.result()
		}
		if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) && !errors.Is(err, csv.ErrFieldCount) {
			return nil, err // what follows cannot be told apart
		}
		line, _ := rows.FieldPos(0)
		var r entity.Record
		if err == nil {
			r, err = recordOf(columns, row)
		} else {
			err = fmt.Errorf("has %d cells, the header names %d columns", len(row), len(columns))
		}
		if !c.add(fmt.Sprintf("line %d", line), &r, err) {
			return c.result()
		}
	}
}

func checkHeader(columns []string) error {
	for i, name := range columns {
		key, label := strings.CutPrefix(name, labelPrefix)
		switch {
		case slices.Contains(columns[:i], name):
			return fmt.Errorf("line 1: column %q stands twice", name)
		case label:
			if err := entity.CheckLabel(key); err != nil {
				return fmt.Errorf("line 1: column %q: %w", name, err)
			}
		case !slices.Contains(fixed, name):
			return fmt.Errorf("line 1: column %q is not known: there are %s and %s<key>",
				name, strings.Join(fixed, ", "), labelPrefix)
		}
	}
	if !slices.Contains(columns, "id") {
		return fmt.Errorf("line 1: there is no column id: the columns are %s", strings.Join(columns, ", "))
	}
	return nil
}

func recordOf(columns, row []string) (r entity.Record, err error) {
	var from string
	for i, name := range columns {
		switch cell := row[i]; name {
		case "id":
			r.ID = cell
		case "valid_from":
			from = cell
		case "name":
			r.Name = cell
		case "zone":
			r.Zone = cell
		case "parent":
			r.Parent = cell
		default:
			if cell == "" {
				continue
			}
			if r.Labels == nil {
				r.Labels = make(map[string]string)
			}
			r.Labels[strings.TrimPrefix(name, labelPrefix)] = cell
		}
	}
	r.ValidFrom, err = ParseFrom(from, r.Zone)
	return r, err
}

// ParseFrom reads a valid_from: an RFC 3339 time, a date, which is its midnight in
// the zone, or nothing, which is always.
func ParseFrom(text, zone string) (int64, error) {
	if text == "" {
		return entity.Ever, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UnixNano(), nil
	}
	location, err := entity.Location(zone)
	if err != nil {
		location = time.UTC // the zone is refused in any case
	}
	t, err := time.ParseInLocation(time.DateOnly, text, location)
	if err != nil {
		return 0, fmt.Errorf("valid_from %.64q is no date such as 2026-01-31 and no RFC 3339 time", text)
	}
	return t.UnixNano(), nil
}

// WriteCSV writes records with a column for each label that one of them has, as
// Read takes them in.
func WriteCSV(w io.Writer, records []entity.Record) error {
	keys := make(map[string]struct{})
	for i := range records {
		for key := range records[i].Labels {
			keys[key] = struct{}{}
		}
	}
	labels := slices.Sorted(maps.Keys(keys))
	header := slices.Clone(fixed)
	for _, key := range labels {
		header = append(header, labelPrefix+key)
	}
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	for i := range records {
		r := &records[i]
		row := []string{r.ID, FormatFrom(r), r.Name, r.Zone, r.Parent}
		for _, key := range labels {
			row = append(row, r.Labels[key])
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// FormatFrom returns the time from which a record holds in its own zone, empty
// where it has always held.
func FormatFrom(r *entity.Record) string {
	if r.ValidFrom == entity.Ever {
		return ""
	}
	location, err := entity.Location(r.Zone)
	if err != nil {
		location = time.UTC // a zone that this machine's database lacks
	}
	return time.Unix(0, r.ValidFrom).In(location).Format(time.RFC3339)
}
