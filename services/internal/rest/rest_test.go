package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/rest"
)

// fake answers with series a, then b, then an error, and keeps the last request
// for aggregates.
type fake struct {
	energyv1.UnimplementedQueryServiceServer
	before, after error
	asked         chan *energyv1.QueryAggregatesRequest
}

func (f *fake) ListSeries(
	_ *energyv1.ListSeriesRequest, stream grpc.ServerStreamingServer[energyv1.ListSeriesResponse],
) error {
	if f.before != nil {
		return f.before
	}
	for _, id := range []string{"a", "b"} {
		if err := stream.Send(&energyv1.ListSeriesResponse{Series: &energyv1.SeriesKey{EntityId: id}}); err != nil {
			return err
		}
	}
	return f.after
}

func (f *fake) QueryAggregates(
	req *energyv1.QueryAggregatesRequest, _ grpc.ServerStreamingServer[energyv1.QueryAggregatesResponse],
) error {
	f.asked <- req
	return nil
}

func (f *fake) GetPipelineStatus(
	context.Context, *energyv1.GetPipelineStatusRequest,
) (*energyv1.GetPipelineStatusResponse, error) {
	return &energyv1.GetPipelineStatusResponse{Missing: 3}, f.before
}

// serve serves REST before a fake and returns its URL.
func serve(t *testing.T, f energyv1.QueryServiceServer, ready func() error) string {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	energyv1.RegisterQueryServiceServer(server, f)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///fake", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if ready == nil {
		ready = func() error { return nil }
	}
	handler, err := rest.New(t.Context(), conn, ready)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(handler)
	t.Cleanup(front.Close)
	return front.URL
}

// call returns status, media type and body of an answer.
func call(t *testing.T, method, url, body string) (code int, mediaType, answer string) {
	t.Helper()
	return callAs(t, method, url, "application/json; charset=utf-8", body)
}

func callAs(t *testing.T, method, url, contentType, body string) (code int, mediaType, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), string(raw)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const (
		lines = `{"result":{"series":{"entity_id":"a","metric":"","unit":""},"kind":"KIND_UNSPECIFIED","energy_unit":"","power_unit":""}}
{"result":{"series":{"entity_id":"b","metric":"","unit":""},"kind":"KIND_UNSPECIFIED","energy_unit":"","power_unit":""}}
`
		away = `{"code":14,"message":"away","details":[]}`
	)
	unavailable := status.Error(codes.Unavailable, "away")
	tests := []struct {
		name         string
		fake         fake
		ready        error
		method, path string
		code         int
		mediaType    string
		answer       string // whole, or its beginning when it ends in …
	}{
		{"a stream is newline-delimited JSON", fake{}, nil, "GET", "/v1/series", 200, "application/x-ndjson", lines},
		{"a stream that ends without a message is empty", fake{asked: make(chan *energyv1.QueryAggregatesRequest, 1)}, nil, "GET", "/v1/aggregates", 200, "application/x-ndjson", ""},
		{"a stream that breaks says so in its last line", fake{after: unavailable}, nil, "GET", "/v1/series", 200, "application/x-ndjson", lines + `{"error":` + away + "}\n"},
		{"a stream that never begins answers with the status", fake{before: unavailable}, nil, "GET", "/v1/series", 503, "application/json", away},
		{"a single answer is one object with its zeros", fake{}, nil, "GET", "/v1/pipeline/status", 200, "application/json", `{"streams":[],"stages":[],"redelivered":"0","missing":"3","caught_up":false,"quarantine":[]}`},
		{"a single answer that fails has a status too", fake{before: status.Error(codes.FailedPrecondition, "not migrated")}, nil, "GET", "/v1/pipeline/status", 400, "application/json", `{"code":9,"message":"not migrated","details":[]}`},
		{"what is not there yet is unavailable", fake{}, errors.New("starting"), "GET", "/v1/series", 503, "application/json", `{"code":14,"message":"starting","details":[]}`},
		{"what does not exist is not found", fake{}, nil, "GET", "/v1/serie", 404, "application/json", `{"code":5,"message":"there is no \"/v1/serie\"…`},
		{"a wrong method is not allowed", fake{}, nil, "POST", "/v1/series", 405, "application/json", `{"code":12,"message":"\"/v1/series\" does not take POST…`},
		{"a path that is no UTF-8 is not found", fake{}, nil, "GET", "/v1/%ff", 404, "application/json", `{"code":5,"message":"there is no \"/v1/\\xff\"…`},
		{"a query must be well-formed", fake{}, nil, "GET", "/v1/series?a=%zz", 400, "application/json", `{"code":3,"message":"the query must be well-formed…`},
		{"the document is there from the start", fake{}, errors.New("starting"), "GET", "/openapi.json", 200, "application/json", "{\n  \"swagger\": \"2.0\"…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := serve(t, &tt.fake, func() error { return tt.ready })
			code, mediaType, answer := call(t, tt.method, url+tt.path, "")
			if code != tt.code || mediaType != tt.mediaType {
				t.Errorf("got %d %s, want %d %s", code, mediaType, tt.code, tt.mediaType)
			}
			begin, open := strings.CutSuffix(tt.answer, "…")
			if answer != tt.answer && (!open || !strings.HasPrefix(answer, begin)) {
				t.Errorf("got %s\nwant %s", answer, tt.answer)
			}
		})
	}
}

// TestQueryAndBodyAskTheSame reads one request from parameters and from a body.
func TestQueryAndBodyAskTheSame(t *testing.T) {
	t.Parallel()
	f := &fake{asked: make(chan *energyv1.QueryAggregatesRequest, 1)}
	url := serve(t, f, nil)
	const body = `{"selector": {"entityIds": ["a", "b/c"], "metrics": ["m"]}, "start": "2026-03-01T10:15:00+01:00",
		"end": "2026-03-02T00:00:00.5Z", "window": {"calendar": "CALENDAR_UNIT_WEEK", "zone": "Europe/Paris"}}`
	const query = "selector.entity_ids=a&selector.entity_ids=b/c&selector.metrics=m&start=2026-03-01T10:15:00%2B01:00" +
		"&end=2026-03-02T00:00:00.5Z&window.calendar=CALENDAR_UNIT_WEEK&window.zone=Europe/Paris"
	ask := func(method, path, body string) *energyv1.QueryAggregatesRequest {
		if code, _, answer := call(t, method, url+path, body); code != http.StatusOK {
			t.Fatalf("%s %s: %d %s", method, path, code, answer)
		}
		return <-f.asked
	}
	want, got := ask("POST", "/v1/aggregates:query", body), ask("GET", "/v1/aggregates?"+query, "")
	if !proto.Equal(want, got) || len(got.GetSelector().GetEntityIds()) != 2 || got.GetWindow().GetZone() == "" {
		t.Errorf("the body asks %v\nthe query %v", want, got)
	}
	if got := ask("POST", "/v1/aggregates:query", ""); proto.Size(got) != 0 {
		t.Errorf("no body asks %v", got)
	}
}

// TestBodiesAreJSON refuses the bodies that a browser sends to another site
// without asking it first.
func TestBodiesAreJSON(t *testing.T) {
	t.Parallel()
	f := &fake{asked: make(chan *energyv1.QueryAggregatesRequest, 8)}
	url := serve(t, f, nil)
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json-seq", ";"} {
		code, mediaType, answer := callAs(t, "POST", url+"/v1/aggregates:query", contentType, `{"selector":{"metrics":["m"]}}`)
		if code != http.StatusUnsupportedMediaType || mediaType != "application/json" ||
			!strings.Contains(answer, "Content-Type: application/json") {
			t.Errorf("a body of %q is answered with %d %s %s", contentType, code, mediaType, answer)
		}
	}
	if len(f.asked) != 0 {
		t.Errorf("the service was asked %v", <-f.asked)
	}
}

// TestWatchesEndWithTheirCaller proves that an answer may last and that nothing
// goes on for a caller that went away.
func TestWatchesEndWithTheirCaller(t *testing.T) {
	t.Parallel()
	w := &watched{ended: make(chan struct{})}
	url := serve(t, w, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/aggregates:watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var first struct {
		Result struct {
			ResumeToken string `json:"resume_token"`
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&first); err != nil || first.Result.ResumeToken != "1-2" {
		t.Errorf("first line %+v, %v", first, err)
	}
	res.Body.Close()
	<-w.ended
}

// watched is a watch that sends once.
type watched struct {
	fake
	ended chan struct{}
}

func (w *watched) WatchAggregates(
	_ *energyv1.WatchAggregatesRequest, stream grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse],
) error {
	defer close(w.ended)
	if err := stream.Send(&energyv1.WatchAggregatesResponse{ResumeToken: "1-2"}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}
