package producer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/producer"
	"github.com/energy-platform/energy/pkg/reading"
)

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	js, stop, err := platform(ctx) // an application connects with broker.Connect
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	p, err := producer.New(js, producer.Options{Subject: "readings.site-7"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()

	receipt := p.Publish(ctx,
		reading.Reading{EntityID: "meter-7", Metric: "active_energy_import", Unit: "kWh", Value: 18250.4,
			Time: time.Date(2026, 3, 1, 10, 15, 0, 0, time.UTC).UnixNano()},
		reading.Reading{EntityID: "meter-7", Metric: "active_energy_import", Unit: "kWh", Value: 18251.2,
			Time: time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC).UnixNano()},
	)
	if err := receipt.Wait(ctx); err != nil {
		fmt.Println("not stored:", err)
	}
	for i, o := range receipt.Outcomes() {
		fmt.Printf("reading %d: %s, message %d, number %d in it\n", i, o.Stream, o.Sequence, o.Index)
	}

	cancel() // Run sends what is left and ends
	fmt.Println("ended:", <-ended)
	// Output:
	// reading 0: READINGS, message 1, number 0 in it
	// reading 1: READINGS, message 1, number 1 in it
	// ended: <nil>
}

// What an outcome's error says decides what to do.
func ExampleOutcome() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	js, stop, err := platform(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	p, err := producer.New(js, producer.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()

	at := time.Date(2026, 3, 1, 10, 15, 0, 0, time.UTC).UnixNano()
	receipt := p.Publish(ctx,
		reading.Reading{EntityID: "meter-7", Metric: "voltage", Time: at, Value: math.NaN()},
		reading.Reading{EntityID: "meter-8", Metric: "voltage", Time: at, Value: 230},
	)
	<-receipt.Done()
	for _, o := range receipt.Outcomes() {
		var wrong *producer.ReadingError
		switch {
		case o.Err == nil:
			fmt.Println("stored")
		case errors.As(o.Err, &wrong):
			fmt.Println("mend it:", wrong.Err)
		case errors.Is(o.Err, producer.ErrUnconfirmed):
			fmt.Println("stored or not; publishing again is safe")
		case errors.Is(o.Err, broker.ErrStreamFull):
			fmt.Println("not stored, no room; keep it and tell the operator")
		default:
			fmt.Println("not stored:", o.Err)
		}
	}
	cancel()
	<-ended
	// Output:
	// mend it: value is NaN: leave the reading out when there is none
	// stored
}

// platform starts a broker with the platform's streams.
func platform(ctx context.Context) (js jetstream.JetStream, stop func(), err error) {
	dir, err := os.MkdirTemp("", "producer-")
	if err != nil {
		return nil, nil, err
	}
	server, err := localnats.Start(ctx, localnats.Options{Dir: dir, MaxStore: 1 << 42})
	if err != nil {
		return nil, nil, err
	}
	conn, err := broker.Connect(ctx, broker.ConnectConfig{URL: server.URL(), Name: "example"})
	if err != nil {
		return nil, nil, err
	}
	if js, err = broker.JetStream(conn); err != nil {
		return nil, nil, err
	}
	return js, func() {
		conn.Close()
		_ = server.Stop()
		_ = os.RemoveAll(dir)
	}, broker.Provision(ctx, js, broker.DefaultTopology())
}
