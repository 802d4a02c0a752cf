package goldstore

import (
	"context"
	"errors"
	"fmt"
)

// cursor is a query whose answer, of any length, is fetched in pieces, of some MiB
// where each row of it has versions. A statement that streams it all would be under way
// until the last of it is taken in: the server counts the time that it waits to send.
type cursor struct {
	name      string // one a query: what a FETCH gives is kept with the prepared statement
	sql       string
	arguments []any
}

// fetchRows is how many rows a piece has.
const fetchRows = 512

// fetchEach runs a query, has each row of the answer decoded, and calls fn for it while
// no statement is under way.
func fetchEach[T any](
	ctx context.Context, tx *ReadTx, c cursor, decode func(*fields) (T, error), fn func(*T) error,
) error {
	declare := fmt.Sprintf("DECLARE %s NO SCROLL CURSOR FOR %s", c.name, c.sql)
	if _, err := tx.tx.Exec(ctx, declare, c.arguments...); err != nil {
		return err
	}
	fetch, end := fmt.Sprintf("FETCH %d FROM %s", fetchRows, c.name), "CLOSE "+c.name
	var piece []T
	for {
		piece = piece[:0]
		err := tx.each(ctx, fetch, nil, func(f *fields) error {
			row, err := decode(f)
			piece = append(piece, row)
			return err
		})
		if err != nil {
			return err // the cursor ends with the transaction, which has failed
		}
		for i := range piece {
			if err := fn(&piece[i]); err != nil {
				_, closing := tx.tx.Exec(ctx, end)
				return errors.Join(err, closing)
			}
		}
		if len(piece) < fetchRows {
			_, err := tx.tx.Exec(ctx, end)
			return err
		}
	}
}
