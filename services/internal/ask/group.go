package ask

import (
	"fmt"
	"strings"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// GroupBy returns what answers are put together by. The key of the label may
// stand behind it: label=tariff.
func GroupBy(text, label string) (by energyv1.GroupBy, key string, err error) {
	name, inline, given := strings.Cut(text, "=")
	number, known := energyv1.GroupBy_value["GROUP_BY_"+strings.ToUpper(name)]
	by = energyv1.GroupBy(number)
	byLabel := by == energyv1.GroupBy_GROUP_BY_LABEL
	switch {
	case !known || name != strings.ToLower(name) || by == energyv1.GroupBy_GROUP_BY_UNSPECIFIED || given && !byLabel:
		return 0, "", fmt.Errorf("%.64q is no grouping: give series, parent, label=KEY or all", text)
	case given && label != "" && label != inline:
		return 0, "", fmt.Errorf("%.64q and the label %.64q exclude each other: give one of them", text, label)
	case given:
		label = inline
	}
	if byLabel != (label != "") {
		return 0, "", fmt.Errorf("label needs the key of a label, and nothing else does: give label=KEY such as label=tariff")
	}
	return by, label, nil
}

// GapFill returns what is answered of windows of which nothing is known.
func GapFill(text string) (energyv1.GapFill, error) {
	fill, ok := energyv1.GapFill_value["GAP_FILL_"+strings.ToUpper(text)]
	if !ok || text != strings.ToLower(text) || fill == 0 {
		return 0, fmt.Errorf("%.64q fills no gaps: give none, null, previous or linear", text)
	}
	return energyv1.GapFill(fill), nil
}

// Label returns a label as the contract has it.
func Label(text string) (string, error) {
	if key, value, ok := strings.Cut(text, "="); !ok || key == "" || value == "" {
		return "", fmt.Errorf("%.64q is no label: give key=value such as tariff=night", text)
	}
	return text, nil
}
