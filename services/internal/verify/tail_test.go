package verify

import (
	"errors"
	"testing"
)

// TestTailsThatAreRemovedAreFound: what a stage has still to read may be read and
// removed before verify has looked at it.
func TestTailsThatAreRemovedAreFound(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		tail                tail
		before, found, read uint64
		whole               bool
	}{
		"nothing is removed":                      {tail{after: 3, unread: 9}, 1, 1, 1, true},
		"what lies before the tail is":            {tail{after: 3, unread: 9}, 1, 4, 9, true},
		"the tail's first message is":             {tail{after: 3, unread: 9}, 1, 1, 10, false},
		"there is no tail":                        {tail{after: 3}, 1, 1, 20, true},
		"before its first message could be found": {tail{after: 3}, 1, 5, 5, false},
		"all that was there when it was read":     {tail{after: 3, unread: 6}, 5, 5, 5, true},
	} {
		err := tt.tail.whole(tt.before, tt.found, tt.read)
		if (err == nil) != tt.whole || err != nil && !errors.Is(err, ErrRemoved) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
