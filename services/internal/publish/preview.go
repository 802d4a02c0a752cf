package publish

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/energy-platform/energy/pkg/bronze"
)

// Preview writes the first n readings of the files to w, one JSON object a line
// as it would be published, and publishes nothing. The receipt tells what was
// read for it; bad rows among that are the error [ErrBadRows].
func Preview(ctx context.Context, o Options, w io.Writer, n int) (receipt Receipt, err error) {
	o.setDefaults()
	if err := o.check(); err != nil {
		return receipt, err
	}
	f, err := startFeed(ctx, &o)
	if err != nil {
		return receipt, err
	}
	defer f.stop()
	out := bufio.NewWriter(w)
	defer func() { err = errors.Join(err, out.Flush(), receipt.badRows()) }()
	var line []byte
	for receipt.Read < int64(n) {
		select {
		case <-ctx.Done():
			return receipt, ctx.Err()
		case e, ok := <-f.entries:
			if !ok || e.failed != nil {
				return receipt, e.failed
			}
			if !receipt.note(e) {
				continue
			}
			line = append(bronze.AppendJSON(line[:0], &e.reading), '\n')
			if _, err := out.Write(line); err != nil {
				return receipt, err
			}
		}
	}
	return receipt, nil
}
