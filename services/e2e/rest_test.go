package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// rest calls a path and returns the status and, but for a watch that stands, the
// body.
func (p *platform) rest(t *testing.T, method, path, body string) (code int, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.http+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK && strings.Contains(path, ":watch") {
		return res.StatusCode, ""
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

// results reads a stream of newline-delimited JSON.
func results[M proto.Message](t *testing.T, answer string, fresh func() M) (all []proto.Message) {
	t.Helper()
	for line := range strings.Lines(answer) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), `{"result":`)
		if !ok {
			t.Fatalf("a line is no result: %s", line)
		}
		m := fresh()
		if err := protojson.Unmarshal([]byte(strings.TrimSuffix(line, "}")), m); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, m)
	}
	return all
}

func received[M any](t *testing.T, stream grpc.ServerStreamingClient[M], err error) (all []proto.Message) {
	t.Helper()
	for err == nil {
		var m *M
		if m, err = stream.Recv(); err == nil {
			all = append(all, any(m).(proto.Message))
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return all
}

func sameMessages(t *testing.T, what string, want, got []proto.Message) {
	t.Helper()
	if len(want) == 0 || len(want) != len(got) {
		t.Fatalf("%s: gRPC sends %d messages, REST %d", what, len(want), len(got))
	}
	for i := range want {
		if !proto.Equal(want[i], got[i]) {
			t.Errorf("%s: message %d is over gRPC\n%v\nand over REST\n%v", what, i, want[i], got[i])
		}
	}
}

// TestRestAnswersAsGRPC asks the same over both: every message is the same.
func TestRestAnswersAsGRPC(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	at := time.Now().UTC().Truncate(24 * time.Hour).Add(-72 * time.Hour)
	p.status(t) // it stands
	for entity := range 3 {
		var readings []string
		for i := range 500 {
			readings = append(readings, fmt.Sprintf(`{"entity_id":"m%d","metric":"voltage","value":%d,"time":%q}`,
				entity, 220+i%20, at.Add(time.Duration(i)*time.Minute).Format(time.RFC3339)))
		}
		send(t, p, "application/json", "["+strings.Join(readings, ",")+"]")
	}
	p.await(t, "gold to have all", caughtUp)

	get := func(path string) string {
		code, answer := p.rest(t, http.MethodGet, path, "")
		if code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, code, answer)
		}
		return answer
	}
	selector := &energyv1.Selector{EntityIds: []string{"m0", "m2"}}
	const chosen = "selector.entity_ids=m0&selector.entity_ids=m2"

	list, err := p.query.ListSeries(t.Context(), &energyv1.ListSeriesRequest{Selector: selector})
	sameMessages(t, "series", received(t, list, err), results(t, get("/v1/series?"+chosen),
		func() *energyv1.ListSeriesResponse { return new(energyv1.ListSeriesResponse) }))

	latest, err := p.query.GetLatest(t.Context(), &energyv1.GetLatestRequest{Selector: selector})
	sameMessages(t, "latest", received(t, latest, err), results(t, get("/v1/latest?"+chosen),
		func() *energyv1.GetLatestResponse { return new(energyv1.GetLatestResponse) }))

	req := &energyv1.QueryAggregatesRequest{
		Selector: selector, Start: timestamppb.New(at.Add(time.Hour)), End: timestamppb.New(at.Add(8 * time.Hour)),
		Window: &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: quarterHour}},
	}
	aggregates, err := p.query.QueryAggregates(t.Context(), req)
	want := received(t, aggregates, err)
	query := url.Values{
		"start": {at.Add(time.Hour).Format(time.RFC3339)}, "end": {at.Add(8 * time.Hour).Format(time.RFC3339)},
		"window.fixed": {"900s"},
	}
	fresh := func() *energyv1.QueryAggregatesResponse { return new(energyv1.QueryAggregatesResponse) }
	sameMessages(t, "aggregates", want, results(t, get("/v1/aggregates?"+chosen+"&"+query.Encode()), fresh))
	body, err := protojson.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	_, answer := p.rest(t, http.MethodPost, "/v1/aggregates:query", string(body))
	sameMessages(t, "aggregates by POST", want, results(t, answer, fresh))

	status := new(energyv1.GetPipelineStatusResponse)
	if err := protojson.Unmarshal([]byte(get("/v1/pipeline/status")), status); err != nil {
		t.Fatal(err)
	}
	sameMessages(t, "status", []proto.Message{p.status(t)}, []proto.Message{status})
}

// TestOtherSitesAreRefused visits everything that is served over HTTP as the
// browser of somebody who looks at another website would.
func TestOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.status(t) // it stands
	for _, path := range []string{"/", "/live", "/health", "/openapi.json", "/v1/series", "/v1/entities"} {
		for name, change := range map[string]func(*http.Request){
			"a name of its own":    func(r *http.Request) { r.Host = "evil.example" },
			"a request of its own": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.http+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			change(req)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s by %s: %s", path, name, res.Status)
			}
			res.Body.Close()
		}
	}
}

// TestRestWatchSeesChanges follows a watch as a program with an HTTP client
// would, and goes on with its token.
func TestRestWatchSeesChanges(t *testing.T) {
	t.Parallel()
	p := embedded(t)
	p.status(t) // it stands
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watch := func(query string) (next func() *energyv1.WatchAggregatesResponse, done func()) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet,
			"http://"+p.http+"/v1/aggregates:watch?window.fixed=900s"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req) //nolint:bodyclose // done closes it
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(res.Body)
		return func() *energyv1.WatchAggregatesResponse {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("the watch ended with %v after %q", err, line)
			}
			return results(t, line, func() *energyv1.WatchAggregatesResponse {
				return new(energyv1.WatchAggregatesResponse)
			})[0].(*energyv1.WatchAggregatesResponse)
		}, func() { res.Body.Close() }
	}
	publish := func(value int) {
		send(t, p, "application/json", fmt.Sprintf(`{"entity_id":"m","metric":"voltage","value":%d,"time":%q}`, value,
			time.Now().Add(-time.Hour).Format(time.RFC3339Nano)))
	}
	next, done := watch("")
	token := next().GetResumeToken()
	done()
	publish(230) // while nobody watches
	p.await(t, "gold to have the reading", caughtUp)
	next, done = watch("&resume_token=" + token)
	defer done()
	next()
	if r := next(); r.GetSeries().GetEntityId() != "m" || r.GetAggregates()[0].GetReceived() != 1 {
		t.Errorf("the change before the watch is %v", r)
	}
	publish(231)
	if r := next(); r.GetAggregates()[0].GetRevision() == 0 || r.GetAggregates()[0].GetStatistics().GetLast() != 231 {
		t.Errorf("the change during the watch is %v", r)
	}
}
