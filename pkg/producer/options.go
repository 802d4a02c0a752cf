package producer

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Format is how messages are written.
type Format uint8

// The formats.
const (
	Protobuf Format = iota + 1 // energy.v1.ReadingBatch, or energy.v1.Reading
	JSON                       // an array of objects, or an object
)

// ParseFormat returns the format of that name.
func ParseFormat(name string) (Format, error) {
	switch name {
	case "protobuf":
		return Protobuf, nil
	case "json":
		return JSON, nil
	}
	return 0, fmt.Errorf("format %q is not known; use json or protobuf", name)
}

// Defaults and bounds of Options.
const (
	DefaultSubject     = "readings.producer"
	DefaultMaxReadings = 500
	DefaultLinger      = 10 * time.Millisecond
	DefaultBuffer      = 8 << 20
	DefaultTimeout     = 30 * time.Second
	DefaultGrace       = 5 * time.Second

	// DefaultMaxBytes is below the 1 MiB that nats-server takes unless told
	// otherwise, with room for headers.
	DefaultMaxBytes = 900 << 10
)

// Options says how to publish. The zero value of each field is its default.
type Options struct {
	// Subject is what all readings are published on, below "readings.".
	Subject string
	// Format of messages; Protobuf by default.
	Format Format

	// A message is sent when it has MaxReadings, or MaxBytes of payload (less where
	// the connection takes less), or Linger after its first reading, or at Flush.
	// With MaxReadings 1 messages are bare readings.
	MaxReadings int
	MaxBytes    int
	Linger      time.Duration

	// Buffer bounds the bytes of encoded readings without an outcome. A message takes
	// half of it at most.
	Buffer int
	// Timeout is how long a message that is ready is sent again. An attempt takes 5 s
	// or Timeout at most.
	Timeout time.Duration
	// Grace is how long Run goes on for messages under way after its context ended.
	Grace time.Duration

	// RefuseMissing gives up at once when no stream takes the subject and none ever
	// did, for tools that people wait for. Otherwise that is waited for as a broker
	// that restarts.
	RefuseMissing bool
	// Unchecked also sends readings that the platform refuses for certain, so that
	// they end in its quarantine: for relays that judge nothing.
	Unchecked bool
}

func (o *Options) setDefaults() {
	o.Subject = cmp.Or(o.Subject, DefaultSubject)
	o.Format = cmp.Or(o.Format, Protobuf)
	o.MaxReadings = cmp.Or(o.MaxReadings, DefaultMaxReadings)
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMaxBytes)
	o.Linger = cmp.Or(o.Linger, DefaultLinger)
	o.Buffer = cmp.Or(o.Buffer, DefaultBuffer)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Grace = cmp.Or(o.Grace, DefaultGrace)
}

// check reports every fault at once.
func (o *Options) check() error {
	var faults []error
	if err := CheckSubject(o.Subject); err != nil {
		faults = append(faults, err)
	}
	if o.Format != Protobuf && o.Format != JSON {
		faults = append(faults, fmt.Errorf("format %d is not known; use Protobuf or JSON", o.Format))
	}
	for _, positive := range []struct {
		name  string
		value int64
	}{
		{"max readings", int64(o.MaxReadings)}, {"max bytes", int64(o.MaxBytes)}, {"linger", int64(o.Linger)},
		{"buffer", int64(o.Buffer)}, {"timeout", int64(o.Timeout)}, {"grace", int64(o.Grace)},
	} {
		if positive.value < 1 {
			faults = append(faults, fmt.Errorf("%s %d must be positive", positive.name, positive.value))
		}
	}
	return errors.Join(faults...)
}

// CheckSubject says what is wrong with a subject to publish readings on; nil when
// nothing is.
func CheckSubject(subject string) error {
	tail, below := strings.CutPrefix(subject, "readings.")
	empty := strings.HasSuffix(subject, ".") || strings.Contains(subject, "..")
	if !below || tail == "" || empty || strings.ContainsAny(subject, "*> \t\r\n") {
		return fmt.Errorf("subject %q must be readings. and more, without wildcards, spaces and empty parts", subject)
	}
	return nil
}
