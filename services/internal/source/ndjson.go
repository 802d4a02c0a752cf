package source

import (
	"strings"

	"github.com/energy-platform/energy/pkg/bronze"
	"github.com/energy-platform/energy/pkg/reading"
)

// jsonRows reads one reading a line, with the decoder that ingest has: a line
// means here what it means when it is published as it is.
type jsonRows struct {
	file    string
	lines   *lines
	counts  *Counts
	decoder bronze.Decoder
	payload []byte
	slips   slips
}

// slips are the names of members that are close to a field's, and where each
// stands first. Names that are close to none are not kept.
type slips struct {
	at      Position // of what is read
	told    map[string]bool
	waiting []Slip
}

// maxSlips bounds the names that are remembered.
const maxSlips = 64

// Slip is a member that is no field of a reading but is named almost like one.
type Slip struct {
	Position
	Name, Field string
}

func (s *slips) note(name []byte) {
	field, ok := bronze.FieldLike(string(name))
	if !ok || s.told[string(name)] || len(s.told) == maxSlips {
		return
	}
	if s.told == nil {
		s.told = make(map[string]bool)
	}
	s.told[string(name)] = true
	s.waiting = append(s.waiting, Slip{s.at, string(name), field})
}

func (j *jsonRows) read(queue []item) ([]item, error) {
	for {
		ln, err := j.lines.next()
		if err != nil {
			return queue, err
		}
		if strings.TrimSpace(ln.text) == "" {
			continue
		}
		j.counts.Rows++
		return j.decode(queue, ln), nil
	}
}

// decode appends what stands on a line.
func (j *jsonRows) decode(queue []item, ln line) []item {
	at := Position{Line: ln.number}
	fault := func(f bronze.Fault) {
		queue = append(queue, item{at: at, err: j.fault(ln, f.Detail)})
	}
	if ln.cut {
		fault(bronze.Fault{Detail: "the line is longer than 1 MiB"})
		return queue
	}
	j.payload = append(j.payload[:0], ln.text...)
	j.slips.at = at
	if j.decoder.Unknown == nil {
		j.decoder.Unknown = j.slips.note
	}
	unknown := j.decoder.Decode("application/x-ndjson", j.payload, func(_ uint32, r reading.Reading) {
		queue = append(queue, item{at: at, reading: r})
	}, fault)
	j.counts.Unknown += int64(unknown)
	return queue
}

func (j *jsonRows) fault(ln line, detail string) *RowError {
	if !ln.ended {
		detail = halfWritten
	}
	detail = strings.TrimSuffix(detail, "; this line is lost")
	detail = strings.Replace(detail, " of the message", " of the line", 1)
	return &RowError{File: j.file, Position: Position{Line: ln.number}, Hint: detail}
}

// halfWritten is the hint for a last line that its writer has not finished.
const halfWritten = "the file ends here without a newline, the line seems half-written: " +
	"publish the file again when its writer is done"
