package generate

import (
	"bufio"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"unicode/utf8"

	"github.com/energy-platform/energy/pkg/fleet"
)

// record is a message as a line of deliveries.jsonl.gz. The payload is text, or
// base64 where it is no UTF-8.
type record struct {
	ContentType string  `json:"content_type"`
	Deliveries  int     `json:"deliveries"`
	Payload     *string `json:"payload"`
	Base64      []byte  `json:"payload_base64"`
}

// appendRecord appends a message as a line.
func appendRecord(b []byte, m *Message) []byte {
	b = fmt.Appendf(b, `{"content_type":%q,"deliveries":%d,`, m.ContentType, m.Deliveries)
	if m.ContentType == fleet.TypeJSON && utf8.Valid(m.Payload) {
		b = appendString(append(b, `"payload":`...), m.Payload)
	} else {
		b = append(b, `"payload_base64":"`...)
		b = append(base64.StdEncoding.AppendEncode(b, m.Payload), '"')
	}
	return append(b, "}\n"...)
}

// appendString appends UTF-8 as a JSON string.
func appendString(b, text []byte) []byte {
	b = append(b, '"')
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, text[from:i]...)
		from = i + 1
		if c < ' ' {
			b = fmt.Appendf(b, `\u%04x`, c)
		} else {
			b = append(b, '\\', c)
		}
	}
	return append(append(b, text[from:]...), '"')
}

// ReadMessages yields the messages of deliveries.jsonl.gz or rubbish.jsonl.gz.
// After an error it ends.
func ReadMessages(r io.Reader) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		unpacked, err := gzip.NewReader(r)
		if err != nil {
			yield(Message{}, fmt.Errorf("read messages: %w", err))
			return
		}
		decoder := json.NewDecoder(bufio.NewReader(unpacked))
		for n := 1; ; n++ {
			var line record
			err := decoder.Decode(&line)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Message{}, fmt.Errorf("read message %d: %w", n, err))
				return
			}
			m := Message{ContentType: line.ContentType, Payload: line.Base64, Deliveries: line.Deliveries}
			if line.Payload != nil {
				m.Payload = []byte(*line.Payload)
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}
