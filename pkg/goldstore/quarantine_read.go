package goldstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/energy-platform/energy/pkg/reading"
)

// QuarantineKey identifies an entry of the quarantine.
type QuarantineKey struct {
	Stamp       reading.Stamp
	Stage, Rule string
	Epoch       uint64
}

// Key returns the row's key.
func (r *QuarantineRow) Key() QuarantineKey { return QuarantineKey{r.Stamp, r.Stage, r.Rule, r.Epoch} }

// String returns the parts of the key separated by dots, as ParseQuarantineKey
// reads them.
func (k QuarantineKey) String() string {
	s := k.Stamp
	return fmt.Sprintf("%d.%d.%d.%d.%s.%s.%d", s.Received, s.Stream, s.Sequence, s.Index, k.Stage, k.Rule, k.Epoch)
}

// errQuarantineKey says what a key is like.
var errQuarantineKey = errors.New("is no key of an entry: give one as it is listed, " +
	"such as 1769860800123456789.0.42.3.silver.out_of_range.1")

// ParseQuarantineKey is the inverse of String.
func ParseQuarantineKey(text string) (k QuarantineKey, err error) {
	parts := strings.Split(text, ".")
	if len(parts) < 7 {
		return k, errQuarantineKey
	}
	n := len(parts)
	number := func(part string, bits int) (x uint64) {
		if err == nil {
			x, err = strconv.ParseUint(part, 10, bits)
		}
		return x
	}
	k.Stamp.Received, err = strconv.ParseInt(parts[0], 10, 64)
	k.Stamp.Stream, k.Stamp.Sequence = uint32(number(parts[1], 32)), number(parts[2], 64)
	k.Stamp.Index, k.Epoch = uint32(number(parts[3], 32)), number(parts[n-1], 64)
	if err != nil {
		return k, errQuarantineKey
	}
	k.Stage, k.Rule = strings.Join(parts[4:n-2], "."), parts[n-2] // no rule has a dot
	return k, nil
}

// QuarantineState is what became of an entry, numbered as in the wire contract.
type QuarantineState uint8

// The states.
const (
	StateUnknown QuarantineState = iota
	StateOpen
	StateReleased
	StateDiscarded
	StateJudgedAgain
)

var stateNames = [...]string{"", "open", "released", "discarded", "judged_again"}

// String returns the state's name as it is stored.
func (s QuarantineState) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return ""
}

// parseState returns the state that is stored by a name, StateUnknown for another.
func parseState(name string) QuarantineState {
	return QuarantineState(max(slices.Index(stateNames[:], name), 0))
}

// QuarantineEntry is a row of the quarantine with what became of it.
type QuarantineEntry struct {
	QuarantineRow
	State QuarantineState
	reading.Decision
	PayloadBytes int64 // of the payload, which may have been left out
}

// Decoded reports whether the entry holds a reading.
func (e *QuarantineEntry) Decoded() bool {
	return e.PayloadBytes == 0 && e.Rule != reading.Undecodable.String()
}

// QuarantineFilter picks entries. What is empty or nil does not restrict. Times are
// Unix ns; what could not be decoded has no event time.
type QuarantineFilter struct {
	States                             []QuarantineState
	Stages, Rules, Entities, Metrics   []string
	ReceivedFrom, ReceivedTo, From, To *int64 // of half-open spans
}

// QuarantinePage is a part of a list of entries.
type QuarantinePage struct {
	After       *QuarantineKey // entries behind it, which need not exist
	NewestFirst bool
	Limit       uint32 // 0 means all
}

const (
	quarantineKey    = `received_ns, stream, sequence, index, stage, rule, epoch`
	quarantineFields = `q.received_ns, q.stream, q.sequence, q.index, q.stage, q.rule, q.epoch, q.rules, q.entity,
	q.metric, q.unit, q.event_at_ns, q.value, q.quality, q.revision::text, q.length_ns, q.detail, q.exchange_start,
	q.state, coalesce(q.person, ''), coalesce(q.decided_at_ns, 0), coalesce(q.reason, ''), coalesce(length(q.payload), 0)`
	quarantineMatches = `
FROM gold.quarantine q
WHERE (cardinality($1::text[]) = 0 OR state = ANY ($1)) AND (cardinality($2::text[]) = 0 OR stage = ANY ($2))
	AND (cardinality($3::text[]) = 0 OR rule = ANY ($3)) AND (cardinality($4::text[]) = 0 OR entity = ANY ($4))
	AND (cardinality($5::text[]) = 0 OR metric = ANY ($5))
	AND ($6::bigint IS NULL OR received_ns >= $6) AND ($7::bigint IS NULL OR received_ns < $7)
	AND ($8::bigint IS NULL OR event_at_ns >= $8) AND ($9::bigint IS NULL OR event_at_ns < $9)
	AND ($8 IS NULL AND $9 IS NULL OR coalesce(length(payload), 0) = 0 AND rule <> 'undecodable')`
	countMatches = `SELECT stage, rule, state, count(*)` + quarantineMatches + `
GROUP BY stage, rule, state ORDER BY stage, rule, state`
	selectKeys = `SELECT ` + quarantineFields + `, CASE WHEN $8 THEN q.payload END
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[])
	AS k(` + quarantineKey + `) JOIN gold.quarantine q USING (` + quarantineKey + `)
ORDER BY ` + quarantineKey
	selectOfReadings = `SELECT ` + quarantineFields + `, NULL::bytea
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS k(received_ns, stream, sequence, index)
JOIN gold.quarantine q USING (received_ns, stream, sequence, index)
ORDER BY ` + quarantineKey
	// Who released readings of a series at these times; nobody where several did.
	selectReleases = `
SELECT d.decided_at_ns, min(d.person), min(d.reason)
FROM gold.quarantine q JOIN gold.quarantine_decisions d USING (received_ns, stream, sequence, index, stage)
WHERE q.entity = $1 AND q.metric = $2 AND d.resolution = 2 AND d.decided_at_ns = ANY ($3::bigint[])
GROUP BY d.decided_at_ns
HAVING count(DISTINCT (d.person, d.reason)) = 1`
)

// Quarantine calls fn for the entries that match, by key, in the order of the page,
// without their payloads.
func (tx *ReadTx) Quarantine(
	ctx context.Context, f QuarantineFilter, page QuarantinePage, fn func(*QuarantineEntry) error,
) error {
	direction, behind := "", ">"
	if page.NewestFirst {
		direction, behind = " DESC", "<"
	}
	sql, args := `SELECT `+quarantineFields+`, NULL::bytea`+quarantineMatches, f.arguments()
	if page.After != nil {
		sql += ` AND (` + quarantineKey + `) ` + behind + ` ($10, $11, $12, $13, $14, $15, $16)`
		k := page.After
		args = append(args, k.Stamp.Received, int64(k.Stamp.Stream), int64(k.Stamp.Sequence), int64(k.Stamp.Index),
			storable(k.Stage), storable(k.Rule), int64(k.Epoch))
	}
	sql += ` ORDER BY ` + strings.ReplaceAll(quarantineKey, ",", direction+",") + direction
	if page.Limit > 0 {
		sql += ` LIMIT ` + strconv.FormatUint(uint64(page.Limit), 10)
	}
	rows, err := tx.tx.Query(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("read the quarantine: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanQuarantine(rows)
		if err != nil {
			return fmt.Errorf("read the quarantine: %w", err)
		}
		if err := fn(&e); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the quarantine: %w", err)
	}
	return nil
}

func (f *QuarantineFilter) arguments() []any {
	list := func(names []string) []string { return append([]string{}, names...) }
	states := column(f.States, func(s *QuarantineState) string { return s.String() })
	return []any{
		states, list(f.Stages), list(f.Rules), list(f.Entities), list(f.Metrics),
		f.ReceivedFrom, f.ReceivedTo, f.From, f.To,
	}
}

// QuarantineEntries returns the entries of keys that there are, by key, with their
// payloads where these are wanted.
func (tx *ReadTx) QuarantineEntries(
	ctx context.Context, keys []QuarantineKey, payloads bool,
) ([]QuarantineEntry, error) {
	args := append(stampColumns(column(keys, func(k *QuarantineKey) reading.Stamp { return k.Stamp })),
		column(keys, func(k *QuarantineKey) string { return storable(k.Stage) }),
		column(keys, func(k *QuarantineKey) string { return storable(k.Rule) }),
		column(keys, func(k *QuarantineKey) int64 { return int64(k.Epoch) }), payloads)
	return tx.quarantine(ctx, selectKeys, args)
}

// QuarantineOf returns all entries of readings, by key, without payloads.
func (tx *ReadTx) QuarantineOf(ctx context.Context, stamps []reading.Stamp) ([]QuarantineEntry, error) {
	return tx.quarantine(ctx, selectOfReadings, stampColumns(stamps))
}

func (tx *ReadTx) quarantine(ctx context.Context, sql string, args []any) ([]QuarantineEntry, error) {
	rows, err := tx.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read the quarantine: %w", err)
	}
	entries, err := pgx.CollectRows(rows, scanQuarantine)
	if err != nil {
		return nil, fmt.Errorf("read the quarantine: %w", err)
	}
	return entries, nil
}

func scanQuarantine(row pgx.CollectableRow) (e QuarantineEntry, err error) {
	var (
		stream, sequence, index, epoch, rules, length int64
		quality                                       int16
		revision, state                               string
		exchange                                      *float64
	)
	r := &e.Reading
	err = row.Scan(&e.Stamp.Received, &stream, &sequence, &index, &e.Stage, &e.Rule, &epoch, &rules,
		&r.EntityID, &r.Metric, &r.Unit, &r.Time, &r.Value, &quality, &revision, &length, &e.Detail, &exchange, &state,
		&e.Person, &e.At, &e.Reason, &e.PayloadBytes, &e.Payload)
	if err != nil {
		return e, err
	}
	e.Stamp.Stream, e.Stamp.Sequence, e.Stamp.Index = uint32(stream), uint64(sequence), uint32(index)
	e.Epoch, e.Rules = uint64(epoch), reading.Rules(rules)
	r.Quality, r.Length = reading.Quality(quality), time.Duration(length)
	if r.Revision, err = strconv.ParseUint(revision, 10, 64); err != nil {
		return e, err
	}
	if exchange != nil {
		r.Exchange, r.ExchangeStart = true, *exchange
	}
	e.State = parseState(state)
	return e, nil
}

// QuarantineGroup is the number of entries of a stage, rule and state.
type QuarantineGroup struct {
	Stage, Rule string
	State       QuarantineState
	Entries     uint64
}

// QuarantineGroups counts the entries that match.
func (tx *ReadTx) QuarantineGroups(ctx context.Context, f QuarantineFilter) ([]QuarantineGroup, error) {
	rows, err := tx.tx.Query(ctx, countMatches, f.arguments()...)
	if err != nil {
		return nil, fmt.Errorf("count the quarantine: %w", err)
	}
	groups, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g QuarantineGroup, err error) {
		var (
			state string
			count int64
		)
		err = row.Scan(&g.Stage, &g.Rule, &state, &count)
		g.Entries = uint64(count)
		g.State = parseState(state)
		return g, err
	})
	if err != nil {
		return nil, fmt.Errorf("count the quarantine: %w", err)
	}
	return groups, nil
}

// Releases returns who released readings of an entity and metric at these times, in
// Unix ns. A time at which several people did has nobody.
func (tx *ReadTx) Releases(
	ctx context.Context, entity, metric string, at []int64,
) (map[int64]reading.Decision, error) {
	rows, err := tx.tx.Query(ctx, selectReleases, storable(entity), storable(metric), at)
	if err != nil {
		return nil, fmt.Errorf("read releases: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d reading.Decision, err error) {
		err = row.Scan(&d.At, &d.Person, &d.Reason)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("read releases: %w", err)
	}
	released := make(map[int64]reading.Decision, len(all))
	for _, d := range all {
		released[d.At] = d
	}
	return released, nil
}
