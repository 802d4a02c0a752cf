package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/broker"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/publish"
)

// exporting returns the variables that have a process export to an endpoint.
func exporting(endpoint string) []string {
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_BSP_SCHEDULE_DELAY=50",
	}
}

// TestTracesFromProcessToProcess holds what the services, each a process, export to a
// real collector against what was published.
func TestTracesFromProcessToProcess(t *testing.T) {
	t.Parallel()
	c := startCollector(t)
	f := separateWith(t, append(exporting(c.endpoint), "OTEL_TRACES_SAMPLER=parentbased_always_off", "ENERGY_LINGER=200ms"))
	f.await(t, "the services to stand", caughtUp)
	js := f.jetStream(t)

	// Of the feed's messages the first is looked at, so that this comes first and alone.
	oneTrace(t, f, c, js)
	t.Run("ManyAreLinked", func(t *testing.T) {
		t.Parallel()
		manyTraces(t, f, c, js)
	})
	t.Run("AQuarantineIsKept", func(t *testing.T) {
		t.Parallel()
		// Nobody has traced it, and nothing that begins here is sampled.
		plain(t, js, `{"entity_id":"odd","metric":"voltage","unit":"V","time":"2026-01-02T00:00:00Z","value":-5}`)
		spans := c.await(t, "the quarantine's trace", func(spans []*span) bool {
			kept := matching(spans, func(s *span) bool { return s.Attributes["energy.kept"] == "quarantine" })
			return len(named(kept, "", "silver batch")) > 0 && len(named(spans, "", "quarantine batch")) > 0
		})
		silver := named(spans, "", "silver batch")
		silver = matching(silver, func(s *span) bool { return s.Attributes["energy.kept"] == "quarantine" })
		if !below(named(spans, silver[0].Trace, "quarantine batch"), silver) {
			t.Errorf("what is stored of it is not in its trace")
		}
	})
	t.Run("AQueryIsInTheTraceOfItsClient", func(t *testing.T) {
		t.Parallel()
		const trace = "0af7651916cd43dd8448eb211c80319c"
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.health["query"]+"/v1/pipeline/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
		response, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		const method = "energy.v1.QueryService/GetPipelineStatus"
		spans := c.await(t, "the query's span", func(spans []*span) bool { return len(named(spans, trace, method)) == 1 })
		query := named(spans, trace, method)[0]
		if query.Parent != "b7ad6b7169203331" || query.Service != "query" {
			t.Error(query)
		}
		asked := matching(spans, func(s *span) bool { return s.Trace == trace && s.Attributes["db.system.name"] == "postgresql" })
		if !below(asked, []*span{query}) {
			t.Errorf("what it asks of the database is %v", asked)
		}
	})
}

func plain(t *testing.T, js jetstream.JetStream, payload string) {
	t.Helper()
	if _, err := js.Publish(t.Context(), "readings.plain", []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

func oneTrace(t *testing.T, f *fleet, c *collector, js jetstream.JetStream) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "readings.ndjson")
	const one = `{"entity_id":"traced","metric":"voltage","unit":"V","time":"2026-01-02T00:00:00Z","value":230}`
	if err := os.WriteFile(file, []byte(one+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tool := &process{
		name: "energy", args: []string{"publish", file, "--trace", "--server", f.natsURL},
		environment: exporting(c.endpoint),
	}
	tool.start(t)
	if err := tool.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, tool.output.Bytes())
	}
	_, trace, _ := strings.Cut(tool.output.String(), "\ntrace         ")
	trace, _, _ = strings.Cut(trace, "\n")
	spans := c.await(t, "all spans of the trace", func(spans []*span) bool { return len(named(spans, trace, "gold batch")) > 0 })
	levels := []struct{ name, service string }{
		{"publish", "energy publish"}, {"ingest batch", "ingest"}, {"silver batch", "silver-cleaner"},
		{"gold batch", "gold-aggregator"}, {"COMMIT", "gold-aggregator"},
	}
	for i, level := range levels {
		here := named(spans, trace, level.name)
		if len(here) != 1 || here[0].Service != level.service {
			t.Fatalf("of %s there are %v", level.name, here)
		}
		if i > 0 && !below(here, named(spans, trace, levels[i-1].name)) {
			t.Errorf("%s is not below %s: %v", level.name, levels[i-1].name, here)
		}
	}

	gold := named(spans, trace, "gold batch")[0]
	fed, err := js.CreateOrUpdateConsumer(t.Context(), broker.StreamGold,
		jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	m, err := fed.Next(jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Headers().Get("traceparent"); got != "00-"+trace+"-"+gold.ID+"-01" {
		t.Errorf("the feed's message has the context %q, want that of %v", got, gold)
	}

	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	answer, err := f.query.ExplainAggregate(t.Context(), &energyv1.ExplainAggregateRequest{
		Series: &energyv1.SeriesKey{EntityId: "traced", Metric: "voltage", Unit: "V"},
		Start:  timestamppb.New(at), End: timestamppb.New(at.Add(time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	explained, err := answer.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if got := explained.GetVersions()[0].GetOrigin().GetTraceId(); got != trace {
		t.Errorf("explain leads to trace %q, want %s", got, trace)
	}
}

// manyTraces has 1,000 producers publish, half of them traced and sampled.
func manyTraces(t *testing.T, f *fleet, c *collector, js jetstream.JetStream) {
	t.Helper()
	const producers = 1000
	parent := func(n int) string { return fmt.Sprintf("00-%032x-%016x-%02x", n+1<<20, n+1, n%2) }
	for n := range producers {
		m := nats.NewMsg("readings.many")
		m.Header.Set("traceparent", parent(n))
		m.Data = fmt.Appendf(nil, `{"entity_id":"many-%d","metric":"voltage","unit":"V","time":"2026-01-02T00:00:00Z","value":230}`, n%16)
		if _, err := js.PublishMsgAsync(m); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	linked := func(spans []*span) map[string]bool {
		all := make(map[string]bool)
		for _, s := range named(spans, "", "ingest batch") {
			for _, l := range s.Links {
				all[l.Trace] = true
			}
			if s.Parent != "" && strings.HasPrefix(s.Trace, "00000000") { // a batch with but one
				all[s.Trace] = true
			}
		}
		return all
	}
	spans := c.await(t, "links to all producers", func(spans []*span) bool { return len(linked(spans)) >= producers/2 })
	for n := range producers {
		if _, trace, _ := strings.Cut(parent(n), "-"); linked(spans)[trace[:32]] != (n%2 == 1) {
			t.Fatalf("a link to producer %d: %t", n, n%2 == 0)
		}
	}
	// Each batch with links begins a trace, which goes on to the commit.
	for _, ingest := range named(spans, "", "ingest batch") {
		if len(ingest.Links) == 0 {
			continue
		}
		if ingest.Parent != "" {
			t.Errorf("it has links and a parent: %v", ingest)
		}
		c.await(t, "the commit of what is linked", func(spans []*span) bool {
			silver := following(spans, []*span{ingest}, "silver batch")
			gold := following(spans, silver, "gold batch")
			return len(matching(named(spans, "", "COMMIT"), func(s *span) bool { return below([]*span{s}, gold) })) > 0
		})
	}
	f.await(t, "gold to catch up", caughtUp)
}

// following returns the spans of a name that are children of others or linked to them.
func following(spans, others []*span, name string) []*span {
	ids := make(map[string]bool)
	for _, s := range others {
		ids[s.ID] = true
	}
	return matching(spans, func(s *span) bool {
		for _, l := range s.Links {
			if ids[l.ID] {
				return s.Name == name
			}
		}
		return s.Name == name && ids[s.Parent]
	})
}

// TestAnExporterThatHangsHurtsNothing has all spans sampled and nobody take them: what is
// published is in gold, and the platform stops as ever.
func TestAnExporterThatHangsHurtsNothing(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]bool{"dead": false, "silent": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			if !answers {
				l.Close()
			}
			p := embeddedWith(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + l.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
				"OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_MAX_QUEUE_SIZE": "16", "OTEL_BSP_SCHEDULE_DELAY": "1",
			})
			receipt := p.household(t, func(o *publish.Options) { o.BatchSize = 5000 })
			s := p.await(t, "gold to catch up", caughtUp)
			in := int64(0)
			for _, stage := range s.GetStages() {
				if stage.GetStage() == "gold" {
					in += int64(stage.GetReadingsIn())
				}
			}
			if in < receipt.Acknowledged {
				t.Errorf("gold has taken in %d readings of %d", in, receipt.Acknowledged)
			}
		})
	}
}
