package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/telemetry"
	"github.com/energy-platform/energy/pkg/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver takes in OTLP.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	hang chan struct{} // not nil: nothing is answered before it is closed

	mu       sync.Mutex
	requests int
	spans    []*otlp.Span
	resource map[string]string
}

func (r *receiver) Export(
	ctx context.Context, req *collector.ExportTraceServiceRequest,
) (*collector.ExportTraceServiceResponse, error) {
	if r.hang != nil {
		select {
		case <-r.hang:
		case <-ctx.Done():
		}
		return nil, context.Canceled
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	for _, of := range req.GetResourceSpans() {
		r.resource = make(map[string]string)
		for _, a := range of.GetResource().GetAttributes() {
			r.resource[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, scope := range of.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	return new(collector.ExportTraceServiceResponse), nil
}

// overGRPC serves the receiver and returns its endpoint.
func (r *receiver) overGRPC(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-served })
	return "http://" + l.Addr().String()
}

// overHTTP serves the receiver and returns its endpoint.
func (r *receiver) overHTTP(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, h *http.Request) {
		body, err := io.ReadAll(h.Body)
		req := new(collector.ExportTraceServiceRequest)
		if err == nil {
			err = proto.Unmarshal(body, req)
		}
		if err == nil {
			_, err = r.Export(h.Context(), req)
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// settings returns what variables and the defaults give.
func settings(t *testing.T, environment map[string]string) telemetry.Settings {
	t.Helper()
	s, err := config.Load[telemetry.Settings](environment)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, s telemetry.Settings, log *slog.Logger) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.Open(t.Context(), s, telemetry.Process{Service: "ingest", Instance: "a"}, log)
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

var discard = slog.New(slog.DiscardHandler)

// closing bounds Close where it is to have enough time.
func closing(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestSpansAreExported(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			r := new(receiver)
			environment := map[string]string{
				"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_TRACES_SAMPLER": "always_on",
				"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test, team=a%20b", "OTEL_SERVICE_NAME": "meters",
			}
			if environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = r.overHTTP(t); protocol == "grpc" {
				environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = r.overGRPC(t)
			}
			tel := open(t, settings(t, environment), discard)
			_, span := tel.Tracers().Tracer("test").Start(t.Context(), "batch")
			span.End()
			if err := tel.Close(closing(t)); err != nil {
				t.Fatal(err)
			}
			if len(r.spans) != 1 || r.spans[0].GetName() != "batch" {
				t.Fatalf("spans have arrived: %v", r.spans)
			}
			for key, want := range map[string]string{
				"service.name": "meters", "service.instance.id": "a", "deployment.environment": "test", "team": "a b",
			} {
				if r.resource[key] != want {
					t.Errorf("%s is %q, want %q", key, r.resource[key], want)
				}
			}
			if got := tel.Stats(); got != (telemetry.Stats{Exported: 1}) {
				t.Errorf("the counts are %+v", got)
			}
		})
	}
}

// TestManyLinksFitIntoMessages holds messages below what collectors take.
func TestManyLinksFitIntoMessages(t *testing.T) {
	t.Parallel()
	r := new(receiver)
	tel := open(t, settings(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": r.overGRPC(t), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
	}), discard)
	const batches, producers = 20, 5000
	for range batches {
		from := new(tracing.Origins)
		for i := range producers {
			from.Add(t.Context(), map[string][]string{"traceparent": {traceparent(i + 1)}})
		}
		_, b := tracing.New(tel.Tracers()).Batch(t.Context(), "batch", from)
		b.End()
	}
	if err := tel.Close(closing(t)); err != nil {
		t.Fatal(err)
	}
	if len(r.spans) != batches || r.requests < 2 {
		t.Fatalf("%d spans came in %d messages, want %d in several; %+v", len(r.spans), r.requests, batches, tel.Stats())
	}
	for _, span := range r.spans {
		if len(span.GetLinks()) != producers {
			t.Fatalf("a span has %d links, want %d", len(span.GetLinks()), producers)
		}
	}
}

func traceparent(trace int) string {
	const digits = "0123456789abcdef"
	id := []byte(strings.Repeat("0", 32))
	for i := len(id) - 1; trace > 0; i-- {
		id[i] = digits[trace%16]
		trace /= 16
	}
	return "00-" + string(id) + "-00000000000000aa-01"
}

// TestAnExporterThatFailsHurtsNothing has spans end while nobody takes them, and the
// process with them.
func TestAnExporterThatFailsHurtsNothing(t *testing.T) {
	t.Parallel()
	dead := func(t *testing.T) string {
		t.Helper()
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return "http://" + l.Addr().String()
	}
	hanging := func(serve func(*receiver, *testing.T) string) func(t *testing.T) string {
		return func(t *testing.T) string {
			t.Helper()
			r := &receiver{hang: make(chan struct{})}
			t.Cleanup(func() { close(r.hang) })
			return serve(r, t)
		}
	}
	silent := func(t *testing.T) string { // takes connections and says nothing
		t.Helper()
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return "http://" + l.Addr().String()
	}
	for _, c := range []struct {
		name, protocol string
		endpoint       func(t *testing.T) string
	}{
		{"one that is dead, over gRPC", "grpc", dead},
		{"one that is dead, over HTTP", "http/protobuf", dead},
		{"one that hangs, over gRPC", "grpc", hanging((*receiver).overGRPC)},
		{"one that hangs, over HTTP", "http/protobuf", hanging((*receiver).overHTTP)},
		{"one that is silent, over gRPC", "grpc", silent},
		{"one that is silent, over HTTP", "http/protobuf", silent},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var told bytes.Buffer // of one goroutine at a time, and read after Close
			tel := open(t, settings(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": c.endpoint(t), "OTEL_EXPORTER_OTLP_PROTOCOL": c.protocol,
				"OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_SCHEDULE_DELAY": "1",
			}), slog.New(slog.NewJSONHandler(&told, nil)))
			const spans = 5000
			for range spans {
				_, span := tel.Tracers().Tracer("test").Start(t.Context(), "batch")
				span.End()
			}
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			if err := tel.Close(ctx); err != nil {
				t.Error(err)
			}
			if got := tel.Stats(); got.Exported != 0 || got.Lost() != spans || got.Dropped == 0 || got.Failed == 0 {
				t.Errorf("the counts are %+v, want %d lost", got, spans)
			}
			if !strings.Contains(told.String(), `"msg":"traces are lost"`) {
				t.Errorf("nobody was told:\n%s", told.String())
			}
		})
	}
}

func TestWithoutAnEndpointNothingIsExported(t *testing.T) {
	t.Parallel()
	for name, environment := range map[string]map[string]string{
		"nothing is set": {},
		"disabled":       {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		"no exporter":    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tel := open(t, settings(t, environment), discard)
			_, span := tel.Tracers().Tracer("test").Start(t.Context(), "batch")
			if span.IsRecording() {
				t.Error("a span is recorded")
			}
			if err := tel.Close(t.Context()); err != nil || tel.Stats() != (telemetry.Stats{}) {
				t.Error(err)
			}
		})
	}
}

func TestSampling(t *testing.T) {
	t.Parallel()
	const sampled = "00-0000000000000000000000000000ab01-00000000000000aa-01"
	const unsampled = "00-0000000000000000000000000000ab01-00000000000000aa-00"
	for _, c := range []struct {
		sampler, ratio string
		// How many of 1,000 batches: without a producer's context, with one that is sampled or
		// not, with two that are.
		alone, below, beside, linked int
	}{
		{"", "", 0, 1000, 0, 1000}, // alone: about one
		{"parentbased_traceidratio", "0", 0, 1000, 0, 1000},
		{"parentbased_traceidratio", "", 1000, 1000, 0, 1000},
		{"parentbased_always_on", "", 1000, 1000, 0, 1000},
		{"parentbased_always_off", "", 0, 1000, 0, 1000},
		{"always_on", "", 1000, 1000, 1000, 1000},
		{"always_off", "", 0, 0, 0, 0},
		{"traceidratio", "0", 0, 0, 0, 0},
		{"traceidratio", "1", 1000, 1000, 1000, 1000},
	} {
		t.Run(c.sampler+c.ratio, func(t *testing.T) {
			t.Parallel()
			r := new(receiver)
			tel := open(t, settings(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": r.overGRPC(t), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
				"OTEL_TRACES_SAMPLER": c.sampler, "OTEL_TRACES_SAMPLER_ARG": c.ratio,
			}), discard)
			tracer := tracing.New(tel.Tracers())
			count := func(reason string, parents ...string) (n int) {
				for range 1000 {
					from := new(tracing.Origins)
					for _, p := range parents {
						from.Add(t.Context(), map[string][]string{"traceparent": {p}})
					}
					ctx, b := tracer.Batch(t.Context(), "batch", from)
					if reason != "" {
						tracing.Keep(ctx, reason)
					}
					if b.IsRecording() {
						n++
					}
				}
				return n
			}
			if got := count(""); got != c.alone && (c.sampler != "" || got > 100) {
				t.Errorf("%d of 1,000 that begin here are sampled, want %d", got, c.alone)
			}
			if got := count("", sampled); got != c.below {
				t.Errorf("%d of 1,000 below a sampled one are sampled, want %d", got, c.below)
			}
			if got := count("", unsampled); got != c.beside {
				t.Errorf("%d of 1,000 below one that is not are sampled, want %d", got, c.beside)
			}
			if got := count("", sampled, traceparent(7)); got != c.linked {
				t.Errorf("%d of 1,000 that link to sampled ones are sampled, want %d", got, c.linked)
			}
			if got := count(tracing.Quarantine, unsampled); got != 1000 {
				t.Errorf("%d of 1,000 that are notable are kept", got)
			}
			if err := tel.Close(closing(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFaultsOfSettingsAreNamed(t *testing.T) {
	t.Parallel()
	environment := map[string]string{
		"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_ENDPOINT": "user:secret@collector:4317",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "ftp://collector", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json",
		"OTEL_RESOURCE_ATTRIBUTES":           "a=b,c", "OTEL_TRACES_SAMPLER": "some", "OTEL_BSP_MAX_QUEUE_SIZE": "0",
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "-1", "OTEL_BSP_SCHEDULE_DELAY": "0", "OTEL_BSP_EXPORT_TIMEOUT": "0",
	}
	_, err := config.Load[telemetry.Settings](environment)
	if err == nil {
		t.Fatal("no fault is found")
	}
	for name := range environment {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named:\n%v", name, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the fault shows a secret:\n%v", err)
	}
	for _, ratio := range []string{"-1", "1.1", "NaN", "x"} {
		_, err := config.Load[telemetry.Settings](map[string]string{"OTEL_TRACES_SAMPLER_ARG": ratio})
		if err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER_ARG") {
			t.Errorf("ratio %s: %v", ratio, err)
		}
	}
}

func TestLogLinesInASpanHaveItsIDs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(telemetry.Handler(slog.NewJSONHandler(&out, nil))).With("service", "ingest")
	log.InfoContext(t.Context(), "outside")
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{15: 0xab}, SpanID: trace.SpanID{7: 0xcd},
	}))
	log.InfoContext(ctx, "inside", "answer", attribute.IntValue(42).AsInt64())
	decoder := json.NewDecoder(&out)
	for _, want := range []map[string]any{
		{"msg": "outside", "trace_id": nil, "span_id": nil},
		{"msg": "inside", "service": "ingest", "answer": 42.0, "trace_id": "000000000000000000000000000000ab", "span_id": "00000000000000cd"},
	} {
		var got map[string]any
		if err := decoder.Decode(&got); err != nil {
			t.Fatal(err)
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %v, want %v", want["msg"], key, got[key], value)
			}
		}
	}
}
