// Command collector is the OTLP receiver of the OpenTelemetry Collector, with nothing
// behind it: it writes each span that it takes in as a line of JSON to standard output.
// Tests hold what the platform exports against it. It has a module of its own because
// of what the Collector depends on.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

func main() {
	grpc := flag.String("grpc", "127.0.0.1:4317", "address of OTLP over gRPC")
	http := flag.String("http", "127.0.0.1:4318", "address of OTLP over HTTP")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *grpc, *http); err != nil {
		fmt.Fprintln(os.Stderr, "collector:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, grpc, http string) error {
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	err := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"grpc": map[string]any{"endpoint": grpc}, "http": map[string]any{"endpoint": http},
	}}).Unmarshal(config)
	if err != nil {
		return err
	}
	w := &writer{encoder: json.NewEncoder(os.Stdout)}
	next, err := consumer.NewTraces(w.take)
	if err != nil {
		return err
	}
	traces, err := factory.CreateTraces(ctx, receiver.Settings{
		ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings(),
	}, config, next)
	if err != nil {
		return err
	}
	if err := traces.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	<-ctx.Done()
	return traces.Shutdown(context.WithoutCancel(ctx))
}

// span is what is written of a span. Ids are in hexadecimal digits.
type span struct {
	Service    string         `json:"service"`
	Name       string         `json:"name"`
	Trace      string         `json:"trace"`
	ID         string         `json:"id"`
	Parent     string         `json:"parent"`
	Status     string         `json:"status"`
	Links      []link         `json:"links"`
	Attributes map[string]any `json:"attributes"`
}

type link struct {
	Trace string `json:"trace"`
	ID    string `json:"id"`
}

// writer writes spans, one a line.
type writer struct {
	mu      sync.Mutex
	encoder *json.Encoder
}

func (w *writer) take(_ context.Context, traces ptrace.Traces) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, of := range traces.ResourceSpans().All() {
		service, _ := of.Resource().Attributes().Get("service.name")
		for _, scope := range of.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				out := span{
					Service: service.AsString(), Name: s.Name(), Trace: s.TraceID().String(), ID: s.SpanID().String(),
					Parent: s.ParentSpanID().String(), Status: s.Status().Code().String(), Attributes: s.Attributes().AsRaw(),
				}
				for _, l := range s.Links().All() {
					out.Links = append(out.Links, link{l.TraceID().String(), l.SpanID().String()})
				}
				if err := w.encoder.Encode(out); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
