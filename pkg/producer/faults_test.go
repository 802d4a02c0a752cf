package producer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/producer"
)

// TestFaults proves invariant 16.
func TestFaults(t *testing.T) {
	t.Parallel()
	t.Run("ARestartOfTheBrokerLosesNothing", func(t *testing.T) {
		t.Parallel()
		nats := newRestartable(t)
		js := connect(t, nats.server.URL())
		provision(t, js, 0)
		seen := subscribe(t, js)
		p, stop := start(t, js, producer.Options{MaxReadings: 10, Buffer: 20_000})
		const half, each = 2000, 10
		var receipts []*producer.Receipt
		published, away := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(published)
			for n := 0; n < 2*half; n += each {
				if n == half {
					<-away // the rest is published to a broker that is away
				}
				receipts = append(receipts, p.Publish(patient(t), run(n, n+each)...))
			}
		}()
		if _, err := seen.NextMsg(patience); err != nil {
			t.Fatal(err)
		}
		nats.stop()
		close(away)
		nats.start()
		<-published
		if err := p.Flush(patient(t)); err != nil {
			t.Fatal(err)
		}
		all := stored(t, js, 0)
		for k, receipt := range receipts {
			if found, _ := truthful(t, receipt, run(k*each, (k+1)*each), all); found != each {
				t.Errorf("call %d: %d stored", k, found)
			}
		}
		if stats := p.Stats(); stats.Resent == 0 {
			t.Errorf("nothing was sent again: %+v", stats)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	t.Run("AFullStreamIsSaidSo", func(t *testing.T) {
		t.Parallel()
		js := provisioned(t, 20_000)
		p, stop := start(t, js, producer.Options{MaxReadings: 10, Timeout: time.Second})
		receipt := p.Publish(patient(t), run(0, 1000)...)
		err := receipt.Wait(patient(t))
		if !errors.Is(err, broker.ErrStreamFull) || isUnconfirmed(err) ||
			!strings.Contains(err.Error(), "energy migrate --readings-bytes") {
			t.Error(err)
		}
		all := stored(t, js, 0)
		found, refused := truthful(t, receipt, run(0, 1000), all)
		in := 0
		for _, batch := range all {
			in += len(batch)
		}
		if found == 0 || found != in || found+refused != 1000 {
			t.Errorf("%d stored and %d refused; %d are in the stream", found, refused, in)
		}
		if err := stop(); err != nil {
			t.Errorf("nothing was under way: %v", err)
		}
	})
	t.Run("AFullStreamThatGetsRoomTakesTheRest", func(t *testing.T) {
		t.Parallel()
		js := provisioned(t, 20_000)
		p, _ := start(t, js, producer.Options{MaxReadings: 10})
		receipt := p.Publish(patient(t), run(0, 1000)...)
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for p.Stats().Resent == 0 { // something was refused
			select {
			case <-ticker.C:
			case <-patient(t).Done():
				t.Fatal("nothing is refused")
			}
		}
		provision(t, js, 0)
		if err := receipt.Wait(patient(t)); err != nil {
			t.Fatal(err)
		}
		if found, _ := truthful(t, receipt, run(0, 1000), stored(t, js, 0)); found != 1000 {
			t.Errorf("%d stored", found)
		}
	})
	t.Run("MissingStreamsAreNamed", func(t *testing.T) {
		t.Parallel()
		js := connect(t, natstest.Server(t).URL())
		impatient, _ := start(t, js, producer.Options{RefuseMissing: true, Timeout: time.Hour})
		err := impatient.Publish(patient(t), numbered(1)).Wait(patient(t))
		if !errors.Is(err, broker.ErrNotProvisioned) || isUnconfirmed(err) || !strings.Contains(err.Error(), "run energy migrate") {
			t.Error(err)
		}
		patientOne, _ := start(t, js, producer.Options{})
		receipt := patientOne.Publish(patient(t), numbered(1))
		provision(t, js, 0)
		if err := receipt.Wait(patient(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("ADeniedSubjectIsTold", func(t *testing.T) {
		t.Parallel()
		s := natstest.Server(t, func(o *localnats.Options) {
			o.Configure = func(so *server.Options) {
				so.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
					Publish: &server.SubjectPermission{Deny: []string{"readings.>"}},
				}}}
			}
		})
		js := connect(t, strings.Replace(s.URL(), "://", "://u:p@", 1))
		p, _ := start(t, js, producer.Options{Timeout: time.Second})
		err := p.Publish(patient(t), numbered(1)).Wait(patient(t))
		if !isUnconfirmed(err) || !strings.Contains(err.Error(), "Permissions Violation") {
			t.Error(err)
		}
	})
	// An answer that does not come is no lie either way: the end of Run says so.
	t.Run("ASilentBrokerLeavesUnconfirmed", func(t *testing.T) {
		t.Parallel()
		js := connect(t, natstest.Server(t).URL())
		seen := subscribe(t, js) // takes messages and answers nothing
		p, stop := start(t, js, producer.Options{Grace: time.Millisecond})
		receipt := p.Publish(patient(t), run(0, 3)...)
		if _, err := seen.NextMsg(patience); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err == nil || !strings.Contains(err.Error(), "3 readings") {
			t.Errorf("Run returned %v", err)
		}
		err := receipt.Wait(patient(t))
		if !isUnconfirmed(err) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if stats := p.Stats(); stats.Unconfirmed != 3 || stats.Stored != 0 || stats.Refused != 0 {
			t.Errorf("%+v", stats)
		}
	})
	// Acknowledgements that are slower than an attempt are waited for by the next.
	t.Run("ASlowAcknowledgementCounts", func(t *testing.T) {
		t.Parallel()
		js := connect(t, natstest.Server(t).URL())
		seen := subscribe(t, js)
		p, _ := start(t, js, producer.Options{})
		receipt := p.Publish(patient(t), run(0, 3)...)
		for range 2 { // the first attempt is given up after 5 s
			if m, err := seen.NextMsg(patience); err != nil || m.Reply == "" {
				t.Fatal(err)
			} else if p.Stats().Resent == 0 {
				continue
			} else if err := m.Respond([]byte(`{"stream":"READINGS","seq":17}`)); err != nil {
				t.Fatal(err)
			}
		}
		if err := receipt.Wait(patient(t)); err != nil {
			t.Fatal(err)
		}
		if o := receipt.Outcome(2); o.Sequence != 17 || o.Index != 2 {
			t.Errorf("the outcome is %+v", o)
		}
	})
}
