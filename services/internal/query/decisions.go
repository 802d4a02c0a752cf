package query

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/decide"
)

const (
	// maxDecided bounds the entries that one call decides on.
	maxDecided = 1000
	// maxReason bounds the bytes of a reason.
	maxReason = 1024
)

// entries is what is decided on.
type entries = []goldstore.QuarantineEntry

// ReleaseQuarantine lets readings pass the rules that refused them.
func (q *Quarantine) ReleaseQuarantine(
	ctx context.Context, req *energyv1.ReleaseQuarantineRequest,
) (*energyv1.ReleaseQuarantineResponse, error) {
	by, err := q.decision(req)
	if err != nil {
		return nil, err
	}
	d, err := q.run(ctx, req.GetSelection(), func(ctx context.Context, e entries) (decide.Result, error) {
		return q.decide.Release(ctx, e, by)
	})
	if err != nil {
		return nil, err
	}
	q.tell(ctx, "release", by, &d)
	return &energyv1.ReleaseQuarantineResponse{
		Done: uint32(len(d.Done)), Already: uint32(d.Already), Pending: d.pending, Refused: d.refused(), Next: d.next,
	}, nil
}

// DiscardQuarantine notes that readings are not wanted.
func (q *Quarantine) DiscardQuarantine(
	ctx context.Context, req *energyv1.DiscardQuarantineRequest,
) (*energyv1.DiscardQuarantineResponse, error) {
	by, err := q.decision(req)
	if err != nil {
		return nil, err
	}
	d, err := q.run(ctx, req.GetSelection(), func(ctx context.Context, e entries) (decide.Result, error) {
		return q.decide.Discard(ctx, e, by)
	})
	if err != nil {
		return nil, err
	}
	q.tell(ctx, "discard", by, &d)
	return &energyv1.DiscardQuarantineResponse{
		Done: uint32(len(d.Done)), Already: uint32(d.Already), Pending: d.pending, Refused: d.refused(), Next: d.next,
	}, nil
}

// RejudgeQuarantine judges readings again, and decodes again what could not be
// decoded.
func (q *Quarantine) RejudgeQuarantine(
	ctx context.Context, req *energyv1.RejudgeQuarantineRequest,
) (*energyv1.RejudgeQuarantineResponse, error) {
	d, err := q.run(ctx, req.GetSelection(), q.decide.Rejudge)
	if err != nil {
		return nil, err
	}
	q.tell(ctx, "rejudge", reading.Decision{}, &d)
	return &energyv1.RejudgeQuarantineResponse{
		Done: uint32(len(d.Done)), Already: uint32(d.Already), Pending: d.pending, Refused: d.refused(), Next: d.next,
	}, nil
}

// tell logs what was decided.
func (q *Quarantine) tell(ctx context.Context, what string, by reading.Decision, d *decided) {
	q.log.InfoContext(ctx, "quarantine decided on", "decision", what, "person", by.Person, "reason", by.Reason,
		"done", len(d.Done), "already", d.Already, "refused", len(d.Refused))
}

// decision checks who decides, and why.
func (q *Quarantine) decision(req interface {
	GetPerson() string
	GetReason() string
}) (by reading.Decision, err error) {
	by = reading.Decision{Person: req.GetPerson(), Reason: req.GetReason(), At: q.server.now().UnixNano()}
	switch {
	case by.Person == "":
		return by, invalid("person", "is required: say who decides")
	case nameFault(by.Person) != "":
		return by, invalid("person", "%s", nameFault(by.Person))
	case by.Reason == "":
		return by, invalid("reason", "is required: say why")
	case strings.ContainsFunc(by.Reason, unicode.IsControl):
		return by, invalid("reason", "has control characters: give text of one line")
	case len(by.Reason) > maxReason:
		return by, invalid("reason", "has %d bytes: at most %d are allowed", len(by.Reason), maxReason)
	}
	return by, nil
}

// decided is what became of a selection.
type decided struct {
	decide.Result
	pending uint32
	next    string
}

func (d *decided) refused() (out []*energyv1.QuarantineRefusal) {
	for _, r := range d.Refused {
		out = append(out, &energyv1.QuarantineRefusal{Key: r.Key.String(), Reason: r.Reason})
	}
	return out
}

// run decides on the entries of a selection, and waits until their states show it.
func (q *Quarantine) run(
	ctx context.Context, s *energyv1.QuarantineSelection,
	what func(context.Context, entries) (decide.Result, error),
) (d decided, err error) {
	chosen, err := parseSelection(s)
	if err != nil {
		return d, err
	}
	ctx, cancel := context.WithTimeout(ctx, q.server.timeout)
	defer cancel()
	found, err := q.entries(ctx, chosen)
	if err != nil {
		return d, statusOf(err)
	}
	if chosen.keys == nil && len(found) == maxDecided {
		d.next = found[len(found)-1].Key().String()
	}
	if d.Result, err = what(ctx, found); err != nil {
		if fromStore, ok := errors.AsType[storeError](err); ok {
			return d, statusOf(fromStore.error)
		}
		return d, statusOf(brokerError{err})
	}
	for _, key := range chosen.missing(found) {
		d.Refused = append(d.Refused, decide.Refusal{Key: key, Reason: "there is no such entry"})
	}
	d.pending, err = q.await(ctx, d.Done, before(found))
	return d, statusOf(err)
}

// chosen is a checked selection.
type chosen struct {
	keys   []goldstore.QuarantineKey // nil with a filter
	filter goldstore.QuarantineFilter
	after  *goldstore.QuarantineKey
}

func parseSelection(s *energyv1.QuarantineSelection) (c chosen, err error) {
	if len(s.GetKeys()) > maxDecided {
		return c, invalid("selection.keys", "has %d keys: at most %d are allowed, decide in parts",
			len(s.GetKeys()), maxDecided)
	}
	seen := make(map[goldstore.QuarantineKey]bool)
	for i, text := range s.GetKeys() {
		key, err := goldstore.ParseQuarantineKey(text)
		if err != nil {
			return c, invalid(field("selection.keys", i), "%.128q %v", text, err)
		}
		if !seen[key] {
			c.keys = append(c.keys, key)
		}
		seen[key] = true
	}
	switch {
	case len(c.keys) == 0 && s.GetFilter() == nil:
		return c, invalid("selection", "is required: give keys, or a filter, which may be empty for all")
	case len(c.keys) > 0 && s.GetFilter() != nil:
		return c, invalid("selection.filter", "and selection.keys exclude each other: give one of them")
	}
	if c.filter, err = quarantineFilter("selection.filter", s.GetFilter()); err != nil {
		return c, err
	}
	c.after, err = after("selection.after", s.GetAfter())
	return c, err
}

// missing returns the keys that no entry has.
func (c *chosen) missing(found entries) (missing []goldstore.QuarantineKey) {
	there := before(found)
	for _, key := range c.keys {
		if _, ok := there[key]; !ok {
			missing = append(missing, key)
		}
	}
	return missing
}

// before returns the states that entries had.
func before(found entries) map[goldstore.QuarantineKey]goldstore.QuarantineState {
	states := make(map[goldstore.QuarantineKey]goldstore.QuarantineState, len(found))
	for i := range found {
		states[found[i].Key()] = found[i].State
	}
	return states
}

// entries reads the entries that are chosen, a bounded number.
func (q *Quarantine) entries(ctx context.Context, c chosen) (found entries, err error) {
	err = q.server.store.Read(ctx, func(tx *goldstore.ReadTx) error {
		if c.keys != nil {
			found, err = tx.QuarantineEntries(ctx, c.keys, false)
			return err
		}
		page := goldstore.QuarantinePage{After: c.after, Limit: maxDecided}
		return tx.Quarantine(ctx, c.filter, page, func(e *goldstore.QuarantineEntry) error {
			found = append(found, *e)
			return nil
		})
	})
	return found, err
}

// await waits, for a bounded time, until the states of entries have changed. It
// returns how many have not.
func (q *Quarantine) await(
	ctx context.Context, keys []goldstore.QuarantineKey, was map[goldstore.QuarantineKey]goldstore.QuarantineState,
) (pending uint32, err error) {
	if len(keys) == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(settle, q.server.timeout/2))
	defer cancel()
	backoff := broker.Backoff{Min: 20 * time.Millisecond, Max: 500 * time.Millisecond}
	for pending = uint32(len(keys)); pending > 0; {
		if err := backoff.Wait(ctx); err != nil {
			return pending, nil //nolint:nilerr // what was decided is stored: the answer says that it does not show yet
		}
		var now entries
		err := q.server.store.Read(ctx, func(tx *goldstore.ReadTx) (err error) {
			now, err = tx.QuarantineEntries(ctx, keys, false)
			return err
		})
		if errors.Is(err, context.DeadlineExceeded) {
			return pending, nil
		}
		if err != nil {
			return pending, err
		}
		pending = 0
		for i := range now {
			if now[i].State == was[now[i].Key()] {
				pending++
			}
		}
	}
	return 0, nil
}

// halfOpen checks the ends of a half-open span, either of which may be absent.
func halfOpen(path string, start, end *timestamppb.Timestamp) (from, to *int64, err error) {
	given := func(name string, t *timestamppb.Timestamp) *int64 {
		if t == nil || err != nil {
			return nil
		}
		var at int64
		at, err = instant(path+name, t, 0)
		return &at
	}
	from, to = given("start", start), given("end", end)
	if err == nil && from != nil && to != nil && *from >= *to {
		err = invalid(path+"end", "must be after %sstart", path)
	}
	return from, to, err
}
