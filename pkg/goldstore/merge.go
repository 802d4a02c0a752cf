package goldstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
)

// item is one row of a flush.
type item struct {
	group  *gold.Group
	key    RowKey
	before *row // what the row is believed to be; nil when there is none
	after  *row // what it is to become; nil when it stays
	added  int  // versions of the group that before lacks
	// removed is how many of before's after lacks; none unless rows are rebuilt.
	removed int
}

// String names the row for error messages.
func (it *item) String() string {
	return fmt.Sprintf("%s at %s", it.group.Series, timestamp(it.key.Start).Format("2006-01-02T15:04:05Z"))
}

// stored returns the row as it is after the commit, nil when there is none.
func (it *item) stored() *row {
	switch {
	case it.after == nil:
		return it.before
	case len(it.after.versions) == 0:
		return nil
	default:
		return it.after
	}
}

// merge computes after from before and the group. The versions decide alone:
// statistics are folded anew from all of them.
func (it *item) merge(c *catalog.Catalog, replaced func(*gold.Version) (bool, error)) (err error) {
	var (
		versions []gold.Version
		revision int64
	)
	it.after, it.removed = nil, 0
	switch b := it.before; {
	case b == nil && len(it.group.Versions) == 0:
		return nil // nothing to compute anew
	case b == nil:
		versions = it.group.Versions
		it.added = len(versions)
	default:
		revision = b.revision
		if replaced != nil {
			if versions, err = it.replace(c, replaced); err != nil {
				return fmt.Errorf("%s: %w", it, err)
			}
		} else {
			versions = gold.Merge(b.versions, it.group.Versions)
			it.added = len(versions) - len(b.versions)
		}
		same := gold.Equal(versions, b.versions)
		if same && b.epoch >= c.Metric(it.group.Series).Folded && b.stands() {
			return nil
		}
		if b.epoch > c.Epoch() {
			return fmt.Errorf("%s follows epoch %d, the writer has %d: %w", it, b.epoch, c.Epoch(), ErrCatalogBehind)
		}
	}
	if err := knowsEpochs(c, versions); err != nil {
		return fmt.Errorf("%s: %w", it, err)
	}
	if len(versions) > gold.MaxVersions {
		return fmt.Errorf("%s with %d versions, at most %d are kept: %w", it, len(versions), gold.MaxVersions, ErrRowFull)
	}
	r := gold.NewRow(c, it.group.Key, versions)
	it.after = &row{
		key: it.key, versions: r.Versions, stats: r.Stats, standing: r.Standing, epoch: r.Epoch, revision: revision + 1,
	}
	return nil
}

// knowsEpochs returns ErrCatalogBehind when a version was judged under a later
// epoch than c: when that came into force, c cannot tell. A row does not: it names
// the epoch of its metric's parameters, which may be long before.
func knowsEpochs(c *catalog.Catalog, versions []gold.Version) error {
	for i := range versions {
		if epoch := versions[i].Epoch; epoch > c.Epoch() {
			return fmt.Errorf("a version was judged under epoch %d, the catalogue is %d: %w", epoch, c.Epoch(), ErrCatalogBehind)
		}
	}
	return nil
}

// stands reports whether the row has its standing: rows of before migration 14
// have none. Received is never 0.
func (r *row) stands() bool { return len(r.versions) == 0 || r.standing.FirstReceived != 0 }

// write brings all rows to what they are to become.
//
// Rows that the cache lacks are staged as new: only those that turn out to be
// there are read. After the first upsert every row that it could not write is
// locked, so that the second one writes it. Only rows read ahead of the first
// upsert, those of groups without versions, can be overtaken, and are locked
// from then on as well.
func (t *transaction) write(ctx context.Context, tx pgx.Tx, result *Result) error {
	todo := make([]*item, 0, len(t.items))
	var unread []*item
	for i := range t.items {
		it := &t.items[i]
		todo = append(todo, it)
		if it.before = t.writer.cache.get(it.key); it.before == nil && len(it.group.Versions) == 0 {
			unread = append(unread, it)
		}
	}
	slices.SortFunc(todo, func(a, b *item) int { return a.key.Compare(b.key) })
	for rounds := 0; ; rounds++ {
		if err := load(ctx, tx, unread); err != nil {
			return err
		}
		result.Loaded += len(unread)
		staged := todo[:0]
		for _, it := range todo {
			if err := it.merge(t.writer.catalog, t.flush.Replaced); err != nil {
				return err
			}
			if it.after != nil {
				staged = append(staged, it)
			}
		}
		if len(staged) == 0 {
			return nil
		}
		if rounds == maxRounds {
			return fmt.Errorf("%d rows from %s on: %w", len(staged), staged[0], ErrContended)
		}
		var err error
		if todo, err = t.writer.bring(ctx, tx, staged); err != nil {
			return err
		}
		unread = todo
	}
}

// maxRounds is more than a flush can need; see write.
const maxRounds = 8

// report counts what was done.
func (t *transaction) report(result *Result) {
	for i := range t.items {
		it := &t.items[i]
		result.Duplicates += len(it.group.Versions) - it.added
		result.Added += it.added
		result.Removed += it.removed
		if it.after == nil {
			result.Unchanged++
			continue
		}
		change := gold.Change{Key: it.group.Key, After: it.after.stats, Revision: it.after.revision, Cause: t.flush.Cause}
		if it.before == nil {
			result.Inserted++
		} else {
			result.Updated++
			change.Before = &it.before.stats
			end := it.group.Start + int64(it.group.Width)
			if it.after.standing.RestatedSince(&it.before.standing, end, t.writer.catalog.Metric(it.group.Series)) {
				result.Restated++
			}
		}
		result.Changes = append(result.Changes, change)
	}
}

// feedChanges bounds the changes in one feed message, so that it stays below
// the broker's limit of 1 MiB whatever the series' names are.
const feedChanges = 500

// feed puts the messages about the changes into the outbox (invariant 8). The first has the
// id that was taken along with BEGIN.
func (t *transaction) feed(ctx context.Context, tx pgx.Tx, id int64, result *Result) error {
	if t.flush.Feed == nil {
		return nil
	}
	var headers map[string]string
	if t.flush.Headers != nil && len(result.Changes) > 0 {
		headers = t.flush.Headers(result)
	}
	for chunk := range slices.Chunk(result.Changes, feedChanges) {
		if len(result.Outbox) > 0 {
			if err := tx.QueryRow(ctx, nextOutbox).Scan(&id); err != nil {
				return fmt.Errorf("take an outbox id: %w", err)
			}
		}
		subject, payload, err := t.flush.Feed(id, chunk)
		if err != nil {
			return fmt.Errorf("encode the feed message: %w", err)
		}
		e := OutboxEntry{
			ID: id, Partition: t.writer.partition, Subject: subject, Payload: payload, Headers: headers,
		}
		if _, err := tx.Exec(ctx, insertOutbox, e.ID, int32(e.Partition), e.Subject, e.Payload, e.Headers); err != nil {
			return fmt.Errorf("put the feed message into the outbox: %w", err)
		}
		result.Outbox = append(result.Outbox, e)
	}
	return nil
}
