package goldstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/reading"
)

// ContentRow is a row of gold as it is stored, its versions still encoded.
type ContentRow struct {
	RowKey
	Series   reading.Series
	Stats    gold.Partial
	Standing gold.Standing
	Epoch    uint64
	Parts    []EncodedPart // in order of time; the row itself unless it is stored in parts
}

// EncodedPart is what is encoded as one of a row's versions.
type EncodedPart struct {
	Start           int64 // Unix ns
	Width           time.Duration
	Samples, Stamps []byte
}

// Versions decodes the row's versions. It returns an error when they are damaged.
func (r *ContentRow) Versions() (versions []gold.Version, err error) {
	for i := range r.Parts {
		p := &r.Parts[i]
		if len(p.Samples) == 0 && len(p.Stamps) == 0 {
			continue // as those of a row with parts
		}
		part, err := gold.Decode(p.Start, p.Samples, p.Stamps)
		if err != nil {
			return nil, fmt.Errorf("versions from %s on: %w", timestamp(p.Start).Format(time.RFC3339), err)
		}
		versions = append(versions, part...)
	}
	return versions, nil
}

// Differences returns the names of the columns of gold.content in which the row is
// not, byte for byte, what want is stored as.
func (r *ContentRow) Differences(want *gold.Row) (columns []string) {
	var have, wanted copyBuffer
	have.stats(&r.Stats)
	have.standing(&r.Standing)
	wanted.stats(&want.Stats)
	wanted.standing(&want.Standing)
	for _, name := range contentColumns {
		h, w := have.next(), wanted.next()
		if !bytes.Equal(h, w) {
			columns = append(columns, name)
		}
	}
	if r.Epoch != want.Epoch {
		columns = append(columns, "epoch")
	}
	parts := encodedParts(want)
	if !slices.EqualFunc(r.Parts, parts, func(p, q EncodedPart) bool {
		return p.Start == q.Start && p.Width == q.Width && bytes.Equal(p.Samples, q.Samples)
	}) {
		columns = append(columns, "samples")
	}
	if !slices.EqualFunc(r.Parts, parts, func(p, q EncodedPart) bool { return bytes.Equal(p.Stamps, q.Stamps) }) {
		columns = append(columns, "stamps")
	}
	return columns
}

// contentColumns are the columns that copyBuffer's stats and standing write.
var contentColumns = strings.Fields(strings.ReplaceAll(statsColumns+","+standingColumns, ",", " "))

// next takes the next column off the buffer.
func (b *copyBuffer) next() []byte {
	f := fields{values: [][]byte{(*b)[:4]}}
	n := 4 + int(f.int4())
	column := (*b)[:n]
	*b = (*b)[n:]
	return column
}

// encodedParts returns what the versions of a row are stored as.
func encodedParts(row *gold.Row) []EncodedPart {
	encode := func(p gold.Part) EncodedPart {
		return EncodedPart{
			Start: p.Start, Width: p.Width,
			Samples: gold.AppendSamples(nil, p.Start, p.Versions), Stamps: gold.AppendStamps(nil, p.Start, p.Versions),
		}
	}
	split := gold.Split(row.Start, row.Width, row.Versions)
	if len(split) == 0 {
		return []EncodedPart{encode(gold.Part{Start: row.Start, Width: row.Width, Versions: row.Versions})}
	}
	parts := make([]EncodedPart, len(split))
	for i := range split {
		parts[i] = encode(split[i])
	}
	return parts
}

// selectContent has a row of the answer for each part of a row.
const selectContent = `
SELECT s.entity, s.metric, s.unit, b.series_id, b.start, b.width, ` + statsColumns + `, ` + standingColumns + `,
	b.epoch, coalesce(p.part_start, b.start), coalesce(p.part_width, b.width),
	coalesce(p.samples, b.samples), coalesce(p.stamps, b.stamps)
FROM gold.base b
JOIN (SELECT id, entity, metric, unit FROM gold.series) AS s ON s.id = b.series_id
LEFT JOIN LATERAL (SELECT part_start, part_width, samples, stamps FROM gold.parts
	WHERE octet_length(b.samples) = 0 AND series_id = b.series_id AND start = b.start AND width = b.width
	OFFSET 0) AS p ON true
WHERE (b.series_id, b.start) >= ($1, $2) AND (b.series_id, b.start) < ($3, $4)
ORDER BY b.series_id, b.start, b.width, p.part_start`

// The answer is fetched in pieces of some MiB at most.
const (
	declareContent = `DECLARE content NO SCROLL CURSOR FOR ` + selectContent
	fetchContent   = `FETCH 512 FROM content`
	closeContent   = `CLOSE content`
)

// Content calls fn for each row of gold from one series and start (Unix ns) on to
// before another, in the order of both. The row is fn's only during the call.
//
// No statement is under way while fn is at work: it may take as long as it likes,
// whatever the timeout of statements, and may ask other things of the snapshot, but for
// its content.
func (tx *ReadTx) Content(ctx context.Context, from, to RowKey, fn func(*ContentRow) error) error {
	if err := tx.content(ctx, from, to, fn); err != nil {
		return fmt.Errorf("read the content of gold: %w", err)
	}
	return nil
}

func (tx *ReadTx) content(ctx context.Context, from, to RowKey, fn func(*ContentRow) error) error {
	arguments := []any{from.SeriesID, timestamp(from.Start), to.SeriesID, timestamp(to.Start)}
	if _, err := tx.tx.Exec(ctx, declareContent, arguments...); err != nil {
		return err
	}
	var fetched []ContentRow // the last may have further parts in the next piece
	for {
		parts, err := tx.fetchContent(ctx, &fetched)
		if err != nil {
			return err // the cursor ends with the transaction, which has failed
		}
		ready := len(fetched)
		if parts > 0 {
			ready--
		}
		for i := range fetched[:ready] {
			if err := fn(&fetched[i]); err != nil {
				_, closing := tx.tx.Exec(ctx, closeContent)
				return errors.Join(err, closing)
			}
		}
		if parts == 0 {
			_, err = tx.tx.Exec(ctx, closeContent)
			return err
		}
		fetched = append(fetched[:0], fetched[ready])
	}
}

// fetchContent adds the next piece of the answer to rows and returns how many parts of
// rows that were.
func (tx *ReadTx) fetchContent(ctx context.Context, rows *[]ContentRow) (parts int, err error) {
	err = tx.each(ctx, fetchContent, nil, func(f *fields) error {
		next, part, err := f.contentRow()
		if err != nil {
			return err
		}
		parts++
		if n := len(*rows); n == 0 || (*rows)[n-1].RowKey != next.RowKey {
			*rows = append(*rows, next)
		}
		last := &(*rows)[len(*rows)-1]
		last.Parts = append(last.Parts, part)
		return nil
	})
	return parts, err
}

// contentRow reads a row of selectContent.
func (f *fields) contentRow() (r ContentRow, p EncodedPart, err error) {
	r.Series = reading.Series{EntityID: string(f.bytes()), Metric: string(f.bytes()), Unit: string(f.bytes())}
	r.RowKey = f.key()
	f.stats(&r.Stats)
	f.standing(&r.Standing)
	r.Epoch = uint64(f.int8())
	p.Start, p.Width = f.nanos(), time.Duration(f.int4())*time.Second
	p.Samples, p.Stamps = bytes.Clone(f.bytes()), bytes.Clone(f.bytes())
	return r, p, f.err()
}

const selectRowKeys = `
SELECT b.series_id, b.start, b.width, b.first_received_ns
FROM unnest($1::bigint[]) AS s(id)
JOIN gold.base b ON b.series_id = s.id AND b.start > $2 AND b.start < $3`

// RowKeys calls fn for each row of the series that overlaps [from, to), in Unix ns, in
// no order, with the least receive time of its versions, 0 when that is not known.
func (tx *ReadTx) RowKeys(
	ctx context.Context, ids []int64, from, to int64, fn func(k RowKey, received int64) error,
) error {
	// A row is an hour wide at most.
	arguments := []any{ids, timestamp(max(from, math.MinInt64+int64(maxWidth)) - int64(maxWidth)), timestamp(to)}
	err := tx.each(ctx, selectRowKeys, arguments, func(f *fields) error {
		k, received := f.key(), f.int8()
		if err := f.err(); err != nil || k.Start+int64(k.Width) <= from {
			return err
		}
		return fn(k, received)
	})
	if err != nil {
		return fmt.Errorf("read the rows of %d series: %w", len(ids), err)
	}
	return nil
}
