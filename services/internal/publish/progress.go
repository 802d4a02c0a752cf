package publish

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// lineEvery is how often progress is told where there is no terminal.
const lineEvery = 10 * time.Second

// meter shows progress: a bar on a terminal, otherwise lines. It is used by one
// goroutine.
type meter struct {
	w     io.Writer // nil: nothing is shown
	bar   *progressbar.ProgressBar
	start time.Time
	last  time.Time
}

func newMeter(w io.Writer, terminal bool, total int64) *meter {
	now := time.Now()
	m := &meter{w: w, start: now, last: now}
	if w != nil && terminal {
		if total == 0 {
			total = -1 // unknown
		}
		m.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetSpinnerChangeInterval(0), progressbar.OptionSetWidth(24),
			progressbar.OptionSetDescription("publishing"))
	}
	return m
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// tick shows how far the files are read and how much is acknowledged.
func (m *meter) tick(f *feed, acknowledged int64) {
	if m.w == nil {
		return
	}
	now := time.Now()
	if m.bar != nil {
		if now.Sub(m.last) >= 100*time.Millisecond {
			m.last = now
			m.draw(f, acknowledged)
		}
		return
	}
	if now.Sub(m.last) >= lineEvery {
		m.last = now
		fmt.Fprintf(m.w, "publish: %s\n", m.text(f, acknowledged))
	}
}

// draw shows the bar; a bar that cannot be drawn is no reason to stop.
func (m *meter) draw(f *feed, acknowledged int64) {
	m.bar.Describe(fmt.Sprintf("%d readings, %.0f/s%s", acknowledged, m.rate(acknowledged), rows(f)))
	_ = m.bar.Set64(f.read.Load())
}

// finish ends the bar's line.
func (m *meter) finish(f *feed, acknowledged int64) {
	if m.bar != nil {
		m.draw(f, acknowledged)
		_ = m.bar.Exit()
		fmt.Fprintln(m.w)
	}
}

// text tells progress in a line.
func (m *meter) text(f *feed, acknowledged int64) string {
	text := fmt.Sprintf("%d readings acknowledged, %.0f/s%s", acknowledged, m.rate(acknowledged), rows(f))
	read := f.read.Load()
	if f.total == 0 || read == 0 {
		return text
	}
	left := time.Duration(float64(time.Since(m.start)) * (float64(f.total)/float64(read) - 1)).Round(time.Second)
	return fmt.Sprintf("%s, %.0f %% of the files read, about %s left", text, 100*float64(read)/float64(f.total), left)
}

// rows tells how far a file is read that says how many rows it has.
func rows(f *feed) string {
	all := f.rowsAll.Load()
	if all == 0 {
		return ""
	}
	return fmt.Sprintf(", row %d of %d", f.rows.Load(), all)
}

func (m *meter) rate(acknowledged int64) float64 {
	return float64(acknowledged) / max(time.Since(m.start).Seconds(), 1e-3)
}
