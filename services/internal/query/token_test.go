package query

import (
	"fmt"
	"testing"
)

// FuzzToken: a token that is accepted names one place, however it is written.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{"1769860800000000000-7", "0-0", "-5-3", "1--1", "1-2-3", "", "9223372036854775808-1", "+1-01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		created, sequence, ok := parseToken(token)
		if !ok {
			return
		}
		createdAgain, sequenceAgain, ok := parseToken(fmt.Sprintf("%d-%d", created, sequence))
		if !ok || createdAgain != created || sequenceAgain != sequence {
			t.Errorf("%q names %d of a stream of %d, then %d of %d", token, sequence, created, sequenceAgain, createdAgain)
		}
	})
}
