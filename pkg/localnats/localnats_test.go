package localnats

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/energy-platform/energy/pkg/dirlock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustStart(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(newContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustStop(t, s) })
	return s
}

func mustStop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func newContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func mustConnect(t *testing.T, s *Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("KeepsItsStreamsAcrossARestart", func(t *testing.T) {
		t.Parallel()
		for _, always := range []bool{false, true} {
			o := Options{Dir: filepath.Join(t.TempDir(), "nats"), SyncAlways: always}
			s := mustStart(t, o)
			js := mustConnect(t, s)
			if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
				t.Fatal(err)
			}
			if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
				t.Fatal(err)
			}
			mustStop(t, s)
			mustStop(t, s)

			stream, err := mustConnect(t, mustStart(t, o)).Stream(t.Context(), "S")
			if err != nil {
				t.Fatal(err)
			}
			msg, err := stream.GetMsg(t.Context(), 1)
			if err != nil || string(msg.Data) != "kept" {
				t.Errorf("sync always %t: message %v, %v; want kept", always, msg, err)
			}
		}
	})

	t.Run("TakesMQTTAndLimitsWhatItKeepsForIt", func(t *testing.T) {
		t.Parallel()
		o := Options{Dir: t.TempDir(), MQTT: "127.0.0.1:0", MaxStore: 1 << 30}
		mustStop(t, mustStart(t, o))
		s := mustStart(t, o) // with the streams of before
		conn, err := net.Dial("tcp", s.MQTT())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// CONNECT, MQTT 3.1.1, clean session, client "a"; the answer is CONNACK, accepted.
		if _, err := conn.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")); err != nil {
			t.Fatal(err)
		}
		var answer [4]byte
		if _, err := io.ReadFull(conn, answer[:]); err != nil || string(answer[:]) != "\x20\x02\x00\x00" {
			t.Fatalf("%x, %v", answer, err)
		}
		names := 0
		list := mustConnect(t, s).ListStreams(t.Context())
		for info := range list.Info() {
			names++
			if info.Config.MaxBytes <= 0 {
				t.Errorf("%s has no limit", info.Config.Name)
			}
		}
		if list.Err() != nil || names != 5 {
			t.Errorf("%d streams, %v", names, list.Err())
		}
		if without := mustStart(t, Options{Dir: t.TempDir()}); without.MQTT() != "" {
			t.Errorf("MQTT is on at %s", without.MQTT())
		}
	})

	t.Run("HandsItsOptionsToTheServer", func(t *testing.T) {
		t.Parallel()
		s := mustStart(t, Options{Dir: t.TempDir(), Name: "n", MaxStore: 1 << 30, MaxPayload: 8 << 20, SyncAlways: true,
			SyncInterval: time.Hour, Configure: func(o *server.Options) { o.MaxConn = 7 }})
		js := s.ns.JetStreamConfig()
		if js.MaxStore != 1<<30 || !js.SyncAlways || js.SyncInterval != time.Hour {
			t.Errorf("JetStream runs with %+v", js)
		}
		nc := mustConnect(t, s).Conn()
		if nc.ConnectedServerName() != "n" || nc.MaxPayload() != 8<<20 {
			t.Errorf("name %s, max payload %d", nc.ConnectedServerName(), nc.MaxPayload())
		}
	})

	t.Run("HandsTheSyncOptionsOverAlsoWithoutAStoreLimit", func(t *testing.T) {
		t.Parallel()
		js := mustStart(t, Options{Dir: t.TempDir(), SyncAlways: true}).ns.JetStreamConfig()
		if !js.SyncAlways || js.SyncInterval != DefaultSyncInterval || js.MaxStore <= 0 {
			t.Errorf("JetStream runs with %+v", js)
		}
	})

	t.Run("KeepsASecondServerOfTheFolderOut", func(t *testing.T) {
		t.Parallel()
		o := Options{Dir: t.TempDir()}
		s := mustStart(t, o)
		var held *dirlock.HeldError
		if _, err := Start(newContext(t), o); !errors.As(err, &held) || held.PID != os.Getpid() {
			t.Errorf("err = %v, want a *dirlock.HeldError of this process", err)
		}
		if err := s.Healthy(); err != nil {
			t.Error(err)
		}
	})

	t.Run("FailsAtOnceWhenThePortIsTaken", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		o := Options{Dir: t.TempDir(), Port: l.Addr().(*net.TCPAddr).Port}
		begin := time.Now()
		if _, err = Start(newContext(t), o); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("err = %v, want EADDRINUSE", err)
		}
		if took := time.Since(begin); took > readyTimeout/2 {
			t.Errorf("took %v", took)
		}
		o.Port = 0
		mustStart(t, o) // the failure gave the folder free
	})

	t.Run("FailsAtOnceWhenTheFolderIsNone", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Start(newContext(t), Options{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "not a directory") || !strings.Contains(err.Error(), dir) {
			t.Errorf("err = %v, want the folder and that it is none", err)
		}
	})

	t.Run("LeavesNothingWhenItsContextHasEnded", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		o := Options{Dir: t.TempDir()}
		if _, err := Start(ctx, o); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v, want context.Canceled", err)
		}
		mustStart(t, o)
	})

	for _, tt := range []struct {
		name    string
		options Options
		says    string
	}{
		{"WantsAFolder", Options{}, "set Dir"},
		{"RefusesAPayloadAboveTheServersWarning", Options{Dir: "x", MaxPayload: MaxMaxPayload + 1}, "8388608"},
		{"RefusesANegativeStore", Options{Dir: "x", MaxStore: -1}, "MaxStore"},
		{"RefusesANegativeInterval", Options{Dir: "x", SyncInterval: -1}, "SyncInterval"},
		{"RefusesAPortThatIsNone", Options{Dir: "x", Port: 70000}, "65535"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Start(newContext(t), tt.options); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("err = %v, want it to say %q", err, tt.says)
			}
		})
	}
}

func TestServer(t *testing.T) {
	t.Parallel()

	t.Run("IsReachedOnLoopbackWhenItListensEverywhere", func(t *testing.T) {
		t.Parallel()
		s := mustStart(t, Options{Dir: t.TempDir(), Host: "0.0.0.0"})
		if !strings.HasPrefix(s.URL(), "nats://127.0.0.1:") {
			t.Errorf("URL = %s", s.URL())
		}
		mustConnect(t, s)
	})

	t.Run("IsNotHealthyAfterStop", func(t *testing.T) {
		t.Parallel()
		s := mustStart(t, Options{Dir: t.TempDir()})
		if err := s.Healthy(); err != nil {
			t.Errorf("before: %v", err)
		}
		mustStop(t, s)
		if s.Healthy() == nil {
			t.Error("healthy after Stop")
		}
	})

	t.Run("SaysItsLinesThroughSlog", func(t *testing.T) {
		t.Parallel()
		var log safeBuffer
		mustStop(t, mustStart(t, Options{Dir: t.TempDir(),
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}))
		for _, want := range []string{`msg="nats is ready"`, `line="Starting nats-server"`, `msg="nats has stopped"`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log does not hold %s:\n%s", want, log.String())
			}
		}
	})
}

// safeBuffer is a log that many goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
