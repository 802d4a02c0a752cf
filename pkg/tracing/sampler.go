package tracing

import (
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Sampler returns a sampler that samples what another one does and, besides, what is
// kept. With linked it also samples spans without a parent that link to a sampled one,
// as those that have a parent follow it.
func Sampler(other sdktrace.Sampler, linked bool) sdktrace.Sampler { return sampler{other, linked} }

type sampler struct {
	sdktrace.Sampler
	linked bool
}

// ShouldSample is of sdktrace.Sampler.
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	if s.kept(&p) || s.linked && !parent.IsValid() && isLinked(p.Links) {
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: parent.TraceState()}
	}
	return s.Sampler.ShouldSample(p)
}

func (s sampler) kept(p *sdktrace.SamplingParameters) bool {
	for _, a := range p.Attributes {
		if a.Key == keptKey {
			return true
		}
	}
	return false
}

func isLinked(links []trace.Link) bool {
	for i := range links {
		if links[i].SpanContext.IsSampled() {
			return true
		}
	}
	return false
}

// Description is of sdktrace.Sampler.
func (s sampler) Description() string { return "Keeping{" + s.Sampler.Description() + "}" }
