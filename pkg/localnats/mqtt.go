package localnats

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// forMQTT says an address in nats-server's terms.
func forMQTT(address string) (server.MQTTOpts, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return server.MQTTOpts{}, fmt.Errorf("MQTT is %q: %w: give host:port", address, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return server.MQTTOpts{}, fmt.Errorf("MQTT is %q: use a port of 1 to 65535, or 0 for a free one", address)
	}
	return server.MQTTOpts{
		Host: or(host, defaultHost), Port: or(port, server.RANDOM_PORT),
		// Of a subscriber that stays away nothing is kept longer than this.
		ConsumerInactiveThreshold: mqttMaxAge,
	}, nil
}

const (
	mqttMaxAge   = 24 * time.Hour
	mqttMaxBytes = 64 << 20
)

// mqttStreams are the streams that nats-server keeps for MQTT sessions: subscriptions,
// messages that subscribers are owed, retained messages, and both halves of QoS 2. It
// makes them without limits if they are not there when the first client connects, so
// they are made here, as it makes them, with limits. What a limit removes only a
// subscriber misses, or a publisher that broke off in the middle of QoS 2: what is
// published below readings. is in READINGS besides.
func mqttStreams() []jetstream.StreamConfig {
	stream := func(name, subject string, change func(*jetstream.StreamConfig)) jetstream.StreamConfig {
		cfg := jetstream.StreamConfig{
			Name: name, Subjects: []string{subject}, Storage: jetstream.FileStorage, Replicas: 1,
			MaxBytes: mqttMaxBytes, Discard: jetstream.DiscardOld,
		}
		change(&cfg)
		return cfg
	}
	return []jetstream.StreamConfig{
		stream("$MQTT_sess", "$MQTT.sess.>", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }),
		stream("$MQTT_msgs", "$MQTT.msgs.>", func(c *jetstream.StreamConfig) {
			c.Retention, c.MaxAge = jetstream.InterestPolicy, mqttMaxAge
		}),
		stream("$MQTT_rmsgs", "$MQTT.rmsgs.>", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }),
		stream("$MQTT_qos2in", "$MQTT.qos2.in.>", func(c *jetstream.StreamConfig) {
			// A second message of a packet must be refused: QoS 2 rests on it.
			c.Discard, c.DiscardNewPerSubject, c.MaxMsgsPerSubject = jetstream.DiscardNew, true, 1
			c.MaxAge = mqttMaxAge
		}),
		stream("$MQTT_out", "$MQTT.out.>", func(c *jetstream.StreamConfig) {
			c.Retention, c.MaxAge = jetstream.InterestPolicy, mqttMaxAge
		}),
	}
}

// boundMQTT makes the streams of MQTT, or gives those of an older folder their limits.
func (s *Server) boundMQTT(ctx context.Context) error {
	conn, err := nats.Connect("", nats.InProcessServer(s.ns))
	if err != nil {
		return fmt.Errorf("limit the streams of MQTT: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("limit the streams of MQTT: %w", err)
	}
	for _, cfg := range mqttStreams() {
		if _, err := js.CreateOrUpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("limit the stream %s of MQTT: %w", cfg.Name, err)
		}
	}
	return nil
}

// MQTT is the address, host:port, for MQTT clients on this machine; empty when there
// is none.
func (s *Server) MQTT() string { return s.mqtt }
