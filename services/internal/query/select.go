package query

import (
	"fmt"
	"strings"

	"github.com/energy-platform/energy/pkg/entity"
)

// entitySelector checks what selects entities: parents, and labels written
// "key=value". Its errors name the fields below the path.
func entitySelector(path string, parents, labels []string) (entity.Selector, error) {
	s := entity.Selector{Parents: parents}
	if err := checkNames(path+"parents", parents); err != nil {
		return s, err
	}
	if len(labels) == 0 {
		return s, nil
	}
	if err := checkNames(path+"labels", labels); err != nil {
		return s, err
	}
	s.Labels = make(map[string]string, len(labels))
	for i, label := range labels {
		name := field(path+"labels", i)
		key, value, ok := strings.Cut(label, "=")
		if !ok {
			return s, invalid(name, "%q must be key=value", label)
		}
		if err := entity.CheckLabel(key); err != nil {
			return s, invalid(name, "%q must be key=value: %v", label, err)
		}
		if before, twice := s.Labels[key]; twice && before != value {
			return s, invalid(name, "asks for %s=%s, another for %s=%s: no entity has both", key, value, key, before)
		}
		s.Labels[key] = value
	}
	return s, nil
}

// field names an element of a list.
func field(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
