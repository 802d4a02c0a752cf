package aggregator

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/wire"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// TestABadMessageStopsNoProjection projects a message that no row can hold, its rule being
// longer than a key may be, among messages that can be stored (invariant 4).
func TestABadMessageStopsNoProjection(t *testing.T) {
	t.Parallel()
	d := deps(t)
	d.Report = func(string, error) {}
	at := time.Now().Truncate(time.Microsecond)
	old, err := d.Store.LoadPosition(t.Context(), QuarantineStage, 0)
	if err != nil {
		t.Fatal(err)
	}
	position, err := d.Store.ResetPosition(t.Context(), old, broker.StreamQuarantine, at, 0)
	if err != nil {
		t.Fatal(err)
	}
	var messages []broker.Message
	for i, rule := range []string{"limit", "limit", unstorable(), "limit"} {
		messages = append(messages, broker.Message{
			Subject: broker.QuarantineSubject("silver", "limit"), Sequence: uint64(i) + 1, Received: at,
			Data: refused(t, rule, reading.Stamp{Received: 1, Sequence: uint64(i)}),
		})
	}
	p := &projection{Deps: d.Deps, position: position}
	if err := p.store(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	stored, err := d.Store.LoadPosition(t.Context(), QuarantineStage, 0)
	if err != nil || stored.Sequence != 4 || stored.Counts != (goldstore.Counts{In: 8, Out: 8}) {
		t.Errorf("the position is %+v, %v", stored, err)
	}
	var got []goldstore.QuarantineCount
	err = d.Store.Read(t.Context(), func(tx *goldstore.ReadTx) (err error) {
		got, err = tx.QuarantineCounts(t.Context())
		return err
	})
	want := []goldstore.QuarantineCount{{Stage: "quarantine", Rule: "undecodable", Open: 1}, {Stage: "silver", Rule: "limit", Open: 6}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(diff, err)
	}
}

// unstorable returns the name of a rule that is longer than a key may be, and
// without a pattern that would let it be stored compressed.
func unstorable() string {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for range 1000 {
		fmt.Fprintf(&b, "%016x", random.Uint64())
	}
	return b.String()
}

// refused returns a message of QUARANTINE with two entries of a rule.
func refused(t *testing.T, rule string, stamp reading.Stamp) []byte {
	t.Helper()
	var e wire.QuarantineEncoder
	for range 2 {
		e.Add(wire.Refusal{Stamp: stamp})
		stamp.Index++
	}
	data, err := e.Marshal("silver", reading.Limit, 0)
	if err != nil {
		t.Fatal(err)
	}
	var batch energyv1.QuarantineBatch
	if err := proto.Unmarshal(data, &batch); err != nil {
		t.Fatal(err)
	}
	batch.Rule = rule
	if data, err = proto.Marshal(&batch); err != nil {
		t.Fatal(err)
	}
	return data
}
