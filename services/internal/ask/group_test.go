package ask

import (
	"strings"
	"testing"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

func TestGroupByTakesTheKeyOfALabelEitherWay(t *testing.T) {
	t.Parallel()
	for _, good := range []struct {
		text, label string
		by          energyv1.GroupBy
		key         string
	}{
		{"series", "", energyv1.GroupBy_GROUP_BY_SERIES, ""},
		{"parent", "", energyv1.GroupBy_GROUP_BY_PARENT, ""},
		{"all", "", energyv1.GroupBy_GROUP_BY_ALL, ""},
		{"label=tariff", "", energyv1.GroupBy_GROUP_BY_LABEL, "tariff"},
		{"label", "tariff", energyv1.GroupBy_GROUP_BY_LABEL, "tariff"},
		{"label=tariff", "tariff", energyv1.GroupBy_GROUP_BY_LABEL, "tariff"},
	} {
		by, key, err := GroupBy(good.text, good.label)
		if err != nil || by != good.by || key != good.key {
			t.Errorf("%s %s: %s %q, %v", good.text, good.label, by, key, err)
		}
	}
	for _, bad := range []struct{ text, label, says string }{
		{"", "", "give series, parent, label=KEY or all"},
		{"unspecified", "", "give series"},
		{"site", "", "give series"},
		{"PARENT", "", "give series"},
		{"parent=x", "", "give series"},
		{"label", "", "such as label=tariff"},
		{"label=", "", "such as label=tariff"},
		{"parent", "tariff", "such as label=tariff"},
		{"label=tariff", "site", "exclude each other"},
	} {
		if _, _, err := GroupBy(bad.text, bad.label); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s %s: %v", bad.text, bad.label, err)
		}
	}
}

func TestGapFillAndLabelSayWhatIsAllowed(t *testing.T) {
	t.Parallel()
	if fill, err := GapFill("linear"); err != nil || fill != energyv1.GapFill_GAP_FILL_LINEAR {
		t.Error(fill, err)
	}
	for _, text := range []string{"", "unspecified", "zero", "NULL"} {
		if _, err := GapFill(text); err == nil || !strings.Contains(err.Error(), "none, null, previous or linear") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if label, err := Label("tariff=a=b"); err != nil || label != "tariff=a=b" {
		t.Error(label, err)
	}
	for _, text := range []string{"", "tariff", "=night", "tariff="} {
		if _, err := Label(text); err == nil || !strings.Contains(err.Error(), "such as tariff=night") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
