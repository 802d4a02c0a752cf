package publish

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	t.Parallel()
	begun := func(total int64, terminal bool, w *bytes.Buffer) (*meter, *feed) {
		m := newMeter(w, terminal, total)
		m.start = m.start.Add(-10 * time.Second)
		m.last = m.start
		f := &feed{total: total}
		f.read.Store(25)
		return m, f
	}
	t.Run("WritesALineWhereThereIsNoTerminal", func(t *testing.T) {
		t.Parallel()
		var w bytes.Buffer
		m, f := begun(100, false, &w)
		m.tick(f, 5000)
		m.tick(f, 6000) // at once: no second line
		m.finish(f, 6000)
		const want = "publish: 5000 readings acknowledged, 500/s, 25 % of the files read, about 30s left\n"
		if w.String() != want {
			t.Errorf("%q, want %q", w.String(), want)
		}
	})
	t.Run("TellsTheRowsOfAFileThatKnowsThem", func(t *testing.T) {
		t.Parallel()
		var w bytes.Buffer
		m, f := begun(100, false, &w)
		f.rows.Store(250)
		f.rowsAll.Store(1000)
		m.tick(f, 5000)
		const want = "publish: 5000 readings acknowledged, 500/s, row 250 of 1000, " +
			"25 % of the files read, about 30s left\n"
		if w.String() != want {
			t.Errorf("%q, want %q", w.String(), want)
		}
	})
	t.Run("KnowsNoEndOfAStream", func(t *testing.T) {
		t.Parallel()
		var w bytes.Buffer
		m, f := begun(0, false, &w)
		m.tick(f, 5000)
		if want := "publish: 5000 readings acknowledged, 500/s\n"; w.String() != want {
			t.Errorf("%q, want %q", w.String(), want)
		}
	})
	t.Run("DrawsABarOnATerminal", func(t *testing.T) {
		t.Parallel()
		for _, total := range []int64{100, 0} {
			var w bytes.Buffer
			m, f := begun(total, true, &w)
			m.tick(f, 5000)
			m.finish(f, 6000)
			if !strings.Contains(w.String(), "readings, ") || !strings.HasSuffix(w.String(), "\n") {
				t.Errorf("with %d bytes in all: %q", total, w.String())
			}
		}
	})
	t.Run("IsSilentWithoutAWriter", func(t *testing.T) {
		t.Parallel()
		m := newMeter(nil, false, 1)
		m.tick(&feed{}, 1)
		m.finish(&feed{}, 1)
	})
}
