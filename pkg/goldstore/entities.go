package goldstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/energy-platform/energy/pkg/entity"
)

// RegistryChange is what a change of the registry of entities did, in records.
type RegistryChange struct{ Inserted, Updated, Unchanged, Deleted int }

// ErrNotAllowed says that the database refuses the store's user a write.
var ErrNotAllowed = errors.New("the database user may not write the registry: make it a member of gold_registrar")

// One change of the registry at a time: whether parents lead in a circle is a
// question about all records.
const lockRegistry = `SELECT pg_advisory_xact_lock(hashtextextended('gold.entities', 0))`

const (
	entityColumns = `id, valid_from, name, zone, coalesce(parent, ''), labels`
	// The records of entities and of all that were ever above them.
	selectAncestry = `
WITH RECURSIVE up(id) AS (
	SELECT unnest($1::text[]) COLLATE "C" UNION
	SELECT e.parent FROM gold.entities e JOIN up ON e.id = up.id WHERE e.parent IS NOT NULL
)
SELECT ` + entityColumns + ` FROM gold.entities WHERE id IN (SELECT id FROM up)`
	upsertEntity = `
INSERT INTO gold.entities (id, valid_from, name, zone, parent, labels)
VALUES ($1, $2, $3, $4, nullif($5, ''), $6)
ON CONFLICT (id, valid_from) DO UPDATE
SET name = excluded.name, zone = excluded.zone, parent = excluded.parent, labels = excluded.labels`
	deleteEntities = `
DELETE FROM gold.entities e USING unnest($1::text[], $2::timestamptz[]) AS k(id, valid_from)
WHERE e.id = k.id AND e.valid_from = k.valid_from`
	// All records of the entities that have one like that.
	selectEntitiesOf = `
SELECT ` + entityColumns + ` FROM gold.entities
WHERE id IN (
	SELECT id FROM gold.entities WHERE (cardinality($1::text[]) = 0 OR id = ANY ($1))
	AND (cardinality($2::text[]) = 0 OR parent = ANY ($2)) AND labels @> $3)
ORDER BY id, valid_from`
	selectEntities = `
SELECT ` + entityColumns + ` FROM gold.entities
WHERE cardinality($1::text[]) = 0 OR id = ANY ($1)
ORDER BY id, valid_from`
)

// PutEntities registers records, all or none. A record with the id and time of
// one that is there takes its place. It returns entity.ErrInvalid, wrapped with
// what is wrong, for a record that cannot be registered, for two with one id and
// time, and where parents would lead in a circle.
func (s *Store) PutEntities(ctx context.Context, records []entity.Record) (change RegistryChange, err error) {
	records, err = checkRecords(records)
	if err != nil {
		return change, err
	}
	err = s.changeRegistry(ctx, func(tx pgx.Tx) error {
		ids := column(records, recordID)
		for i := range records {
			if records[i].Parent != "" {
				ids = append(ids, records[i].Parent)
			}
		}
		known, err := ancestry(ctx, tx, ids)
		if err != nil {
			return err
		}
		var fresh []entity.Record
		change, fresh = compare(known, records)
		if err := mergedRegistry(known, fresh).CheckParents(column(fresh, recordID)); err != nil {
			return err
		}
		var b pgx.Batch
		for i := range fresh {
			r := &fresh[i]
			b.Queue(upsertEntity, r.ID, timestamp(r.ValidFrom), r.Name, zoneName(r), r.Parent, labels(r))
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return RegistryChange{}, fmt.Errorf("register %d records of entities: %w", len(records), err)
	}
	return change, nil
}

// EntityKey names a record of an entity.
type EntityKey struct {
	ID        string
	ValidFrom int64 // Unix ns
}

// DeleteEntities takes records out of the registry, all or none. Keys without a
// record are passed over. What was valid before a record is valid on: it returns
// entity.ErrInvalid, wrapped with what is wrong, where parents would then lead in
// a circle.
func (s *Store) DeleteEntities(ctx context.Context, keys []EntityKey) (change RegistryChange, err error) {
	ids := column(keys, func(k *EntityKey) string { return k.ID })
	from := column(keys, func(k *EntityKey) time.Time { return timestamp(k.ValidFrom) })
	err = s.changeRegistry(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, deleteEntities, ids, from)
		if err != nil {
			return err
		}
		change.Deleted = int(tag.RowsAffected())
		left, err := ancestry(ctx, tx, ids)
		if err != nil {
			return err
		}
		return entity.NewRegistry(left).CheckParents(ids)
	})
	if err != nil {
		return RegistryChange{}, fmt.Errorf("delete %d records of entities: %w", len(keys), err)
	}
	return change, nil
}

func (s *Store) changeRegistry(ctx context.Context, change func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockRegistry); err != nil {
			return err
		}
		return change(tx)
	})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "42501" { // insufficient privilege
		return errors.Join(ErrNotAllowed, err)
	}
	return missingTable(err)
}

// checkRecords returns the records in order, or all that is wrong with them.
func checkRecords(records []entity.Record) ([]entity.Record, error) {
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(a, b entity.Record) int { return entity.Compare(&a, &b) })
	var faults []error
	for i := range records {
		if err := records[i].Check(); err != nil {
			faults = append(faults, err)
		}
		if i > 0 && entity.Compare(&records[i-1], &records[i]) == 0 {
			faults = append(faults, fmt.Errorf("%w %.64q: two records are valid from %s: leave one out", entity.ErrInvalid,
				records[i].ID, timestamp(records[i].ValidFrom).Format(time.RFC3339)))
		}
	}
	return records, errors.Join(faults...)
}

// ancestry returns the stored records of entities and of all that were ever above
// them: those that decide whether parents lead in a circle.
func ancestry(ctx context.Context, tx pgx.Tx, ids []string) ([]entity.Record, error) {
	rows, err := tx.Query(ctx, selectAncestry, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanEntity)
}

// compare returns the records that are not stored as they are, and counts.
func compare(known, records []entity.Record) (change RegistryChange, fresh []entity.Record) {
	stored := make(map[EntityKey]*entity.Record, len(known))
	for i := range known {
		stored[EntityKey{known[i].ID, known[i].ValidFrom}] = &known[i]
	}
	for i := range records {
		r := records[i]
		r.Zone = zoneName(&r)
		switch before := stored[EntityKey{r.ID, r.ValidFrom}]; {
		case before == nil:
			change.Inserted++
		case entity.Equal(before, &r):
			change.Unchanged++
			continue
		default:
			change.Updated++
		}
		fresh = append(fresh, r)
	}
	return change, fresh
}

// mergedRegistry is the registry as it will be, as far as it is known.
func mergedRegistry(known, fresh []entity.Record) entity.Registry {
	replaced := make(map[EntityKey]bool, len(fresh))
	for i := range fresh {
		replaced[EntityKey{fresh[i].ID, fresh[i].ValidFrom}] = true
	}
	all := slices.Clone(fresh)
	for i := range known {
		if !replaced[EntityKey{known[i].ID, known[i].ValidFrom}] {
			all = append(all, known[i])
		}
	}
	return entity.NewRegistry(all)
}

// Entities returns the records of entities, by id and time; of all without ids.
func (tx *ReadTx) Entities(ctx context.Context, ids []string) ([]entity.Record, error) {
	rows, err := tx.tx.Query(ctx, selectEntities, append([]string{}, ids...))
	if err != nil {
		return nil, fmt.Errorf("read entities: %w", err)
	}
	records, err := pgx.CollectRows(rows, scanEntity)
	if err != nil {
		return nil, fmt.Errorf("read entities: %w", err)
	}
	return records, nil
}

// EntitiesOf returns all records, by id and time, of those entities of which a
// selector picks a record. An empty list of ids does not restrict.
func (tx *ReadTx) EntitiesOf(ctx context.Context, ids []string, s entity.Selector) ([]entity.Record, error) {
	wanted := s.Labels
	if wanted == nil {
		wanted = map[string]string{}
	}
	rows, err := tx.tx.Query(ctx, selectEntitiesOf, append([]string{}, ids...), append([]string{}, s.Parents...), wanted)
	if err != nil {
		return nil, fmt.Errorf("read entities: %w", err)
	}
	records, err := pgx.CollectRows(rows, scanEntity)
	if err != nil {
		return nil, fmt.Errorf("read entities: %w", err)
	}
	return records, nil
}

func scanEntity(row pgx.CollectableRow) (r entity.Record, err error) {
	var from time.Time
	err = row.Scan(&r.ID, &from, &r.Name, &r.Zone, &r.Parent, &r.Labels)
	r.ValidFrom = from.UnixNano()
	return r, err
}

func recordID(r *entity.Record) string { return r.ID }

// zoneName is the zone as it is stored: never empty.
func zoneName(r *entity.Record) string {
	if r.Zone == "" {
		return "UTC"
	}
	return r.Zone
}

// labels is the labels as they are stored: never null.
func labels(r *entity.Record) map[string]string {
	if r.Labels == nil {
		return map[string]string{}
	}
	return r.Labels
}
