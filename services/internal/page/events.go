package page

import (
	"net/http"
	"strings"
	"time"
)

const (
	// heartbeat is the longest silence: proxies cut connections that say nothing.
	heartbeat = 15 * time.Second
	// sendTimeout bounds how long a browser may take to take an event.
	sendTimeout = 10 * time.Second
	// comeBack tells a browser whose connection broke when to come back, in ms.
	comeBack = "retry: 2000\n\n"
)

// events is a stream of server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	spoke   time.Time
}

func newEvents(w http.ResponseWriter) *events {
	return &events{w: w, control: http.NewResponseController(w)}
}

// begin answers. The connection serves nothing else afterwards: it keeps the
// deadline of the last event.
func (e *events) begin() error {
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Connection", "close")
	h.Set("X-Accel-Buffering", "no") // of proxies that would hold events back
	e.w.WriteHeader(http.StatusOK)
	return e.write(comeBack)
}

// send sends an event. Without a name it only moves the id on, which a browser
// gives when it comes back; without both it is nothing.
func (e *events) send(name, id, data string) error {
	var b strings.Builder
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	if name != "" {
		b.WriteString("event: " + name + "\n")
		data = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data)
		for line := range strings.SplitSeq(data, "\n") {
			b.WriteString("data: " + line + "\n")
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return e.write(b.String() + "\n")
}

// beat breaks a silence with a comment.
func (e *events) beat() error {
	if time.Since(e.spoke) < heartbeat {
		return nil
	}
	return e.write(":\n\n")
}

func (e *events) write(text string) error {
	e.spoke = time.Now()
	if err := e.control.SetWriteDeadline(e.spoke.Add(sendTimeout)); err != nil {
		return err
	}
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	return e.control.Flush()
}
