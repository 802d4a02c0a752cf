package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/nats-io/nats.go"
)

type message = nats.Msg

// rubbish returns what an adversary sends, or a device that is broken. Nothing of it is
// a reading of the fleet.
func rubbish(d *rand.Rand) *message {
	good := fmt.Sprintf(`{"entity_id":"rubbish-%d","metric":"voltage","value":%d,"unit":"V","time":%d}`,
		d.IntN(5), 200+d.IntN(60), 1_740_000_000+d.IntN(1_000_000))
	noise := make([]byte, between(d, 1, 4096))
	for i := range noise {
		noise[i] = byte(d.IntN(256))
	}
	payloads := []struct{ contentType, data string }{
		{"", string(noise)},
		{"application/json", string(noise)},
		{"application/x-protobuf; proto=energy.v1.ReadingBatch", string(noise)},
		{"application/x-protobuf; proto=energy.v1.ReadingBatch", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"},
		{"application/senml+json", string(noise)},
		{"application/json", ""},
		{"application/json", "[" + good + "," + good[:between(d, 1, len(good)-1)]},
		{"application/json", strings.Repeat("[", between(d, 1, 200_000))},
		{"application/x-ndjson", good + "\n" + good[1:] + "\n" + good},
		{"application/json", strings.Replace(good, `"unit":"V"`, `"unit":"kg"`, 1)},
		{"application/json", strings.Replace(good, `"V"`, `"V","quality":"corrected","revision":18446744073709551615`, 1)},
		{"application/json", strings.Replace(good, "rubbish", strings.Repeat("y", between(d, 300, 1<<20)), 1)},
		{"application/json", strings.Replace(good, `"value":`, `"value":1e400,"v":`, 1)},
		{"text/html", "<html>" + good},
	}
	p := payloads[d.IntN(len(payloads))]
	m := &message{Subject: "readings.rubbish", Data: []byte(p.data), Header: nats.Header{}}
	if p.contentType != "" {
		m.Header.Set("Content-Type", p.contentType)
	}
	return m
}
