package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/energy-platform/energy/pkg/tracing"
)

// Settings are the variables of OpenTelemetry that a process heeds. The exporter itself
// reads what else the standard has of OTEL_EXPORTER_OTLP_*, such as headers,
// certificates, compression and timeout.
type Settings struct {
	Disabled           bool   `env:"OTEL_SDK_DISABLED" envDefault:"false" doc:"trace nothing"`
	TracesExporter     string `env:"OTEL_TRACES_EXPORTER" envDefault:"otlp" doc:"otlp, or none to export no traces"`
	Endpoint           string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" doc:"where telemetry is sent, such as http://127.0.0.1:4317; without it nothing is traced. docs/traces.md tells more"`
	TracesEndpoint     string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" doc:"where traces are sent, if elsewhere"`
	Protocol           string `env:"OTEL_EXPORTER_OTLP_PROTOCOL" doc:"grpc or http/protobuf; when empty grpc for port 4317, http/protobuf for others"`
	TracesProtocol     string `env:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" doc:"protocol of traces, if another"`
	ServiceName        string `env:"OTEL_SERVICE_NAME" doc:"name of the service in traces; its own when empty"`
	ResourceAttributes string `env:"OTEL_RESOURCE_ATTRIBUTES" doc:"what else traces tell of the process, as key=value,key=value"`
	Sampler            string `env:"OTEL_TRACES_SAMPLER" doc:"which traces that begin here are sampled, besides errors, quarantines and restatements: always_on, always_off, traceidratio, or one of these after parentbased_, which follows the producer; parentbased_traceidratio of 0.001 when empty"`
	SamplerArg         string `env:"OTEL_TRACES_SAMPLER_ARG" doc:"the sampler's ratio, from 0 to 1"`
	QueueSize          int    `env:"OTEL_BSP_MAX_QUEUE_SIZE" envDefault:"2048" doc:"spans that wait to be exported; what does not fit is dropped"`
	BatchSize          int    `env:"OTEL_BSP_MAX_EXPORT_BATCH_SIZE" envDefault:"512" doc:"spans that are exported at once"`
	ScheduleDelay      int    `env:"OTEL_BSP_SCHEDULE_DELAY" envDefault:"5000" doc:"how long a span waits for others, in milliseconds"`
	ExportTimeout      int    `env:"OTEL_BSP_EXPORT_TIMEOUT" envDefault:"30000" doc:"how long one export may take, in milliseconds"`
}

// The protocols.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// portGRPC is where collectors take OTLP over gRPC, by the standard.
const portGRPC = "4317"

// Validate reports what is out of bounds.
func (s *Settings) Validate() error {
	var faults []error
	if s.TracesExporter != "otlp" && s.TracesExporter != "none" {
		faults = append(faults, fmt.Errorf("OTEL_TRACES_EXPORTER %q is not known: give otlp or none", s.TracesExporter))
	}
	for _, endpoint := range []struct{ name, value string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", s.Endpoint}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", s.TracesEndpoint},
	} {
		u, err := url.Parse(endpoint.value)
		if endpoint.value != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			// Not repeated: it may hold a password.
			faults = append(faults, fmt.Errorf("%s must be a URL such as http://127.0.0.1:4317", endpoint.name))
		}
	}
	for _, protocol := range []struct{ name, value string }{
		{"OTEL_EXPORTER_OTLP_PROTOCOL", s.Protocol}, {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", s.TracesProtocol},
	} {
		if v := protocol.value; v != "" && v != protocolGRPC && v != protocolHTTP {
			faults = append(faults, fmt.Errorf("%s %q is not known: give grpc or http/protobuf", protocol.name, v))
		}
	}
	_, attributesErr := s.attributes()
	_, samplerErr := s.sampler()
	faults = append(faults, attributesErr, samplerErr)
	for _, positive := range []struct {
		name  string
		value int
	}{
		{"OTEL_BSP_MAX_QUEUE_SIZE", s.QueueSize}, {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", s.BatchSize},
		{"OTEL_BSP_SCHEDULE_DELAY", s.ScheduleDelay}, {"OTEL_BSP_EXPORT_TIMEOUT", s.ExportTimeout},
	} {
		if positive.value < 1 {
			faults = append(faults, fmt.Errorf("%s %d must be positive", positive.name, positive.value))
		}
	}
	return errors.Join(faults...)
}

func (s *Settings) exports() bool {
	return !s.Disabled && s.TracesExporter != "none" && cmp.Or(s.TracesEndpoint, s.Endpoint) != ""
}

// target is the endpoint without a password.
func (s *Settings) target() string {
	u, err := url.Parse(cmp.Or(s.TracesEndpoint, s.Endpoint))
	if err != nil {
		return ""
	}
	return u.Redacted()
}

// exporter returns what sends spans to the endpoint. It does not connect.
func (s *Settings) exporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	endpoint := cmp.Or(s.TracesEndpoint, s.Endpoint)
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, errors.New("the endpoint is no URL")
	}
	if s.protocol(u) == protocolGRPC {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(endpoint))
	}
	if s.TracesEndpoint == "" {
		endpoint = u.JoinPath("v1", "traces").String()
	}
	return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint))
}

func (s *Settings) protocol(u *url.URL) string {
	switch said := cmp.Or(s.TracesProtocol, s.Protocol); {
	case said != "":
		return said
	case u.Port() == portGRPC:
		return protocolGRPC
	default:
		return protocolHTTP
	}
}

// defaultRatio is how many of the traces that begin in the platform are sampled unless
// the settings say: enough to see how it works, at next to no cost.
const defaultRatio = 0.001

// sampler returns what chooses the spans that are recorded.
func (s *Settings) sampler() (sdktrace.Sampler, error) {
	name, based := strings.CutPrefix(s.Sampler, "parentbased_")
	ratio := 1.0 // by the standard
	if s.Sampler == "" {
		name, based, ratio = "traceidratio", true, defaultRatio
	}
	if s.SamplerArg != "" {
		var err error
		if ratio, err = strconv.ParseFloat(s.SamplerArg, 64); err != nil || !(0 <= ratio && ratio <= 1) {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG %q must be from 0 to 1", s.SamplerArg)
		}
	}
	var root sdktrace.Sampler
	switch name {
	case "always_on":
		root = sdktrace.AlwaysSample()
	case "always_off":
		root = sdktrace.NeverSample()
	case "traceidratio":
		root = sdktrace.TraceIDRatioBased(ratio)
	default:
		return nil, fmt.Errorf("OTEL_TRACES_SAMPLER %q is not known: give always_on, always_off or traceidratio, "+
			"also after parentbased_", s.Sampler)
	}
	if based {
		root = sdktrace.ParentBased(root)
	}
	return tracing.Sampler(root, based), nil
}

// attributes reads OTEL_RESOURCE_ATTRIBUTES.
func (s *Settings) attributes() (out []attribute.KeyValue, err error) {
	for pair := range strings.SplitSeq(s.ResourceAttributes, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		text, unescaped := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !found || key == "" || unescaped != nil {
			return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES has %q: give key=value, separated by commas", pair)
		}
		out = append(out, attribute.String(key, text))
	}
	return out, nil
}

func (s *Settings) limits() limits {
	return limits{
		spans: s.QueueSize, batch: min(s.BatchSize, s.QueueSize),
		delay:   time.Duration(s.ScheduleDelay) * time.Millisecond,
		timeout: time.Duration(s.ExportTimeout) * time.Millisecond,
	}
}
