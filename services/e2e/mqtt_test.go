package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/localnats"
	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/producer"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func withMQTT(o *localnats.Options) { o.MQTT = "127.0.0.1:0" }

// device connects as a device does.
func device(t *testing.T, address string) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID("device").
		SetAutoReconnect(false).SetConnectTimeout(patience))
	settled(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// settled waits until the broker has answered as the quality of service asks for.
func settled(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatal("the broker does not answer")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

// TestReadingsOverMQTTReachGold publishes at each quality of service, in each format
// that a payload is recognised by, with rubbish among them.
func TestReadingsOverMQTTReachGold(t *testing.T) {
	t.Parallel()
	p := embedded(t, withMQTT)
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	batch, err := proto.Marshal(&energyv1.ReadingBatch{Readings: []*energyv1.Reading{
		{EntityId: "one", Metric: "voltage", Unit: "V", Value: 231, Time: timestamppb.New(at)},
		{EntityId: "one", Metric: "voltage", Unit: "V", Value: 233, Time: timestamppb.New(at.Add(time.Minute))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := device(t, p.mqtt)
	for _, m := range []struct {
		qos     byte
		retain  bool
		payload []byte
	}{
		{0, false, fmt.Appendf(nil, `{"entity_id":"zero","metric":"voltage","unit":"V","value":230,"time":%q}`, at.Format(time.RFC3339))},
		{1, true, batch},
		{1, false, []byte("this is no reading at all")},
		{2, false, fmt.Appendf(nil, `[{"bn":"two/","bt":%d,"n":"voltage","u":"V","v":229}]`, at.Unix())},
	} {
		settled(t, c.Publish("readings/site/x", m.qos, m.retain, m.payload))
	}

	status := p.await(t, "all readings", func(s *energyv1.GetPipelineStatusResponse) bool {
		return s.GetCaughtUp() && s.GetStages()[0].GetReadingsIn() == 5
	})
	if status.GetMissing() != 0 {
		t.Errorf("%d readings are missing", status.GetMissing())
	}
	for _, s := range status.GetStreams() {
		if strings.Contains(s.GetName(), "MQTT") {
			t.Errorf("the status lists the broker's own stream %s", s.GetName())
		}
	}
	if q := status.GetQuarantine(); len(q) != 1 || q[0].GetRule() != "undecodable" || q[0].GetReadings() != 1 {
		t.Errorf("quarantine has %v", q)
	}
	answers := p.aggregates(t, &energyv1.QueryAggregatesRequest{
		Window: &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: quarterHour}},
	})
	for series, want := range map[string]struct {
		received  uint64
		sum, last float64
	}{"zero voltage": {1, 230, 230}, "one voltage": {2, 464, 233}, "two voltage": {1, 229, 229}} {
		a := answers[series]
		if len(a) != 1 || a[0].GetReceived() != want.received || a[0].GetStatistics().GetLast() != want.last ||
			a[0].GetStatistics().GetSum() != want.sum {
			t.Errorf("%s is answered with %v", series, a)
		}
	}
}

// TestAPubackDoesNotMeanStored holds what the documentation warns of: when READINGS
// is full, a publisher over MQTT is told that all is well, one over JetStream is
// refused. The broker's own streams keep nothing of it.
func TestAPubackDoesNotMeanStored(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t, withMQTT)
	js, err := broker.JetStream(natstest.Connect(t, server))
	if err != nil {
		t.Fatal(err)
	}
	topology := broker.DefaultTopology()
	topology.Limits.Readings = 20_000
	if err := broker.Provision(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	const messages = 200
	c := device(t, server.MQTT())
	for n := range messages {
		payload := fmt.Sprintf(`{"entity_id":"m","metric":"voltage","value":%d,"time":"2026-03-01T10:00:00Z"}%100s`, n, "")
		settled(t, c.Publish("readings/full", byte(1+n%2), false, payload)) // PUBACK or PUBCOMP
	}
	if !c.IsConnected() {
		t.Error("the device was cut off")
	}
	readings, err := broker.Stream(t.Context(), js, broker.StreamReadings)
	if err != nil {
		t.Fatal(err)
	}
	if readings.Messages == 0 || readings.Messages >= messages {
		t.Errorf("%d of %d messages are stored", readings.Messages, messages)
	}
	kept, err := broker.Stream(t.Context(), js, "$MQTT_msgs")
	if err != nil || kept.Messages != 0 || kept.MaxBytes == 0 {
		t.Errorf("the broker keeps %+v, %v", kept, err)
	}
	told, err := producer.New(js, producer.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- told.Run(ctx) }()
	err = told.Publish(t.Context(), reading.Reading{EntityID: strings.Repeat("m", 250), Metric: "voltage"}).Wait(t.Context())
	if !errors.Is(err, broker.ErrStreamFull) {
		t.Errorf("over JetStream: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
