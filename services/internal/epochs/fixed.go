package epochs

import (
	"context"
	"fmt"

	"github.com/energy-platform/energy/pkg/catalog"
)

// Fixed is one epoch that is followed by none.
type Fixed struct{ *catalog.Catalog }

// Newest returns the epoch.
func (f Fixed) Newest() *catalog.Catalog { return f.Catalog }

// Await returns the epoch unless a later one is asked for.
func (f Fixed) Await(_ context.Context, number uint64) (*catalog.Catalog, error) {
	if number > f.Epoch() {
		return nil, fmt.Errorf("catalogue epoch %d: there is none behind %d", number, f.Epoch())
	}
	return f.Catalog, nil
}

// History returns a history of the epoch alone.
func (f Fixed) History(context.Context) (*History, error) {
	all, err := catalog.Epochs{}.Append(f.Activated(), []byte(f.Document()))
	return &History{Epochs: all, Applied: all.Len()}, err
}
