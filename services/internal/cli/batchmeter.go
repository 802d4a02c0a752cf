package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/energy-platform/energy/services/internal/batch"
)

const (
	batchSteps   = 1000             // of the bar
	batchLineGap = 10 * time.Second // between lines where there is no terminal
)

// batchMeter shows how far a batch run is: a bar on a terminal, otherwise a line now
// and then. It is safe for concurrent use.
type batchMeter struct {
	mu   sync.Mutex
	w    io.Writer
	bar  *progressbar.ProgressBar // nil: no terminal
	step string
	last time.Time
}

func newBatchMeter(w io.Writer) *batchMeter {
	m := &batchMeter{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		m.bar = progressbar.NewOptions64(batchSteps, progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(24),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(true))
	}
	return m
}

func (m *batchMeter) tell(p batch.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := m.step == ""
	if p.Step != m.step {
		if m.step = p.Step; m.bar != nil {
			m.bar.Reset()
		}
	}
	text := fmt.Sprintf("batch %s: %s", p.ID, map[string]string{"read": "reading", "write": "writing"}[p.Step])
	if p.Waiting {
		text += ", waiting for live readings"
	}
	if m.bar != nil {
		m.bar.Describe(text)
		_ = m.bar.Set64(int64(p.Done * batchSteps)) // a bar that cannot be drawn is no reason to stop
		return
	}
	if now := time.Now(); first || now.Sub(m.last) >= batchLineGap {
		m.last = now
		fmt.Fprintf(m.w, "%s, %.0f %%\n", text, 100*p.Done)
	}
}

// aside makes room for lines of another kind.
func (m *batchMeter) aside(what func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bar != nil {
		_ = m.bar.Clear()
	}
	what()
}

// finish ends the bar's line.
func (m *batchMeter) finish() {
	if m.bar != nil {
		_ = m.bar.Exit()
		fmt.Fprintln(m.w)
	}
}
