// Package entityfile reads and writes records of the registry of entities as
// CSV and JSON.
//
// CSV has a header. The columns are id, valid_from, name, zone, parent and
// label.<key> for each label; only id is required, and an empty cell says
// nothing. JSON is an array of objects, or one object a line, with the fields of
// energy.v1.Entity. A valid_from is an RFC 3339 time or, in CSV, a date, which
// stands for its midnight in the zone of the record.
//
// A file with a fault yields no records: the error names every fault by its
// line, up to a bound.
package entityfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/energy-platform/energy/pkg/entity"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Format is how a file is written.
type Format string

// The formats.
const (
	CSV  Format = "csv"
	JSON Format = "json"
)

// FormatOf returns the format that a file's name tells.
func FormatOf(name string) (Format, error) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return CSV, nil
	case ".json", ".ndjson", ".jsonl":
		return JSON, nil
	default:
		return "", fmt.Errorf("%s: the format is not known by its name: say --format csv or json", name)
	}
}

// Read returns the records of a file.
func Read(r io.Reader, f Format) ([]entity.Record, error) {
	in := bufio.NewReader(r)
	if bom, err := in.Peek(3); err == nil && bytes.Equal(bom, []byte("\uFEFF")) {
		if _, err := in.Discard(len(bom)); err != nil {
			return nil, err
		}
	}
	switch f {
	case CSV:
		return readCSV(in)
	case JSON:
		return readJSON(in)
	default:
		return nil, fmt.Errorf("format %q is not known: give csv or json", f)
	}
}

// maxFaults bounds the faults of one error.
const maxFaults = 20

// errMore says that there are more faults than are told.
var errMore = errors.New("more is wrong: mend this first")

// collector takes records in and keeps what is wrong with them.
type collector struct {
	records []entity.Record
	faults  []error
}

// add takes in the record of a place, such as "line 3"; ok is false when no more
// is worth reading.
func (c *collector) add(place string, r *entity.Record, err error) (ok bool) {
	if err == nil {
		err = r.Check()
	}
	if err != nil {
		c.faults = append(c.faults, fmt.Errorf("%s: %w", place, err))
		if len(c.faults) >= maxFaults {
			c.faults = append(c.faults, errMore)
			return false
		}
		return true
	}
	c.records = append(c.records, *r)
	return true
}

func (c *collector) result() ([]entity.Record, error) {
	if len(c.faults) > 0 {
		return nil, errors.Join(c.faults...)
	}
	return c.records, nil
}

func readJSON(in *bufio.Reader) ([]entity.Record, error) {
	d := json.NewDecoder(in)
	first, err := firstByte(in)
	if err != nil {
		return nil, err
	}
	if first == '[' {
		if _, err := d.Token(); err != nil {
			return nil, err
		}
	}
	var c collector
	for n := 1; d.More(); n++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("record %d, byte %d: %w", n, d.InputOffset(), err)
		}
		var e energyv1.Entity
		err := protojson.Unmarshal(raw, &e)
		if err == nil && e.GetValidFrom() != nil {
			err = e.GetValidFrom().CheckValid()
		}
		r := wire.EntityRecord(&e)
		if !c.add(fmt.Sprintf("record %d", n), &r, err) {
			break
		}
	}
	if first == '[' && len(c.faults) == 0 {
		if _, err := d.Token(); err != nil {
			return nil, fmt.Errorf("the list has no end: %w", err)
		}
	}
	return c.result()
}

// firstByte returns the first byte that is no white space, 0 where there is
// none, and leaves it to be read.
func firstByte(in *bufio.Reader) (byte, error) {
	for {
		b, err := in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return 0, nil
		case err != nil:
			return 0, err
		case b != ' ' && b != '\t' && b != '\r' && b != '\n':
			return b, in.UnreadByte()
		}
	}
}

// WriteJSON writes records, one object a line, as Read takes them in.
func WriteJSON(w io.Writer, records []entity.Record) error {
	for i := range records {
		raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(wire.Entity(&records[i]))
		if err != nil {
			return err
		}
		var line bytes.Buffer
		if err := json.Compact(&line, raw); err != nil {
			return err
		}
		line.WriteByte('\n')
		if _, err := w.Write(line.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
