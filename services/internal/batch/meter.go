package batch

import "sync"

// meter adds up how far the parts of a step are. It is safe for concurrent use.
type meter struct {
	mu      sync.Mutex
	of      *run
	step    string
	parts   []float64
	waiting bool // whether the part that was last heard of waits
}

// begin begins a step of so many parts.
func (m *meter) begin(of *run, step string, parts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of, m.step, m.parts = of, step, make([]float64, parts)
	m.report()
}

// tell notes which share of a part is done.
func (m *meter) tell(part int, share float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parts[part] = share
	m.report()
}

// wait notes whether a part of the run waits for live readings.
func (m *meter) wait(waits bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting != waits {
		m.waiting = waits
		m.report()
	}
}

func (m *meter) report() {
	if m.of.Progress == nil {
		return
	}
	done := 0.0
	for _, share := range m.parts {
		done += share
	}
	m.of.Progress(Progress{
		ID: m.of.record.ID, Step: m.step, Done: done / float64(max(len(m.parts), 1)), Waiting: m.waiting,
	})
}
