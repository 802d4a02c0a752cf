package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/energy-platform/energy/pkg/client"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func TestPlainTextStaysOnThisMachine(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"localhost:9090", "127.0.0.1:9090", "127.8.8.8:1", "[::1]:9090", "unix:/run/energy.sock",
	} {
		c, err := client.Dial(address, client.Options{})
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		c.Close()
	}
	for _, address := range []string{
		"", "localhost", "db:9090", "10.0.0.7:9090", "localhost.example.org:9090", "dns:///127.0.0.1:9090", "[::]:9090",
	} {
		_, err := client.Dial(address, client.Options{})
		if !errors.Is(err, client.ErrInvalid) || !strings.Contains(err.Error(), "dial: address ") {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, o := range []client.Options{{Insecure: true}, {TLS: new(tls.Config)}} {
		c, err := client.Dial("db:9090", o)
		if err != nil {
			t.Error(err)
			continue
		}
		c.Close()
	}
}

func TestDialNamesWhatItRefuses(t *testing.T) {
	t.Parallel()
	for says, o := range map[string]client.Options{
		"retry_longest 1ms must be at least retry_first, 100ms": {RetryLongest: time.Millisecond},
		"retry_longest 10s must be at least retry_first, -1s":   {RetryFirst: -time.Second},
	} {
		if _, err := client.Dial("localhost:9090", o); !errors.Is(err, client.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	_, err := client.Dial("\x00:9090", client.Options{Insecure: true})
	if !errors.Is(err, client.ErrInvalid) || !strings.Contains(err.Error(), "address ") {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	lender := httptest.NewTLSServer(nil)
	certificates := lender.TLS.Certificates
	trusted := x509.NewCertPool()
	trusted.AddCert(lender.Certificate())
	lender.Close()
	platform := &canned{status: func(context.Context) (*energyv1.GetPipelineStatusResponse, error) {
		return &energyv1.GetPipelineStatusResponse{CaughtUp: true}, nil
	}}
	secret := credentials.NewTLS(&tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS12})
	address, stop, err := platform.serve(t.Context(), grpc.Creds(secret))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	c := dial(t, address, client.Options{TLS: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}})
	if s, err := c.Status(patient(t)); err != nil || !s.CaughtUp {
		t.Errorf("%+v, %v", s, err)
	}
	c = dial(t, address, client.Options{TLS: &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}})
	if _, err := c.Status(patient(t)); !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody known: %v", err)
	}
}

// TestErrors has one call for each kind of error: it says what the platform said,
// keeps the code, and can be told by errors.Is.
func TestErrors(t *testing.T) {
	t.Parallel()
	for code, want := range map[codes.Code]error{
		codes.InvalidArgument:    client.ErrInvalid,
		codes.Unavailable:        client.ErrUnavailable,
		codes.OutOfRange:         client.ErrMissed,
		codes.DeadlineExceeded:   context.DeadlineExceeded,
		codes.Canceled:           context.Canceled,
		codes.FailedPrecondition: nil,
		codes.Internal:           nil,
	} {
		said := status.Error(code, "window.zone is what the platform says")
		c := (&canned{
			aggregates: func(*energyv1.QueryAggregatesRequest) ([]*energyv1.QueryAggregatesResponse, error) {
				return []*energyv1.QueryAggregatesResponse{{Aggregates: []*energyv1.Aggregate{{}, {}}}}, said
			},
			status: func(context.Context) (*energyv1.GetPipelineStatusResponse, error) { return nil, said },
		}).dial(t)
		answers, err := collect(c.Aggregates(patient(t), client.Question{}))
		if len(answers) != 2 {
			t.Errorf("%s: %d answers before the error, want 2", code, len(answers))
		}
		_, statusErr := c.Status(patient(t))
		for call, err := range map[string]error{"aggregates": err, "status": statusErr} {
			if err == nil || err.Error() != call+": window.zone is what the platform says" || status.Code(err) != code {
				t.Errorf("%s of %s: %v, code %s", code, call, err, status.Code(err))
			}
			for _, one := range []error{
				client.ErrInvalid, client.ErrUnavailable, client.ErrMissed, context.DeadlineExceeded, context.Canceled,
			} {
				if errors.Is(err, one) != errors.Is(want, one) {
					t.Errorf("%s of %s is %v: %t", code, call, one, errors.Is(err, one))
				}
			}
		}
	}
}

func TestTextThatCannotBeSentIsNamed(t *testing.T) {
	t.Parallel()
	c, ctx, bad := new(canned).dial(t), patient(t), "m\xff"
	_, selected := collect(c.Aggregates(ctx, client.Question{Selector: client.Selector{EntityIDs: []string{"m", bad}}}))
	_, zone := collect(c.Watch(ctx, client.Selection{Window: client.Window{Calendar: client.Day, Zone: bad}}))
	_, series := collect(c.Explain(ctx, client.Span{Series: reading.Series{Metric: bad}}))
	_, id := collect(c.Entities(ctx, client.Registered{IDs: []string{bad}}))
	both := client.Window{Calendar: client.Day, Fixed: time.Hour}
	_, asked := collect(c.Aggregates(ctx, client.Question{Window: both}))
	_, watched := collect(c.Watch(ctx, client.Selection{Window: both}))
	for want, err := range map[string]error{
		`aggregates: selector.entity_ids[1] "m\xff" is not valid UTF-8`:                     selected,
		`watch: window.zone "m\xff" is not valid UTF-8`:                                     zone,
		`explain: series.metric "m\xff" is not valid UTF-8`:                                 series,
		`entities: ids[0] "m\xff" is not valid UTF-8`:                                       id,
		"aggregates: window.fixed and window.calendar exclude each other: give one of them": asked,
		"watch: window.fixed and window.calendar exclude each other: give one of them":      watched,
	} {
		if !errors.Is(err, client.ErrInvalid) || err.Error() != want || status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestLeavingALoopEndsTheCall(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	c := (&canned{series: func(
		_ *energyv1.ListSeriesRequest, to grpc.ServerStreamingServer[energyv1.ListSeriesResponse],
	) error {
		defer close(ended)
		for {
			if err := to.Send(&energyv1.ListSeriesResponse{}); err != nil {
				return err
			}
		}
	}}).dial(t)
	for range c.Series(t.Context(), client.Selector{}) { // which outlives the wait
		break
	}
	select {
	case <-ended:
	case <-patient(t).Done():
		t.Error("the server still answers")
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := (&canned{series: func(
		_ *energyv1.ListSeriesRequest, to grpc.ServerStreamingServer[energyv1.ListSeriesResponse],
	) error {
		if err := to.Send(&energyv1.ListSeriesResponse{}); err != nil {
			return err
		}
		<-to.Context().Done()
		return to.Context().Err()
	}}).dial(t)
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	var last error
	for _, last = range c.Series(ctx, client.Selector{}) {
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Error(last)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	address, stop, err := new(canned).serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop()
	c := dial(t, address, client.Options{})
	if _, err := c.Status(patient(t)); !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), address) {
		t.Error(err)
	}
}
