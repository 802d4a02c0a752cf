package publish

import (
	"fmt"

	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/services/internal/source"
)

// units tells units that do not fit their metric, by the built-in catalogue. The
// platform may have another, so such readings are published all the same.
type units struct {
	catalog *catalog.Catalog
	known   map[[2]string]string
}

// maxUnits bounds the pairs of metric and unit that are remembered.
const maxUnits = 4096

func newUnits() (units, error) {
	c, err := catalog.Default()
	return units{catalog: c, known: map[[2]string]string{}}, err
}

// doubt says what is doubtful about the unit of a reading, if anything is.
func (u *units) doubt(file string, at source.Position, r *reading.Reading) []string {
	pair := [2]string{r.Metric, r.Unit}
	why, ok := u.known[pair]
	if !ok {
		if _, err := u.catalog.Resolve(r.Metric, r.Unit); err != nil {
			why = err.Error()
		}
		if len(u.known) >= maxUnits {
			clear(u.known)
		}
		u.known[pair] = why
	}
	if why == "" {
		return nil
	}
	return []string{fmt.Sprintf(
		"%s: %s; it was published, and goes to quarantine unless the platform's catalogue takes it", at.In(file), why)}
}

// doubtNames says which names of members look like a slip of the hand.
func doubtNames(s *source.Source) (doubts []string) {
	for _, slip := range s.Slips() {
		doubts = append(doubts, fmt.Sprintf("%s: %.40q is no field of a reading and was left out, here and in what follows; "+
			"did you mean %s?", slip.In(s.Name()), slip.Name, slip.Field))
	}
	return doubts
}

// doubtEnd says that the last number of a file may be half of one.
func doubtEnd(s *source.Source) []string {
	at, open := s.Open()
	if !open {
		return nil
	}
	return []string{fmt.Sprintf("%s: the file ends here without a newline; if its writer is not done, "+
		"publish the file again when it is: the later value counts", at.In(s.Name()))}
}
