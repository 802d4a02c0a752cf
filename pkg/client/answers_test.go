package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/client"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// hour is a time of the answers of these tests.
func hour(n int) time.Time { return time.Date(2026, 3, 29, n, 0, 0, 0, time.UTC) }

func stamp(n int) *timestamppb.Timestamp { return timestamppb.New(hour(n)) }

func known(v float64) client.Number { return client.Number{Value: v, Known: true} }

var meter = reading.Series{EntityID: "meter-7", Metric: "active_energy_import", Unit: "kWh"}

func key(s reading.Series) *energyv1.SeriesKey {
	return &energyv1.SeriesKey{EntityId: s.EntityID, Metric: s.Metric, Unit: s.Unit}
}

// TestQuestionsAreSentWhole asks with everything, and with nothing.
func TestQuestionsAreSentWhole(t *testing.T) {
	t.Parallel()
	var got *energyv1.QueryAggregatesRequest
	c := (&canned{aggregates: func(req *energyv1.QueryAggregatesRequest) ([]*energyv1.QueryAggregatesResponse, error) {
		got = req
		return nil, nil
	}}).dial(t)
	for _, one := range []struct {
		asked client.Question
		want  *energyv1.QueryAggregatesRequest
	}{
		{client.Question{}, &energyv1.QueryAggregatesRequest{
			Selector: new(energyv1.Selector), Window: new(energyv1.Window),
		}},
		{client.Question{
			Selector: client.Selector{
				EntityIDs: []string{"e"}, Metrics: []string{"m"}, Parents: []string{"p"}, Labels: []string{"k=v"},
			},
			Start: hour(1), End: hour(2), Window: client.Window{Calendar: client.GasDay, Zone: "z", EntityZone: true},
			GroupBy: client.ByLabel, GroupLabel: "k", GapFill: client.FillLinear, KnownAt: hour(3),
		}, &energyv1.QueryAggregatesRequest{
			Selector: &energyv1.Selector{
				EntityIds: []string{"e"}, Metrics: []string{"m"}, Parents: []string{"p"}, Labels: []string{"k=v"},
			},
			Start: stamp(1), End: stamp(2), Window: &energyv1.Window{
				Span: &energyv1.Window_Calendar{Calendar: energyv1.CalendarUnit_CALENDAR_UNIT_GAS_DAY}, Zone: "z", EntityZone: true,
			},
			GroupBy: energyv1.GroupBy_GROUP_BY_LABEL, GroupLabel: "k", GapFill: energyv1.GapFill_GAP_FILL_LINEAR, KnownAt: stamp(3),
		}},
		{client.Question{Window: client.Window{Fixed: time.Hour}}, &energyv1.QueryAggregatesRequest{
			Selector: new(energyv1.Selector),
			Window:   &energyv1.Window{Span: &energyv1.Window_Fixed{Fixed: durationpb.New(time.Hour)}},
		}},
	} {
		all(t, c.Aggregates(patient(t), one.asked))
		if diff := cmp.Diff(one.want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
}

// TestAggregatesHaveAllThatIsAnswered sets every field of the contract to a value of
// its own.
func TestAggregatesHaveAllThatIsAnswered(t *testing.T) {
	t.Parallel()
	whole := &energyv1.Aggregate{
		Start: stamp(1), End: stamp(2), Date: "2026-03-29",
		Statistics: &energyv1.Statistics{
			Count: 3, Min: 1.5, MinAtNs: hour(3).UnixNano(), Max: 2.5, MaxAtNs: hour(4).UnixNano(), Energy: 3.5, Advance: 4.5,
			Gaps: 5, Resets: 6, Exchanges: 7,
		},
		Mean: new(8.5), Expected: 9, Received: 10, Completeness: new(0.11),
		Peak: new(12.5), PeakAt: stamp(5), Revision: 13, LastChange: stamp(6),
		InterpolatedEnergy: new(14.5), EdgeOpen: true, Finality: energyv1.Finality_FINALITY_RESTATED,
		ClosesAt:       stamp(7),
		Flags:          []*energyv1.FlagCount{{Rule: "spike", Count: new(uint64(15))}, {Rule: "out_of_range"}},
		EstimatedShare: new(0.16), EstimatedEnergyShare: new(0.17),
		CorrectedShare: new(0.18), CorrectedEnergyShare: new(0.19), MeanPower: new(20.5),
		Filled: &energyv1.Filled{Mean: new(21.5), Energy: new(22.5)}, Members: 23, Contributing: 24,
	}
	pairs := proto.CloneOf(whole) // no reading inside
	pairs.Statistics.Count, pairs.Mean = 0, nil
	c := (&canned{aggregates: func(*energyv1.QueryAggregatesRequest) ([]*energyv1.QueryAggregatesResponse, error) {
		return []*energyv1.QueryAggregatesResponse{
			{
				Series: key(meter), Kind: energyv1.Kind_KIND_REGISTER, EnergyUnit: "kWh", PowerUnit: "kW",
				Aggregates: []*energyv1.Aggregate{whole, pairs, {Start: stamp(2), End: stamp(3)}},
			},
			{
				Group: &energyv1.Group{Key: "site-1", Metric: "active_energy", Unit: "Wh"}, Kind: energyv1.Kind_KIND_INTERVAL,
				EnergyUnit: "kWh", Aggregates: []*energyv1.Aggregate{whole},
			},
			{Series: &energyv1.SeriesKey{EntityId: "s"}, Kind: energyv1.Kind_KIND_GAUGE, Aggregates: []*energyv1.Aggregate{whole}},
		}, nil
	}}).dial(t)

	first := client.Aggregate{
		Series: meter, Kind: client.Register, EnergyUnit: "kWh", PowerUnit: "kW",
		Start: hour(1), End: hour(2), Date: "2026-03-29",
		Consumption: known(4.5), Interpolated: known(14.5), MeanPower: known(20.5), Peak: known(12.5), PeakAt: hour(5),
		Mean: known(8.5), Min: known(1.5), Max: known(2.5), MinAt: hour(3), MaxAt: hour(4),
		Received: 10, Expected: 9, Completeness: known(0.11),
		EstimatedShare: known(0.16), EstimatedEnergyShare: known(0.17),
		CorrectedShare: known(0.18), CorrectedEnergyShare: known(0.19), Gaps: 5, Resets: 6, Exchanges: 7,
		Flags:    []client.Flag{{Rule: "spike", Count: 15}, {Rule: "out_of_range"}},
		Finality: client.Restated, ClosesAt: hour(7), EdgeOpen: true, Revision: 13, LastChange: hour(6),
		Filled: &client.Filled{Mean: known(21.5), Consumption: known(22.5)}, Members: 23, Contributing: 24,
	}
	between := first
	between.Mean, between.Min, between.Max = client.Number{}, client.Number{}, client.Number{}
	between.MinAt, between.MaxAt = time.Time{}, time.Time{}
	nothing := client.Aggregate{
		Series: meter, Kind: client.Register, EnergyUnit: "kWh", PowerUnit: "kW", Start: hour(2), End: hour(3),
	}
	group := first
	group.Series, group.Group = reading.Series{}, client.Group{Key: "site-1", Metric: "active_energy", Unit: "Wh"}
	group.Kind, group.PowerUnit, group.Consumption = client.Interval, "", known(3.5)
	gauge := first
	gauge.Series, gauge.Kind, gauge.EnergyUnit, gauge.PowerUnit = reading.Series{EntityID: "s"}, client.Gauge, "", ""
	gauge.Consumption = client.Number{}
	want := []client.Aggregate{first, between, nothing, group, gauge}
	if diff := cmp.Diff(want, all(t, c.Aggregates(patient(t), client.Question{}))); diff != "" {
		t.Error(diff)
	}
}

func TestSeriesLatestAndEntities(t *testing.T) {
	t.Parallel()
	c := (&canned{
		series: func(
			req *energyv1.ListSeriesRequest, to grpc.ServerStreamingServer[energyv1.ListSeriesResponse],
		) error {
			return to.Send(&energyv1.ListSeriesResponse{
				Series:     &energyv1.SeriesKey{EntityId: req.GetSelector().GetEntityIds()[0], Metric: "m", Unit: "kWh"},
				Kind:       energyv1.Kind_KIND_REGISTER,
				EnergyUnit: "kWh", PowerUnit: "kW", BaseWindow: durationpb.New(15 * time.Minute),
			})
		},
		latest: []*energyv1.GetLatestResponse{{
			Series: key(meter), Kind: energyv1.Kind_KIND_REGISTER, Time: stamp(1), Value: 7.5,
			Quality: energyv1.Quality_QUALITY_CORRECTED, LastChange: stamp(2),
		}},
		entities: func(req *energyv1.ListEntitiesRequest) ([]*energyv1.ListEntitiesResponse, error) {
			return []*energyv1.ListEntitiesResponse{
				{Entity: &energyv1.Entity{Id: req.GetIds()[0], Parent: req.GetParents()[0]}},
				{Entity: &energyv1.Entity{
					Id: "m", ValidFrom: req.GetValidAt(), Name: "n", Zone: "z", Labels: map[string]string{"k": req.GetLabels()[0]},
				}},
			}, nil
		},
	}).dial(t)
	series := all(t, c.Series(patient(t), client.Selector{EntityIDs: []string{"e"}}))
	if diff := cmp.Diff([]client.Series{{
		Series: reading.Series{EntityID: "e", Metric: "m", Unit: "kWh"}, Kind: client.Register,
		EnergyUnit: "kWh", PowerUnit: "kW", BaseWindow: 15 * time.Minute,
	}}, series); diff != "" {
		t.Error(diff)
	}
	latest := all(t, c.Latest(patient(t), client.Selector{}))
	if diff := cmp.Diff([]client.Latest{{
		Series: meter, Kind: client.Register, Time: hour(1), Value: 7.5, Quality: reading.Corrected, LastChange: hour(2),
	}}, latest); diff != "" {
		t.Error(diff)
	}
	entities := all(t, c.Entities(patient(t), client.Registered{
		IDs: []string{"m"}, ValidAt: hour(3), Parents: []string{"p"}, Labels: []string{"k=v"},
	}))
	if diff := cmp.Diff([]client.Entity{
		{ID: "m", Parent: "p"},
		{ID: "m", ValidFrom: hour(3), Name: "n", Zone: "z", Labels: map[string]string{"k": "k=v"}},
	}, entities); diff != "" {
		t.Error(diff)
	}
}

func TestExplainAndStatus(t *testing.T) {
	t.Parallel()
	c := (&canned{
		explain: func(req *energyv1.ExplainAggregateRequest) ([]*energyv1.ExplainAggregateResponse, error) {
			return []*energyv1.ExplainAggregateResponse{{Time: req.GetStart(), Versions: []*energyv1.ExplainedVersion{
				{
					Value: 1.5, Quality: energyv1.Quality_QUALITY_ESTIMATED, Revision: 2, Length: durationpb.New(time.Minute),
					ExchangeStart: new(3.5), Flags: []string{"f"}, Epoch: 4, Rejected: true, Released: true,
					Outcome: energyv1.Outcome_OUTCOME_LESSER_QUALITY, Reason: "because",
					Origin: &energyv1.Origin{
						Received: req.GetKnownAt(), Stream: "READINGS", Sequence: 5, Index: 6, Held: true,
						Subject: req.GetSeries().GetMetric(), TraceId: "t",
					},
				},
				{},
			}}}, nil
		},
		status: func(context.Context) (*energyv1.GetPipelineStatusResponse, error) {
			return &energyv1.GetPipelineStatusResponse{
				Streams: []*energyv1.StreamStatus{{
					Name: "READINGS", Messages: 1, Bytes: 2, MaxBytes: 3, FirstSequence: 4, LastSequence: 5,
					FirstTime: timestamppb.New(hour(4)),
				}},
				Stages: []*energyv1.StageStatus{{
					Stage: "gold", Partitions: 6, ReadingsIn: 7, ReadingsOut: 8, Quarantined: 9, PendingMessages: 10,
					Lag: durationpb.New(11),
				}},
				Redelivered: 12, Missing: 13, CaughtUp: true,
				Quarantine: []*energyv1.QuarantineCount{{Stage: "silver", Rule: "unknown_unit", Readings: 14}},
			}, nil
		},
	}).dial(t)
	explained := all(t, c.Explain(patient(t), client.Span{Series: meter, Start: hour(1), End: hour(2), KnownAt: hour(3)}))
	if diff := cmp.Diff([]client.Explained{{Time: hour(1), Versions: []client.Version{
		{
			Value: 1.5, Quality: reading.Estimated, Revision: 2, Length: time.Minute, ExchangeStart: known(3.5),
			Flags: []string{"f"}, Epoch: 4, Rejected: true, Released: true, Outcome: client.LesserQuality, Reason: "because",
			Origin: client.Origin{
				Received: hour(3), Stream: "READINGS", Sequence: 5, Index: 6, Held: true, Subject: meter.Metric, TraceID: "t",
			},
		},
		{},
	}}}, explained); diff != "" {
		t.Error(diff)
	}
	status, err := c.Status(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(client.Status{
		Streams: []client.Stream{{
			Name: "READINGS", Messages: 1, Bytes: 2, MaxBytes: 3, FirstSequence: 4, LastSequence: 5, FirstTime: hour(4),
		}},
		Stages:   []client.Stage{{"gold", 6, 7, 8, 9, 10, 11}},
		CaughtUp: true, Missing: 13, Redelivered: 12,
		Quarantine: []client.Quarantined{{"silver", "unknown_unit", 14}},
	}, status); diff != "" {
		t.Error(diff)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for want, word := range map[string]interface{ String() string }{
		"register": client.Register, "gas_day": client.GasDay, "parent": client.ByParent, "linear": client.FillLinear,
		"final": client.Final, "lesser_quality": client.LesserQuality, "99": client.Finality(99), "unspecified": client.Kind(0),
	} {
		if word.String() != want {
			t.Errorf("%s, want %s", word, want)
		}
	}
	if (client.Number{}).Or(2) != 2 || known(0).Or(2) != 0 {
		t.Error("Or takes the wrong one")
	}
}
