package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/energy-platform/energy/pkg/broker"
)

func TestPublisher(t *testing.T) {
	t.Parallel()

	t.Run("ConfirmsEachMessageInOrder", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		acks := publish(t, js, append(numbered("bronze.0", 1, 3, 10), numbered("silver.0", 1, 2, 10)...))
		for i, want := range []broker.Ack{{"BRONZE", 1}, {"BRONZE", 2}, {"BRONZE", 3}, {"SILVER", 1}, {"SILVER", 2}} {
			if acks[i] != want {
				t.Errorf("ack %d is %v, want %v", i, acks[i], want)
			}
		}
		if acks, err := publisher(t, js).PublishAll(testContext(t), nil); err != nil || len(acks) != 0 {
			t.Errorf("nothing: %v, %v", acks, err)
		}
	})

	t.Run("ServesManyCallersWithinItsBound", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		p, err := broker.NewPublisher(js, broker.PublisherConfig{InFlight: 100 << 10})
		if err != nil {
			t.Fatal(err)
		}
		var group errgroup.Group
		for n := range 4 {
			group.Go(func() error {
				_, err := p.PublishAll(testContext(t), numbered(broker.BronzeSubject(n), 1, 60, 30<<10))
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		for n := range 4 {
			b, err := broker.Pending(testContext(t), js, "BRONZE", broker.BronzeSubject(n), 0)
			if err != nil || b.Messages != 60 {
				t.Errorf("partition %d has %v, %v", n, b, err)
			}
		}
	})

	t.Run("SendsManySmallMessagesWithoutAStall", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		publish(t, js, numbered("bronze.0", 1, 50_000, 0))
	})

	t.Run("TellsOfEachMessageThatIsSentAlone", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		p := publisher(t, js)
		stored, err := p.Send(ctx, numbered("bronze.0", 1, 1, 10)[0])
		if err != nil {
			t.Fatal(err)
		}
		lost, err := p.Send(ctx, numbered("nowhere", 1, 1, 10)[0])
		if err != nil {
			t.Fatal(err)
		}
		if ack, err := stored.Wait(ctx); err != nil || ack != (broker.Ack{Stream: "BRONZE", Sequence: 1}) {
			t.Errorf("%v, %v", ack, err)
		}
		if _, err := lost.Wait(ctx); !errors.Is(err, jetstream.ErrNoStreamResponse) || !broker.IsRefusal(err) {
			t.Error(err)
		}
		if _, err := js.Conn().SubscribeSync("nowhere"); err != nil { // takes it and answers nothing
			t.Fatal(err)
		}
		silent, err := p.Send(ctx, numbered("nowhere", 1, 1, 10)[0])
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := silent.Wait(ended); !errors.Is(err, context.Canceled) || broker.IsRefusal(err) {
			t.Error(err)
		}
	})

	t.Run("SaysThatAStreamIsFull", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t, func(top *broker.Topology) { top.Limits.Silver = 100 << 10 })
		acks, err := publisher(t, js).PublishAll(testContext(t), numbered("silver.2", 1, 20, 10<<10))
		var failed *broker.PublishError
		if !errors.Is(err, broker.ErrStreamFull) || !broker.IsRetryable(err) || !errors.As(err, &failed) ||
			failed.Subject != "silver.2" || !strings.Contains(err.Error(), "silver.2") {
			t.Errorf("got %v", err)
		}
		if acks[0].Sequence != 1 || acks[19].Sequence != 0 {
			t.Errorf("acks %v", acks)
		}
	})

	t.Run("SaysThatAMessageIsTooLarge", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		ctx := testContext(t)
		p := publisher(t, js)
		_, err := p.PublishAll(ctx, numbered("silver.2", 1, 1, 2<<20))
		if !errors.Is(err, broker.ErrTooLarge) || broker.IsRetryable(err) {
			t.Errorf("over the broker's limit: %v", err)
		}
		s, err := js.Stream(ctx, "SILVER")
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		cfg.MaxMsgSize = 1000
		if _, err := js.UpdateStream(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		// The permanent failure is told, whatever failed beside it.
		msgs := append(numbered("nowhere", 1, 1, 1), numbered("silver.2", 1, 1, 2000)...)
		if _, err := p.PublishAll(ctx, msgs); !errors.Is(err, broker.ErrTooLarge) || broker.IsRetryable(err) {
			t.Errorf("over the stream's limit: %v", err)
		}
	})

	t.Run("FailsAtOnceWhileTheBrokerIsAwayAndWorksAfter", func(t *testing.T) {
		t.Parallel()
		server := newRestartable(t)
		js := connect(t, server.URL())
		if err := broker.Provision(testContext(t), js, smallTopology()); err != nil {
			t.Fatal(err)
		}
		p := publisher(t, js)
		server.stop()
		eventually(t, "disconnected", func() bool { return !js.Conn().IsConnected() })
		_, err := p.PublishAll(testContext(t), numbered("silver.2", 1, 1, 10))
		if !broker.IsRetryable(err) {
			t.Errorf("got %v", err)
		}
		if err := broker.CheckConnection(js.Conn()); !errors.Is(err, broker.ErrDisconnected) {
			t.Errorf("connection: %v", err)
		}
		server.start()
		eventually(t, "connected", func() bool { return broker.CheckConnection(js.Conn()) == nil })
		eventually(t, "published", func() bool {
			_, err := p.PublishAll(testContext(t), numbered("silver.2", 2, 2, 10))
			return err == nil
		})
		if n, err := broker.LastSequence(testContext(t), js, "SILVER", "silver.2"); err != nil || n != 1 {
			t.Errorf("last sequence %d, %v: the refused message was kept in memory", n, err)
		}
	})

	t.Run("EndsWithItsContext", func(t *testing.T) {
		t.Parallel()
		js, _ := provisioned(t)
		p := publisher(t, js)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.PublishAll(ended, numbered("silver.2", 1, 10_000, 10))
		if err != nil && (!errors.Is(err, context.Canceled) || broker.IsRetryable(err)) {
			t.Errorf("got %v", err)
		}
	})
}

func TestConnect(t *testing.T) {
	t.Parallel()

	t.Run("WaitsForABrokerThatStartsLater", func(t *testing.T) {
		t.Parallel()
		server := newRestartable(t)
		address := server.URL()
		server.stop()
		type result struct {
			nc  *nats.Conn
			err error
		}
		got := make(chan result, 1)
		go func() {
			nc, err := broker.Connect(testContext(t), broker.ConnectConfig{URL: address, InboxPrefix: "_INBOX_test"})
			got <- result{nc, err}
		}()
		server.start()
		r := <-got
		if r.err != nil {
			t.Fatal(r.err)
		}
		defer r.nc.Close()
		if !strings.HasPrefix(r.nc.NewInbox(), "_INBOX_test.") {
			t.Errorf("inbox %s", r.nc.NewInbox())
		}
	})

	t.Run("GivesUpWithItsContextAndSaysWhy", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := broker.Connect(ctx, broker.ConnectConfig{URL: "nats://127.0.0.1:1"})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestIsRetryable(t *testing.T) {
	t.Parallel()
	api := func(code int, errCode jetstream.ErrorCode) error {
		return fmt.Errorf("wrapped: %w", &jetstream.APIError{Code: code, ErrorCode: errCode})
	}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"nil":                        {nil, false},
		"cancelled":                  {context.Canceled, false},
		"deadline":                   {context.DeadlineExceeded, true},
		"disconnected":               {nats.ErrDisconnected, true},
		"no buffer while away":       {nats.ErrReconnectBufExceeded, true},
		"closed by us":               {nats.ErrConnectionClosed, false},
		"no stream answers":          {jetstream.ErrNoStreamResponse, true},
		"ack timeout":                {jetstream.ErrAsyncPublishTimeout, true},
		"overrun":                    {api(429, 10167), true},
		"store failed":               {api(503, 10077), true},
		"lost compare-and-set":       {api(400, 10071), false},
		"lost it on replicas":        {api(500, 10164), false},
		"bad request":                {api(400, 10003), false},
		"moved position":             {fmt.Errorf("x: %w", broker.ErrPositionMoved), false},
		"full stream":                {fmt.Errorf("x: %w", broker.ErrStreamFull), true},
		"something nobody has named": {errors.New("x"), true},
	} {
		if got := broker.IsRetryable(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
