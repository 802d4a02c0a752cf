// Package client asks the platform: which series there are, what they consumed in
// any windows, what changes as it changes, and why a number is what it is.
//
//	c, err := client.Dial("127.0.0.1:9090", client.Options{})
//	for a, err := range c.Aggregates(ctx, client.Question{
//		Selector: client.Selector{EntityIDs: []string{"meter-7"}},
//		Window:   client.Window{Calendar: client.Day, Zone: "Europe/Paris"},
//	}) {
//		// a.Date, a.Consumption.Value in a.EnergyUnit, a.Completeness, a.Finality
//	}
//
// What it promises:
//
//   - Answers come as the platform sends them, one at a time: memory does not grow
//     with their number. Leaving the loop ends the call. An error comes last, with a
//     zero answer beside it; what came before it holds.
//   - Calls end with their context, which also bounds how long they take: give it a
//     deadline. Only [Client.Watch] tries again, by itself, and misses nothing.
//   - No goroutine outlives a call, but those of the connection, which end with
//     [Client.Close].
//   - Errors are [ErrInvalid], [ErrUnavailable] or [ErrMissed], or those of the
//     context, where they are one of these; all others have a code as well, which
//     status.Code of google.golang.org/grpc/status returns.
//
// Names are those of the contract, energy/v1/query.proto, which says in full what each
// field means; so are the fields that errors name, such as window.zone. Times that
// are absent are zero, and numbers that may be absent are a [Number]. Values are in the
// series' unit, energies in its EnergyUnit, powers in its PowerUnit.
package client
