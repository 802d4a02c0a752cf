package batch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/energy-platform/energy/pkg/broker"
)

// metered returns a meter and what it was told of waiting.
func metered() (*meter, *[]bool) {
	var told []bool
	r := &run{Config: Config{Progress: func(p Progress) { told = append(told, p.Waiting) }}}
	m := new(meter)
	m.begin(r, "read", 1)
	told = nil
	return m, &told
}

// TestLiveReadingsStayInReach runs a batch beside stages that fall behind while it is at
// work, two seconds in three, and catch up while it waits: they are never further behind
// than --max-lag and what a step and a look between them add.
func TestLiveReadingsStayInReach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const (
			maxLag = 2 * time.Second
			step   = 300 * time.Millisecond
			most   = maxLag + 2*(step+lookEvery)
		)
		began := time.Now()
		var worked, lag, highest time.Duration
		p := &pacer{maxLag: maxLag, measure: func(context.Context) ([]standing, error) {
			waited := time.Since(began) - worked
			lag = max(2*worked/3-waited, 0)
			highest = max(highest, lag)
			return []standing{{"gold.0", uint64(time.Since(began)), lag}}, nil
		}}
		m, told := metered()
		for range 200 {
			<-time.After(step) // by the bubble's clock: the batch is at work
			worked += step
			if err := p.wait(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if lag > maxLag {
				t.Fatalf("the batch goes on while live readings are %s behind", lag)
			}
		}
		if highest > most || highest <= maxLag || len(*told) < 2 {
			t.Errorf("live readings were %s behind at most; told of waiting: %v", highest, *told)
		}
	})
}

// TestARunIsNotHeldForEver: live readings may be behind for another reason than the run.
func TestARunIsNotHeldForEver(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		maxLag  time.Duration
		lags    []time.Duration // as seen one after the other; the last stays
		trouble error
		waits   bool
		longest time.Duration
		fails   bool
	}{
		"nothing is behind":   {time.Second, []time.Duration{0}, nil, false, 0, false},
		"as far as is let be": {time.Second, []time.Duration{time.Second}, nil, false, 0, false},
		"they catch up": {
			time.Second, []time.Duration{time.Minute, 3 * time.Second, 0}, nil, true, 4 * lookEvery, false,
		},
		"they never do":           {time.Second, []time.Duration{time.Hour}, nil, true, longestWait + 2*lookEvery, false},
		"it waits for nobody":     {0, []time.Duration{time.Hour}, nil, false, 0, false},
		"the broker is away":      {time.Second, []time.Duration{0}, broker.ErrStreamFull, false, 0, false},
		"it cannot be found out":  {time.Second, []time.Duration{0}, broker.ErrNotProvisioned, false, 0, true},
		"what was seen is old":    {time.Second, []time.Duration{time.Hour, 0}, nil, true, 2 * lookEvery, false},
		"only a little behind it": {time.Second, []time.Duration{time.Second + 1, 0}, nil, true, 2 * lookEvery, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				looks := 0
				p := &pacer{maxLag: tt.maxLag, measure: func(context.Context) ([]standing, error) {
					looks++
					return []standing{{"gold.0", uint64(looks), tt.lags[min(looks, len(tt.lags))-1]}}, tt.trouble
				}}
				m, told := metered()
				began := time.Now()
				err := p.wait(t.Context(), m)
				waited := time.Since(began)
				if (err != nil) != tt.fails || (waited > 0) != tt.waits || waited > tt.longest {
					t.Errorf("it waits %s and ends with %v", waited, err)
				}
				if said := len(*told) == 2 && (*told)[0] && !(*told)[1]; said != tt.waits {
					t.Errorf("told of waiting: %v", *told)
				}
			})
		})
	}
}

// TestAStageThatStandsStillIsAwaitedOnce has silver-cleaner stopped: however many steps a
// run has, it waits for that once, and for the others whenever they are behind.
func TestAStageThatStandsStillIsAwaitedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stopped := []standing{{"silver.0", 7, time.Hour}, {"silver.1", 0, 0}}
		gold := standing{"gold.0", 1, 0}
		p := &pacer{maxLag: time.Second, measure: func(context.Context) ([]standing, error) {
			if gold.lag > 0 { // it catches up
				gold.sequence++
				gold.lag -= time.Second
			}
			return append(slices.Clone(stopped), gold), nil
		}}
		m, _ := metered()
		wait := func(what string, least, most time.Duration) {
			t.Helper()
			began := time.Now()
			for range 50 {
				<-time.After(lookEvery) // by the bubble's clock: a step
				if err := p.wait(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			if waited := time.Since(began) - 50*lookEvery; waited < least || waited > most {
				t.Errorf("%s: it waits %s", what, waited)
			}
		}
		wait("one partition of a stage is behind", longestWait, longestWait+2*lookEvery)
		stopped[1].lag = time.Minute
		wait("readings of another come in", 0, 0)
		gold.lag = 4 * time.Second
		wait("another stage is behind", 2*lookEvery, 4*lookEvery)
		stopped[0].sequence++
		wait("the one moves", longestWait, longestWait+2*lookEvery)
	})
}

// TestWaitingEndsWithTheRun: who stops a run is not made to wait for live readings.
func TestWaitingEndsWithTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		p := &pacer{maxLag: time.Second, measure: func(context.Context) ([]standing, error) {
			stop()
			return []standing{{"gold.0", 1, time.Hour}}, nil
		}}
		m, _ := metered()
		began := time.Now()
		if err := p.wait(ctx, m); !errors.Is(err, context.Canceled) || time.Since(began) > 0 {
			t.Errorf("it ends after %s with %v", time.Since(began), err)
		}
	})
}

// TestARebuildEndsWithWhatDoesNot: where it cannot be told how far a stage is, for good, a
// rebuild does not wait for that.
func TestARebuildEndsWithWhatDoesNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		refused := &pgconn.PgError{Code: "42501"}
		r := &run{Config: Config{Logger: slog.New(slog.DiscardHandler), Patience: time.Minute}}
		r.meter.begin(r, "read", 1)
		err := r.await(ctx, &passage{reader: "gold.0", at: func(context.Context) (uint64, error) { return 0, refused }})
		if !errors.Is(err, refused) || ctx.Err() != nil {
			t.Errorf("it ends with %v", err)
		}
	})
}
