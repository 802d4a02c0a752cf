package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/client"
	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	address, stop := platform(ctx) // of an application: 127.0.0.1:9090, or what its settings say
	defer stop()

	c, err := client.Dial(address, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		fmt.Println(err)
		return
	}
	for a, err := range c.Aggregates(ctx, client.Question{
		Selector: client.Selector{EntityIDs: []string{"meter-7"}, Metrics: []string{"active_energy_import"}},
		Start:    time.Date(2026, 3, 28, 0, 0, 0, 0, paris),
		End:      time.Date(2026, 3, 31, 0, 0, 0, 0, paris),
		Window:   client.Window{Calendar: client.Day, Zone: "Europe/Paris"},
	}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if !a.Consumption.Known {
			fmt.Println(a.Date, "nothing is known")
			continue
		}
		fmt.Printf("%s %.1f %s in %.0f hours, %.0f %% complete, %s\n",
			a.Date, a.Consumption.Value, a.EnergyUnit, a.End.Sub(a.Start).Hours(), 100*a.Completeness.Value, a.Finality)
	}
	// Output:
	// 2026-03-28 9.5 kWh in 24 hours, 100 % complete, final
	// 2026-03-29 8.8 kWh in 23 hours, 75 % complete, restated
	// 2026-03-30 nothing is known
}

// To miss nothing, a watch is there first and the windows are asked for when it
// stands.
func ExampleClient_Watch() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	address, stop := platform(ctx)
	defer stop()
	c, err := client.Dial(address, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	meters := client.Selector{EntityIDs: []string{"meter-7"}}
	days := client.Window{Calendar: client.Day, Zone: "Europe/Paris"}
	latest := make(map[string]client.Aggregate) // by date
	for change, err := range c.Watch(ctx, client.Selection{
		Selector: meters, Window: days,
		Retrying: func(err error, _ time.Duration) { fmt.Println("trying again:", err) },
	}) {
		switch {
		case errors.Is(err, client.ErrMissed):
			fmt.Println("watch again, without a token")
			return
		case err != nil:
			fmt.Println(err)
			return
		case len(latest) == 0:
			for a, err := range c.Aggregates(ctx, client.Question{Selector: meters, Window: days}) {
				if err != nil {
					fmt.Println(err)
					return
				}
				latest[a.Date] = a
			}
			fmt.Println(len(latest), "days to begin with")
		}
		for _, a := range change.Aggregates {
			fmt.Printf("%s was %.1f and is %.1f %s\n",
				a.Date, latest[a.Date].Consumption.Value, a.Consumption.Value, a.EnergyUnit)
			latest[a.Date] = a
		}
		if change.Token == "2" { // as far as this example goes
			return
		}
	}
	// Output:
	// 3 days to begin with
	// trying again: watch: the server is stopping: watch again with the last token
	// 2026-03-29 was 8.8 and is 9.1 kWh
}

// Errors say which field is wrong and what is allowed.
func ExampleErrInvalid() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	address, stop := platform(ctx)
	defer stop()
	c, err := client.Dial(address, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	for _, err := range c.Aggregates(ctx, client.Question{Window: client.Window{Zone: "Europe/Paris"}}) {
		switch {
		case errors.Is(err, client.ErrInvalid):
			fmt.Println("mend the question:", err)
		case errors.Is(err, client.ErrUnavailable):
			fmt.Println("ask again later:", err)
		case errors.Is(err, context.DeadlineExceeded):
			fmt.Println("ask for less, or wait for longer:", err)
		case err != nil:
			fmt.Println(status.Code(err), err)
		}
	}
	// Output:
	// mend the question: aggregates: window is required: give fixed or calendar
}

// Explain tells what a number rests on.
func ExampleClient_Explain() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	address, stop := platform(ctx)
	defer stop()
	c, err := client.Dial(address, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	noon := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	for r, err := range c.Explain(ctx, client.Span{
		Series: reading.Series{EntityID: "meter-7", Metric: "active_energy_import", Unit: "kWh"},
		Start:  noon, End: noon.Add(15 * time.Minute),
	}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, v := range r.Versions {
			fmt.Printf("%s %.1f %s: %s\n", r.Time.Format("15:04"), v.Value, v.Quality, v.Outcome)
		}
	}
	// Output:
	// 12:00 18251.2 corrected: counts
	// 12:00 17251.2 actual: lesser_quality
}

// platform stands for the platform.
func platform(ctx context.Context) (address string, stop func()) {
	register := &energyv1.QueryAggregatesResponse{
		Series: key(meter), Kind: energyv1.Kind_KIND_REGISTER, EnergyUnit: "kWh", PowerUnit: "kW",
		Aggregates: []*energyv1.Aggregate{
			day(28, -1, -1, 9.5, 1, energyv1.Finality_FINALITY_FINAL),
			day(29, -1, -2, 8.8, 0.75, energyv1.Finality_FINALITY_RESTATED),
			{Start: stamp(46), End: stamp(70), Date: "2026-03-30", Finality: energyv1.Finality_FINALITY_FINAL},
		},
	}
	changed := &energyv1.WatchAggregatesResponse{
		Series: register.Series, Kind: register.Kind, EnergyUnit: "kWh", ResumeToken: "2",
		Aggregates: []*energyv1.Aggregate{day(29, -1, -2, 9.1, 1, energyv1.Finality_FINALITY_RESTATED)},
	}
	address, stop, err := (&canned{
		aggregates: func(req *energyv1.QueryAggregatesRequest) ([]*energyv1.QueryAggregatesResponse, error) {
			if req.GetWindow().GetSpan() == nil {
				return nil, status.Error(codes.InvalidArgument, "window is required: give fixed or calendar")
			}
			return []*energyv1.QueryAggregatesResponse{register}, nil
		},
		watch: func(
			req *energyv1.WatchAggregatesRequest, to grpc.ServerStreamingServer[energyv1.WatchAggregatesResponse],
		) error {
			if req.GetResumeToken() == "1" {
				return to.Send(changed)
			}
			return send(to, []*energyv1.WatchAggregatesResponse{{ResumeToken: "1"}},
				status.Error(codes.Unavailable, "the server is stopping: watch again with the last token"))
		},
		explain: func(req *energyv1.ExplainAggregateRequest) ([]*energyv1.ExplainAggregateResponse, error) {
			return []*energyv1.ExplainAggregateResponse{{Time: req.GetStart(), Versions: []*energyv1.ExplainedVersion{
				{Value: 18251.2, Quality: energyv1.Quality_QUALITY_CORRECTED, Outcome: energyv1.Outcome_OUTCOME_COUNTS},
				{Value: 17251.2, Quality: energyv1.Quality_QUALITY_ACTUAL, Outcome: energyv1.Outcome_OUTCOME_LESSER_QUALITY},
			}}}, nil
		},
	}).serve(ctx)
	if err != nil {
		panic(err)
	}
	return address, stop
}

// day is the answer for a day of March 2026 in Paris, which begins and ends so many
// hours from midnight in UTC.
func day(of, begins, ends int, advance, complete float64, finality energyv1.Finality) *energyv1.Aggregate {
	midnight := time.Date(2026, 3, of, 0, 0, 0, 0, time.UTC)
	return &energyv1.Aggregate{
		Start:      timestamppb.New(midnight.Add(time.Duration(begins) * time.Hour)),
		End:        timestamppb.New(midnight.Add(time.Duration(24+ends) * time.Hour)),
		Date:       midnight.Format(time.DateOnly),
		Statistics: &energyv1.Statistics{Count: 1, Advance: advance}, Completeness: &complete, Finality: finality,
	}
}
