package cleaner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/epochs"
	"github.com/energy-platform/energy/services/internal/refusal"
	"github.com/energy-platform/energy/services/internal/stage"
)

var errUnwell = errors.New("the stage is unwell")

// failing judges as a cleaner does, and panics over readings of value 13, once it has
// judged those before. It fails at all at value 14.
func failing(t *testing.T) func() cleaner.Process {
	t.Helper()
	newest := growing(t, 300).Newest()
	return func() cleaner.Process {
		c := cleaner.New(0, epochs.Only(newest))
		return func(ctx context.Context, messages []broker.Message) (stage.Output, error) {
			for i := range messages {
				batch, err := wire.DecodeBronze(messages[i].Data)
				if err != nil {
					panic("a decoder that fails")
				}
				for row := range batch.Rows() {
					if row.Reading.Value == 14 {
						return stage.Output{}, errUnwell
					}
					if row.Reading.Value == 13 {
						_, _ = c.Clean(ctx, messages[:i])
						panic("at the disco")
					}
				}
			}
			return c.Clean(ctx, messages)
		}
	}
}

// bronzeWith is a message of BRONZE with readings of these values, each stamped with it.
func bronzeWith(t *testing.T, sequence uint64, again bool, values ...float64) broker.Message {
	t.Helper()
	var e wire.BronzeEncoder
	for _, v := range values {
		r := reading.Reading{EntityID: "a", Metric: "u", Unit: "V", Value: v, Time: 1e18 + int64(v)}
		stamp := reading.Stamp{Received: 1e18, Sequence: uint64(v)}
		if again {
			e.Release(r, stamp, nil)
		} else {
			e.Add(r, stamp)
		}
	}
	data, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return broker.Message{Sequence: sequence, Subject: broker.BronzeSubject(0), Data: data}
}

// gave lists what an output says of each reading, by value.
func gave(t *testing.T, out stage.Output) (all []string) {
	t.Helper()
	for _, m := range out.Messages {
		if strings.HasPrefix(m.Subject, "silver.") {
			batch, err := wire.DecodeSilver(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range batch.Versions() {
				all = append(all, fmt.Sprintf("passed %g", v.Value))
			}
			continue
		}
		q, err := wire.DecodeQuarantine(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for r := range q.Refusals() {
			what := fmt.Sprintf("message %d", r.Stamp.Sequence)
			if r.Stamp.Stream != refusal.ForeignStream {
				what = fmt.Sprint(r.Reading.Value)
				if r.Stamp.Sequence != uint64(r.Reading.Value) || r.Reading.EntityID != "a" || r.Reading.Unit != "V" {
					t.Errorf("%+v is refused", r)
				}
			}
			if !strings.Contains(r.Detail, "bug") && q.Rule == "undecodable" {
				t.Errorf("it is refused for %q", r.Detail)
			}
			all = append(all, fmt.Sprintf("%s %s by %s", q.Stage, what, q.Rule))
		}
	}
	slices.Sort(all)
	return all
}

// TestABadReadingIsRefusedAlone: a reading over which judging panics goes to quarantine as
// itself, and those that came with it are judged (invariant 5).
func TestABadReadingIsRefusedAlone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		again        bool
		messages     [][]float64 // values by message
		out, poison  []string
		counts, bad  broker.Counts
		undecodable  bool
		stageRefuses broker.Counts // of the first message
	}{
		"one of many": {
			messages: [][]float64{{1, 2, 13, 4, 500}, {6, 7}},
			out:      []string{"passed 1", "passed 2", "passed 4", "passed 6", "passed 7", "silver 500 by out_of_range"},
			poison:   []string{"silver 13 by undecodable"},
			counts:   broker.Counts{In: 6, Out: 5, Quarantined: 1}, bad: broker.Counts{In: 1, Quarantined: 1},
			stageRefuses: broker.Counts{In: 5, Out: 3, Quarantined: 2},
		},
		"all of them": {
			messages: [][]float64{{13, 13, 13}},
			poison:   []string{"silver 13 by undecodable", "silver 13 by undecodable", "silver 13 by undecodable"},
			bad:      broker.Counts{In: 3, Quarantined: 3}, stageRefuses: broker.Counts{In: 3, Quarantined: 3},
		},
		"of those that come back": {
			again: true, messages: [][]float64{{1, 13}}, out: []string{"passed 1"}, poison: []string{"silver 13 by undecodable"},
			counts: broker.Counts{In: 1, Out: 1, Again: 1}, bad: broker.Counts{In: 1, Quarantined: 1, Again: 1},
			stageRefuses: broker.Counts{In: 2, Out: 1, Quarantined: 1, Again: 2},
		},
		"a message whose readings are not known": {
			undecodable: true, messages: [][]float64{{}}, poison: []string{"silver message 1 by undecodable"},
			bad: broker.Counts{In: 1, Quarantined: 1}, stageRefuses: broker.Counts{In: 1, Quarantined: 1},
		},
	} {
		var messages []broker.Message
		for n, values := range tt.messages {
			messages = append(messages, bronzeWith(t, uint64(n+1), tt.again, values...))
			if tt.undecodable {
				messages[n].Data = []byte("no batch")
			}
		}
		log := slog.New(slog.DiscardHandler)
		out, poison, err := cleaner.NewIsolator(failing(t), log).Judge(t.Context(), messages)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{tt.out, tt.poison, tt.counts, tt.bad},
			[]any{gave(t, out), gave(t, poison), out.Counts, poison.Counts}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		_, cause := stage.Guard(t.Context(), log, messages, func() (any, error) { panic("at the disco") })
		refused, err := cleaner.NewIsolator(failing(t), log).Refuse(t.Context(), &messages[0], cause)
		if err != nil || refused.Counts != tt.stageRefuses {
			t.Errorf("%s: a stage refuses %+v, %v", name, refused.Counts, err)
		}
	}
}

// TestOnlyPanicsAreIsolated: an error of the stage ends it, and what the broker does not
// take for its size is kept whole, as far as it takes that.
func TestOnlyPanicsAreIsolated(t *testing.T) {
	t.Parallel()
	i := cleaner.NewIsolator(failing(t), slog.New(slog.DiscardHandler))
	for _, values := range [][]float64{{1, 14}, {1, 13, 14}} {
		messages := []broker.Message{bronzeWith(t, 1, false, values...)}
		if _, _, err := i.Judge(t.Context(), messages); !errors.Is(err, errUnwell) {
			t.Errorf("of %v it says %v", values, err)
		}
	}
	m := bronzeWith(t, 7, false, 1, 2)
	out, err := i.Refuse(t.Context(), &m, broker.ErrTooLarge)
	if err != nil || out.Counts != (broker.Counts{In: 1, Quarantined: 1}) {
		t.Errorf("refused is %+v, %v", out.Counts, err)
	}
}
