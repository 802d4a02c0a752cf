package telemetry

import (
	"net/url"
	"testing"
)

func TestProtocols(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ endpoint, general, traces, want string }{
		{"http://collector:4317", "", "", "grpc"},
		{"http://collector:4318", "", "", "http/protobuf"},
		{"https://collector/otlp", "", "", "http/protobuf"},
		{"http://collector:4317", "http/protobuf", "", "http/protobuf"},
		{"http://collector:4318", "http/protobuf", "grpc", "grpc"},
	} {
		u, err := url.Parse(c.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		s := Settings{Protocol: c.general, TracesProtocol: c.traces}
		if got := s.protocol(u); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
