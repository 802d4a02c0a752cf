package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
)

// swept waits until the janitor has removed something from each stream whose history
// nobody holds, and notes how much. READINGS is held: it is asked in the end. Nor is it
// waited for where the broker is restored to an older state, which brings back what was
// removed and may leave nothing to remove.
func (w *world) swept(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.Patience)
	defer cancel()
	conn, js, err := w.server.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return until(ctx, func() error {
		// The broker may be killed before it answers.
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		for _, name := range []string{broker.StreamReadings, broker.StreamBronze, broker.StreamSilver} {
			s, err := broker.Stream(ctx, js, name)
			if err != nil {
				return err
			}
			w.report.Swept[name] = s.LastSequence - s.Messages // nobody else removes any
			if w.report.Swept[name] == 0 && name != broker.StreamReadings && w.OlderTails == 0 {
				return fmt.Errorf("the janitor has removed nothing from %s, of %d messages", name, s.Messages)
			}
		}
		return nil
	})
}
