package janitor

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/localpg/pgtest"
	"github.com/energy-platform/energy/services/internal/aggregator"
	"github.com/energy-platform/energy/services/internal/rejudge"
	"github.com/energy-platform/energy/services/internal/stage"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// kept is how many messages of BRONZE there are at first. The stages have read all.
const kept = 10

// atWork returns a janitor on servers of its own that keeps nothing of what was read.
func atWork(t *testing.T) *janitor {
	t.Helper()
	js, err := broker.JetStream(natstest.Connect(t, natstest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	topology := broker.DefaultTopology()
	topology.Partitions = 1
	if err := broker.Provision(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	url := pgtest.Database(t, "gold", func(ctx context.Context, url string) error {
		_, err := goldstore.Migrate(ctx, url)
		return err
	})
	store, err := goldstore.Open(t.Context(), url, goldstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	j := &janitor{alarmed: make(map[string]bool), Deps: Deps{
		JetStream: js, Store: store, Topology: topology, Logger: slog.New(slog.DiscardHandler),
		Synced: synced(0),
		Report: func(string, error) {}, Note: func(string, string) {}, Forget: func(string) {},
	}}
	if j.Positions, err = broker.OpenPositions(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	if j.Epochs, err = broker.OpenEpochs(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	for range kept {
		publish(t, j, broker.BronzeSubject(0))
	}
	j.put(t, stage.PositionKey("silver", 0), j.behind(t, broker.StreamBronze, kept))
	return j
}

// synced is a broker that syncs as often.
func synced(every time.Duration) func(context.Context) (time.Duration, error) {
	return func(context.Context) (time.Duration, error) { return every, nil }
}

// behind is the position of a reader of a stream as it is.
func (j *janitor) behind(t *testing.T, stream string, sequence uint64) broker.Position {
	t.Helper()
	s, err := broker.Stream(t.Context(), j.JetStream, stream)
	if err != nil {
		t.Fatal(err)
	}
	return broker.Position{Stream: stream, Created: s.Created, Sequence: sequence}
}

func (j *janitor) put(t *testing.T, key string, at broker.Position) {
	t.Helper()
	_, revision, err := j.Positions.Load(t.Context(), key)
	if err == nil {
		_, err = j.Positions.Store(t.Context(), key, at, revision)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// first sweeps and returns where BRONZE begins then.
func (j *janitor) first(t *testing.T) uint64 {
	t.Helper()
	return j.firstOf(t, broker.StreamBronze)
}

// firstOf sweeps and returns where a stream begins then.
func (j *janitor) firstOf(t *testing.T, name string) uint64 {
	t.Helper()
	if err := j.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := broker.Stream(t.Context(), j.JetStream, name)
	if err != nil {
		t.Fatal(err)
	}
	return s.FirstSequence
}

// publish puts a message into a stream.
func publish(t *testing.T, j *janitor, subject string) {
	t.Helper()
	if _, err := j.JetStream.Publish(t.Context(), subject, []byte("x")); err != nil {
		t.Fatal(err)
	}
}

// refuse has gold read SILVER up to a sequence and rest on what it has refused as another.
func (j *janitor) refuse(t *testing.T, sequence, refused uint64) {
	t.Helper()
	silver, quarantine := j.behind(t, broker.StreamSilver, sequence), j.behind(t, broker.StreamQuarantine, refused)
	stored, err := j.Store.LoadPosition(t.Context(), aggregator.Stage, 0)
	if err == nil && stored.Stream == "" {
		stored, err = j.Store.ResetPosition(t.Context(), stored, broker.StreamSilver, silver.Created, 0)
	}
	if err == nil {
		err = j.Store.ProjectQuarantine(t.Context(), goldstore.PositionMove{
			Stage: aggregator.Stage, Stream: broker.StreamSilver, Created: silver.Created,
			From: stored.Sequence, To: sequence,
			Refused: goldstore.Refused{Created: quarantine.Created, Sequence: refused},
		}, nil, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsReadIsKept has readers besides the stages, of all sorts (invariant 19).
func TestWhatIsReadIsKept(t *testing.T) {
	t.Parallel()
	at := func(change func(*broker.Position)) func(broker.Position) broker.Position {
		return func(p broker.Position) broker.Position { change(&p); return p }
	}
	stands := at(func(*broker.Position) {})
	expires := func(in time.Duration) func(broker.Position) broker.Position {
		return at(func(p *broker.Position) { p.Expires = time.Now().Add(in) })
	}
	for name, tt := range map[string]struct {
		key   string
		at    func(bronze broker.Position) broker.Position
		first uint64
	}{
		"a later build's reader": {"later.0", stands, 5},
		"one that has not begun": {"later", at(func(p *broker.Position) {
			*p = broker.Position{Stream: broker.StreamBronze}
		}), 1},
		"one of the stream as it was":  {"later", at(func(p *broker.Position) { p.Created = time.Unix(1, 0) }), 1},
		"one that nothing is known of": {"a/b=c", at(func(p *broker.Position) { *p = broker.Position{} }), 1},
		"one of another stream":        {"later", at(func(p *broker.Position) { p.Stream = broker.StreamGold }), kept},
		"one that has read all":        {"later", at(func(p *broker.Position) { p.Sequence = kept }), kept},
		"a batch run that lives":       {"hold-batch.1.BRONZE", expires(time.Hour), 5},
		"a batch run that has died":    {"hold-batch.1.BRONZE", expires(-time.Hour), kept},
		"what has been judged again":   {"rejudge-2.0", stands, kept},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := atWork(t)
			j.put(t, tt.key, tt.at(j.behind(t, broker.StreamBronze, 4)))
			if first := j.first(t); first != tt.first {
				t.Errorf("BRONZE begins at %d, not %d", first, tt.first)
			}
		})
	}
}

// TestWhatIsHeldIsKept has a reader that is no stage read meanwhile (invariant 19).
func TestWhatIsHeldIsKept(t *testing.T) {
	t.Parallel()
	j := atWork(t)
	hold := broker.Hold{Reader: "batch.20260101T000000Z-abcdef", Behind: []broker.Position{
		j.behind(t, broker.StreamBronze, 6), j.behind(t, broker.StreamBronze, 3), j.behind(t, broker.StreamSilver, 0),
	}}
	err := j.Positions.Holding(t.Context(), hold, func(context.Context) error {
		if first := j.first(t); first != 4 {
			t.Errorf("while it is held BRONZE begins at %d", first)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if first := j.first(t); first != kept {
		t.Errorf("BRONZE begins at %d when nothing is held any more", first)
	}
}

// TestWhatIsRejudgedIsKept has an epoch that is not applied: what is judged again reaches
// beyond its markers, to where that ends, and until this is known to wherever BRONZE ends
// (invariant 19).
func TestWhatIsRejudgedIsKept(t *testing.T) {
	t.Parallel()
	j := atWork(t)
	for epoch := range uint64(3) {
		if err := j.Epochs.Add(t.Context(), epoch+1, []byte("units: {}")); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Epochs.SetApplied(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	created := j.behind(t, broker.StreamBronze, 0).Created
	marked := func(epoch uint64, m broker.Marks) {
		t.Helper()
		m.Created = created
		_, revision, err := j.Epochs.Marks(t.Context(), epoch)
		if err == nil {
			err = j.Epochs.SetMarks(t.Context(), epoch, m, revision)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	first := func(what string, want uint64) {
		t.Helper()
		if got := j.first(t); got != want {
			t.Errorf("%s: BRONZE begins at %d, not %d", what, got, want)
		}
	}
	marked(2, broker.Marks{After: 1})
	first("its markers are looked for", 2)
	marked(2, broker.Marks{After: 1, Sequences: []uint64{3}})
	first("nothing is judged again", 2)
	j.put(t, rejudge.Key(2, 0), j.behind(t, broker.StreamBronze, 4))
	first("behind the marker", 5)
	marked(3, broker.Marks{After: 7})
	first("a later epoch's markers are looked for: the earlier one holds what it has to read", 5)
	marked(3, broker.Marks{After: 1, Sequences: []uint64{4}})
	j.put(t, rejudge.Key(3, 0), j.behind(t, broker.StreamBronze, 5))
	first("a later epoch judges again what that would", 6)
	marked(3, broker.Marks{After: 1, Sequences: []uint64{4}, Ends: []uint64{8}})
	first("short of the end", 6)
	j.put(t, rejudge.Key(3, 0), j.behind(t, broker.StreamBronze, 8))
	first("at the end", kept)
}

// TestWhatIsNotSyncedIsKept has a broker whose machine may die: what was read is there
// until what became of it is on the disk (invariant 19).
func TestWhatIsNotSyncedIsKept(t *testing.T) {
	t.Parallel()
	silver := stage.PositionKey("silver", 0)
	read := func(t *testing.T, j *janitor, sequence, want uint64) {
		t.Helper()
		j.put(t, silver, j.behind(t, broker.StreamBronze, sequence))
		if first := j.first(t); first != want {
			t.Errorf("read up to %d, BRONZE begins at %d, not %d", sequence, first, want)
		}
	}
	pass := func(j *janitor, d time.Duration) {
		for i := range j.seen {
			j.seen[i].at = j.seen[i].at.Add(-d)
		}
	}
	t.Run("ForTheTimeThatASyncMayTake", func(t *testing.T) {
		t.Parallel()
		j := atWork(t)
		j.Synced = synced(time.Hour)
		read(t, j, 4, 1)
		pass(j, time.Hour)
		read(t, j, 6, 1) // a sync begins
		pass(j, time.Hour/4)
		read(t, j, 8, 5)
		pass(j, time.Hour)
		read(t, j, kept, 7)
		pass(j, 2*time.Hour)
		read(t, j, 9, kept)
		if len(j.seen) != 2 {
			t.Errorf("%d listings are kept", len(j.seen))
		}
	})
	t.Run("AnewWithAnotherConnection", func(t *testing.T) {
		t.Parallel()
		j := atWork(t)
		j.Synced = synced(time.Hour)
		read(t, j, 4, 1)
		pass(j, 2*time.Hour)
		j.seen[0].over = broker.Sweeper{}
		read(t, j, 4, 1)
	})
	t.Run("AsLongAsTheBrokerOfThatConnectionMayTake", func(t *testing.T) {
		t.Parallel()
		j := atWork(t)
		j.Synced = synced(time.Hour)
		read(t, j, 4, 1)
		j.Synced = synced(4 * time.Hour)
		j.seen[0].over = broker.Sweeper{} // it was started again with other settings
		read(t, j, 4, 1)
		pass(j, 4*time.Hour)
		read(t, j, 4, 1)
		pass(j, time.Hour)
		read(t, j, 4, 5)
	})
	t.Run("AsTheBrokerSaysOnceItAnswers", func(t *testing.T) {
		t.Parallel()
		j := atWork(t)
		j.Synced = func(context.Context) (time.Duration, error) { return 4 * time.Hour, errors.New("no answer") }
		read(t, j, 4, 1)
		pass(j, 2*time.Hour)
		read(t, j, 6, 1)
		j.Synced = synced(time.Hour)
		read(t, j, 6, 5)
		j.Synced = synced(4 * time.Hour) // not asked again over this connection
		pass(j, 2*time.Hour)
		read(t, j, 6, 7)
	})
	t.Run("NoShorterThanItHasSaidBefore", func(t *testing.T) {
		t.Parallel()
		j := atWork(t)
		j.Synced = synced(4 * time.Hour)
		read(t, j, 4, 1)
		j.Synced = func(context.Context) (time.Duration, error) { return time.Hour, errors.New("no answer") }
		j.seen[0].over = broker.Sweeper{} // it was started again, and cannot be asked yet
		read(t, j, 4, 1)
		pass(j, 2*time.Hour)
		read(t, j, 6, 1)
		pass(j, 3*time.Hour)
		read(t, j, 6, 5)
	})
	t.Run("NorWhatGoldHasRefused", func(t *testing.T) {
		t.Parallel()
		j := atWork(t)
		j.Synced = synced(time.Hour)
		for range kept {
			publish(t, j, broker.SilverSubject(0))
			publish(t, j, broker.QuarantineSubject(aggregator.Stage, "limit"))
		}
		reads := func(sequence, refused, want uint64) {
			t.Helper()
			j.refuse(t, sequence, refused)
			if first := j.firstOf(t, broker.StreamSilver); first != want {
				t.Errorf("gold has read up to %d, SILVER begins at %d, not %d", sequence, first, want)
			}
		}
		reads(4, 2, 1)
		pass(j, 2*time.Hour)
		reads(6, 4, 5)
		pass(j, 2*time.Hour)
		reads(8, kept+1, 5) // QUARANTINE has lost that
		pass(j, 2*time.Hour)
		reads(9, kept, 5)
	})
	t.Run("UntilAStageHasMadeWhatWasLostAgain", func(t *testing.T) {
		t.Parallel()
		j := atWork(t)
		at := j.behind(t, broker.StreamBronze, kept)
		lost := j.behind(t, broker.StreamSilver, 7)
		at.Outputs = []broker.Output{{Stream: lost.Stream, Created: lost.Created, Sequence: lost.Sequence}}
		j.put(t, silver, at)
		if first := j.first(t); first != 1 {
			t.Errorf("SILVER has lost its tail, BRONZE begins at %d", first)
		}
	})
}

// TestAStreamInTroubleIsAlone has READINGS fail: the others are swept.
func TestAStreamInTroubleIsAlone(t *testing.T) {
	t.Parallel()
	j := atWork(t)
	for range 2 {
		if _, err := j.JetStream.Publish(t.Context(), "readings.x", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	j.put(t, stage.PositionKey("ingest", 0), j.behind(t, broker.StreamReadings, 2))
	stream, err := j.JetStream.Stream(t.Context(), broker.StreamReadings)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.DenyPurge = true
	if _, err := j.JetStream.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := j.round(t.Context()); err == nil || !strings.Contains(err.Error(), broker.StreamReadings) {
		t.Errorf("the round gives %v", err)
	}
	bronze, err := broker.Stream(t.Context(), j.JetStream, broker.StreamBronze)
	if err != nil || bronze.FirstSequence != kept {
		t.Errorf("BRONZE begins at %d, %v", bronze.FirstSequence, err)
	}
}

// TestTroubleIsThatOfItsStream: where the broker removes nothing from a stream health
// says that of this stream, and the others are swept. That it cannot be told what was
// read is said where it cannot.
func TestTroubleIsThatOfItsStream(t *testing.T) {
	t.Parallel()
	j := atWork(t)
	var said error
	j.Report = func(component string, trouble error) {
		if component == Name {
			said = trouble
		}
	}
	sweep := func(wanted ...string) {
		t.Helper()
		said = nil
		j.sweep(t.Context())
		for _, words := range wanted {
			if said == nil || !strings.Contains(said.Error(), words) {
				t.Errorf("health says %v, want %q", said, words)
			}
		}
		if said != nil && len(wanted) == 0 {
			t.Errorf("health says %v", said)
		}
	}
	sweep()
	for range kept {
		publish(t, j, "readings.one")
	}
	readings := broker.IngressStream(0)
	j.put(t, stage.PositionKey("ingest", 0), j.behind(t, readings, kept))
	denyPurge(t, j, broker.StreamBronze)
	for range kept {
		publish(t, j, broker.BronzeSubject(0))
	}
	j.put(t, stage.PositionKey("silver", 0), j.behind(t, broker.StreamBronze, 2*kept))
	sweep("BRONZE", "keeps its history")
	if strings.Contains(said.Error(), "cannot be told") || strings.Contains(said.Error(), readings) {
		t.Errorf("health says %v", said)
	}
	if s, err := broker.Stream(t.Context(), j.JetStream, readings); err != nil || s.FirstSequence != kept {
		t.Errorf("%s begins at %d, %v", readings, s.FirstSequence, err)
	}
	j.Store.Close()
	sweep("all streams keep their history", "cannot be told what was read")
}

// denyPurge has the broker refuse to remove anything from a stream.
func denyPurge(t *testing.T, j *janitor, name string) {
	t.Helper()
	s, err := j.JetStream.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.DenyPurge, config.AllowRollup = true, false
	if _, err := j.JetStream.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}
