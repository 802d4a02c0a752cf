package goldstore

import (
	"bytes"
	"context"
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

// Content calls fn for each row of gold from one series and start (Unix ns) on to
// before another, in the order of both. The row is fn's only during the call.
//
// No statement is under way while fn is at work: it may take as long as it likes,
// whatever the timeout of statements, and may ask other things of the snapshot, but for
// what is read so too.
func (tx *ReadTx) Content(ctx context.Context, from, to RowKey, fn func(*ContentRow) error) error {
	type fetched struct {
		row  ContentRow
		part EncodedPart
	}
	decode := func(f *fields) (p fetched, err error) {
		p.row, p.part, err = f.contentRow()
		return p, err
	}
	var r ContentRow
	began := false
	arguments := []any{from.SeriesID, timestamp(from.Start), to.SeriesID, timestamp(to.Start)}
	err := fetchEach(ctx, tx, cursor{"content", selectContent, arguments}, decode, func(p *fetched) error {
		if began && p.row.RowKey != r.RowKey {
			if err := fn(&r); err != nil {
				return err
			}
		}
		if !began || p.row.RowKey != r.RowKey {
			r, began = p.row, true
		}
		r.Parts = append(r.Parts, p.part)
		return nil
	})
	if err == nil && began {
		err = fn(&r)
	}
	if err != nil {
		return fmt.Errorf("read the content of gold: %w", err)
	}
	return nil
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
// no order, with the least receive time of its versions, 0 when that is not known. No
// statement is under way while fn is at work, as of Content.
func (tx *ReadTx) RowKeys(
	ctx context.Context, ids []int64, from, to int64, fn func(k RowKey, received int64) error,
) error {
	// A row is an hour wide at most.
	arguments := []any{ids, timestamp(max(from, math.MinInt64+int64(maxWidth)) - int64(maxWidth)), timestamp(to)}
	type found struct {
		key      RowKey
		received int64
	}
	decode := func(f *fields) (found, error) {
		r := found{f.key(), f.int8()}
		return r, f.err()
	}
	err := fetchEach(ctx, tx, cursor{"row_keys", selectRowKeys, arguments}, decode, func(r *found) error {
		if r.key.Start+int64(r.key.Width) <= from {
			return nil
		}
		return fn(r.key, r.received)
	})
	if err != nil {
		return fmt.Errorf("read the rows of %d series: %w", len(ids), err)
	}
	return nil
}
