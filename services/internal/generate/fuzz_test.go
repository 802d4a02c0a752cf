package generate_test

import (
	"bytes"
	"compress/gzip"
	"testing"

	"github.com/energy-platform/energy/services/internal/generate"
)

// FuzzReadMessages reads damaged recordings: they end, and after an error
// nothing comes.
func FuzzReadMessages(f *testing.F) {
	for _, seed := range []string{
		`{"content_type":"application/json","deliveries":2,"payload":"[]"}` + "\n", `{"payload_base64":"AQI="}{`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	w := gzip.NewWriter(nil) // it is large; a process has one input at a time
	f.Fuzz(func(t *testing.T, text []byte) {
		var packed bytes.Buffer
		w.Reset(&packed)
		_, _ = w.Write(text)
		_ = w.Close()
		for _, file := range [][]byte{packed.Bytes(), text} {
			failed := false
			for _, err := range generate.ReadMessages(bytes.NewReader(file)) {
				if failed {
					t.Fatal("a message after an error")
				}
				failed = err != nil
			}
		}
	})
}
