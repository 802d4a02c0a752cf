package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	epochPrefix = "epoch." // of the keys of epochs
	appliedKey  = "applied"

	// maxDocument keeps an epoch below the broker's limit for a message, 1 MiB if
	// nothing else is set.
	maxDocument = 512 << 10
)

// ErrEpochExists says that somebody else has added the epoch of that number.
var ErrEpochExists = errors.New("the catalogue epoch exists")

// Epoch is one epoch of the catalogue as the broker keeps it. It never changes.
type Epoch struct {
	Number    uint64
	Activated time.Time // when the broker stored it
	Document  []byte
}

// Epochs keeps the epochs of the catalogue in the bucket [BucketCatalog]. They
// are numbered from 1 on without a gap, and none is ever removed.
type Epochs struct {
	kv   jetstream.KeyValue
	conn *nats.Conn
}

// OpenEpochs opens the bucket; a missing one is [ErrNotProvisioned].
func OpenEpochs(ctx context.Context, js jetstream.JetStream) (*Epochs, error) {
	kv, err := bucket(ctx, js, BucketCatalog)
	if err != nil {
		return nil, fmt.Errorf("open catalogue: %w", err)
	}
	return &Epochs{kv: kv, conn: js.Conn()}, nil
}

// Connection numbers the connection to the broker: behind another than before may be a
// broker that was restored from an older copy.
func (e *Epochs) Connection() uint64 { return e.conn.Stats().Reconnects }

func epochKey(number uint64) string { return epochPrefix + strconv.FormatUint(number, 10) }

// After returns the epochs behind that number, in order. With replicas the
// newest may be missing from the answer for a moment.
func (e *Epochs) After(ctx context.Context, number uint64) (epochs []Epoch, err error) {
	for {
		number++
		entry, err := e.kv.Get(ctx, epochKey(number))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return epochs, nil
		}
		if err != nil {
			return epochs, fmt.Errorf("read catalogue epoch %d: %w", number, err)
		}
		epochs = append(epochs, Epoch{Number: number, Activated: entry.Created(), Document: entry.Value()})
	}
}

// Add stores an epoch under the number behind the newest. It returns
// [ErrEpochExists] when that is taken. After a timeout it may be stored.
func (e *Epochs) Add(ctx context.Context, number uint64, document []byte) error {
	if len(document) > maxDocument {
		return fmt.Errorf("add catalogue epoch %d: the document has %d bytes, at most %d are kept",
			number, len(document), maxDocument)
	}
	if _, err := e.kv.Create(ctx, epochKey(number), document); err != nil {
		if errors.Is(err, jetstream.ErrKeyExists) {
			err = ErrEpochExists
		}
		return fmt.Errorf("add catalogue epoch %d: %w", number, err)
	}
	return nil
}

// Watch calls added whenever there may be new epochs, once at first, until ctx
// ends or the watch breaks. It does not say which: see [Epochs.After].
func (e *Epochs) Watch(ctx context.Context, added func() error) error {
	watcher, err := e.kv.Watch(ctx, epochPrefix+"*", jetstream.UpdatesOnly())
	if err != nil {
		return fmt.Errorf("watch the catalogue: %w", err)
	}
	defer func() { _ = watcher.Stop() }() // fails only where there is nothing to stop
	for {
		if err := added(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, open := <-watcher.Updates():
			if !open {
				return errors.New("watch the catalogue: the watch ended")
			}
		}
	}
}

// Applied returns the number of the latest epoch that all that is stored
// follows, 0 when none was noted.
func (e *Epochs) Applied(ctx context.Context) (uint64, error) {
	number, _, err := e.applied(ctx)
	return number, err
}

func (e *Epochs) applied(ctx context.Context) (number, revision uint64, err error) {
	entry, err := e.kv.Get(ctx, appliedKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, 0, nil
	}
	if err == nil {
		number, err = strconv.ParseUint(string(entry.Value()), 10, 64)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read the applied catalogue epoch: %w", err)
	}
	return number, entry.Revision(), nil
}

// SetApplied notes that all that is stored follows an epoch. It never takes back
// a later one.
func (e *Epochs) SetApplied(ctx context.Context, number uint64) error {
	for {
		noted, revision, err := e.applied(ctx)
		if err != nil || noted >= number {
			return err
		}
		value := []byte(strconv.FormatUint(number, 10))
		if revision == 0 {
			_, err = e.kv.Create(ctx, appliedKey, value)
		} else {
			_, err = e.kv.Update(ctx, appliedKey, value, revision)
		}
		if !errors.Is(err, jetstream.ErrKeyExists) && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			if err != nil {
				err = fmt.Errorf("note the applied catalogue epoch %d: %w", number, err)
			}
			return err
		}
	}
}
