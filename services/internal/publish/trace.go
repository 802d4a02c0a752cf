package publish

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/telemetry"
)

// lastExport bounds how long the command exports its span when it is done.
const lastExport = 5 * time.Second

// tracingSettings returns what the environment says of traces.
func tracingSettings(getenv func(key string) string) (telemetry.Settings, error) {
	environment := make(map[string]string)
	for _, v := range config.Variables[telemetry.Settings]() {
		if value := getenv(v.Name); value != "" {
			environment[v.Name] = value
		}
	}
	return config.Load[telemetry.Settings](environment)
}

// publish publishes what the options say; with --trace in a trace of its own.
func (f *flags) publish(ctx context.Context, o Options, log *slog.Logger) (receipt Receipt, err error) {
	if !f.trace {
		return Run(ctx, o)
	}
	t, err := telemetry.Open(ctx, f.telemetry, telemetry.Process{Service: "energy publish", Always: true},
		log)
	if err != nil {
		return Receipt{}, err
	}
	defer func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastExport)
		defer cancel()
		err = errors.Join(err, t.Close(limit))
	}()
	ctx, span := t.Tracers().Tracer("github.com/energy-platform/energy/services/internal/publish").Start(
		ctx, "publish", trace.WithSpanKind(trace.SpanKindProducer))
	defer span.End()
	receipt, err = Run(ctx, o)
	span.SetAttributes(
		attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", receipt.Stream),
		attribute.Int64("messaging.batch.message_count", receipt.Messages),
		attribute.Int64("energy.sequence.first", int64(receipt.FirstSequence)),
		attribute.Int64("energy.sequence.last", int64(receipt.LastSequence)),
		attribute.Int64("energy.readings.out", receipt.Acknowledged),
	)
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	return receipt, err
}
