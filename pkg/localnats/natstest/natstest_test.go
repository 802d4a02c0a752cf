package natstest

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/energy-platform/energy/pkg/localnats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer(t *testing.T) {
	t.Parallel()

	t.Run("IsOnePerTest", func(t *testing.T) {
		t.Parallel()
		a, b := Server(t), Server(t)
		if a.URL() == b.URL() {
			t.Errorf("two servers at %s", a.URL())
		}
	})

	t.Run("TakesStreamsOfEverySize", func(t *testing.T) {
		t.Parallel()
		js, err := jetstream.New(Connect(t, Server(t)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"A", "B", "C"} {
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, MaxBytes: 1 << 40})
			if err != nil {
				t.Errorf("stream %s: %v", name, err)
			}
		}
	})

	t.Run("IsGoneAfterTheTest", func(t *testing.T) {
		t.Parallel()
		var s *localnats.Server
		t.Run("inner", func(t *testing.T) {
			s = Server(t, func(o *localnats.Options) { o.Name = "mine" })
		})
		if s.Healthy() == nil {
			t.Error("the server still runs")
		}
	})
}
