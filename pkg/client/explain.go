package client

import (
	"context"
	"iter"
	"time"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// Span is the readings of a series with times in [Start, End). All but KnownAt, which
// is as in Question, are required.
type Span struct {
	Series     reading.Series
	Start, End time.Time
	KnownAt    time.Time
}

// Explained is all that the platform has for one time of a series.
type Explained struct {
	Time     time.Time // UTC
	Versions []Version // the one that counts, or withdraws the reading, first
}

// Version is one of the contents that were received for a time.
type Version struct {
	Value         float64 // in the series' unit
	Quality       reading.Quality
	Revision      uint64
	Length        time.Duration // span that it covers; 0 where it is of a time
	ExchangeStart Number        // of an exchange of the meter: the index that the new one starts from
	Flags         []string      // names of the rules that flagged it
	Epoch         uint64        // of the catalogue that judged it
	Rejected      bool
	Released      bool // from quarantine
	Outcome       Outcome
	Reason        string // the outcome in words
	Origin        Origin
}

// Origin is where a version came from.
type Origin struct {
	Received time.Time // by the broker
	Stream   string
	Sequence uint64
	Index    uint32 // of the reading in the message
	// Held says whether the stream still holds the message; Subject and TraceID are
	// empty where not.
	Held    bool
	Subject string
	TraceID string
}

// Explain returns what a number rests on: each reading of a span with every version
// that was received, which one counts, and why the others do not.
func (c *Client) Explain(ctx context.Context, s Span) iter.Seq2[Explained, error] {
	req := &energyv1.ExplainAggregateRequest{
		Series: &energyv1.SeriesKey{EntityId: s.Series.EntityID, Metric: s.Series.Metric, Unit: s.Series.Unit},
		Start:  instant(s.Start), End: instant(s.End), KnownAt: instant(s.KnownAt),
	}
	in := responses(ctx, "explain", req, c.query.ExplainAggregate)
	return each(in, func(r *energyv1.ExplainAggregateResponse) Explained {
		e := Explained{Time: timeOf(r.GetTime()), Versions: make([]Version, len(r.GetVersions()))}
		for i, v := range r.GetVersions() {
			e.Versions[i] = versionOf(v)
		}
		return e
	})
}

func versionOf(v *energyv1.ExplainedVersion) Version {
	o := v.GetOrigin()
	return Version{
		Value: v.GetValue(), Quality: reading.Quality(v.GetQuality()), Revision: v.GetRevision(),
		Length: v.GetLength().AsDuration(), ExchangeStart: number(v.ExchangeStart), Flags: v.GetFlags(),
		Epoch: v.GetEpoch(), Rejected: v.GetRejected(), Released: v.GetReleased(),
		Outcome: Outcome(v.GetOutcome()), Reason: v.GetReason(),
		Origin: Origin{
			Received: timeOf(o.GetReceived()), Stream: o.GetStream(), Sequence: o.GetSequence(), Index: o.GetIndex(),
			Held: o.GetHeld(), Subject: o.GetSubject(), TraceID: o.GetTraceId(),
		},
	}
}
