package source_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/energy-platform/energy/services/internal/source"
)

// FuzzSource reads hostile text: it must end, and every row be counted once.
func FuzzSource(f *testing.F) {
	m, err := source.ParseMapping([]byte(wide))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Date;Time;P;E\n16/12/2006;17:24:00;4.216;0\n")
	f.Add("Date;Time;P;E\n28/10/2007;02:00:00;\"4\n;?")
	f.Add("{\"entity_id\":\"a\"}\n{")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range []source.Mapping{m, {}} {
			s, err := source.OpenReader("f", strings.NewReader(text), 0, m)
			if err != nil {
				continue
			}
			var good, bad int64
			for {
				_, _, err := s.Next()
				var row *source.RowError
				if errors.Is(err, io.EOF) {
					break
				}
				switch {
				case err == nil:
					good++
				case errors.As(err, &row):
					bad++
				default:
					return // a gzip
				}
			}
			c := s.Counts()
			if good != c.Readings || bad != c.Bad || good+bad+c.Absent < c.Rows {
				t.Errorf("%d good and %d bad, counted %+v", good, bad, c)
			}
		}
	})
}
