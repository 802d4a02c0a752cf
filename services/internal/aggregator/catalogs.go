package aggregator

import (
	"context"
	"sync"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/goldstore"
)

// Epochs gives the epochs of the catalogue as they become known.
type Epochs interface {
	// All returns the epochs known so far.
	All() catalog.Epochs
	// Newest returns the newest of them.
	Newest() *catalog.Catalog
	// Await returns the newest once it is that one or a later.
	Await(ctx context.Context, number uint64) (*catalog.Catalog, error)
	// Changed returns a channel that is closed once there are more than known.
	Changed(known uint64) <-chan struct{}
}

// Catalogs is the epochs, each recorded in the store before gold follows it. The
// workers of a process share one.
type Catalogs struct {
	Epochs

	mu       sync.Mutex
	recorded uint64 // all epochs up to this one
}

// NewCatalogs returns the epochs for the workers of a process.
func NewCatalogs(e Epochs) *Catalogs { return &Catalogs{Epochs: e} }

// current returns the newest epoch once it is recorded, and all before it.
func (d Deps) current(ctx context.Context, worker string) (*catalog.Catalog, error) {
	c := d.Catalogs
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.All()
	for c.recorded < all.Len() {
		epoch, _ := all.At(c.recorded + 1)
		err := d.retry(ctx, worker, goldstore.IsRetryable, func() error { return d.Store.RegisterEpoch(ctx, epoch) })
		if err != nil {
			return nil, err
		}
		c.recorded++
	}
	return all.Newest(), nil
}
