package replay

import (
	"fmt"

	"github.com/energy-platform/energy/pkg/broker"
)

// Layer is whose messages are replayed.
type Layer int

// The layers.
const (
	UnknownLayer Layer = iota
	Readings           // what producers published
	Bronze             // readings as received
	Silver             // judgements, as they are
)

var layerNames = [...]string{"unknown", "readings", "bronze", "silver"}

// String returns the layer's name.
func (l Layer) String() string {
	if l > 0 && int(l) < len(layerNames) {
		return layerNames[l]
	}
	return layerNames[0]
}

// MarshalText returns the layer's name.
func (l Layer) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ParseLayer returns the layer of that name.
func ParseLayer(name string) (Layer, error) {
	for l := Readings; l <= Silver; l++ {
		if l.String() == name {
			return l, nil
		}
	}
	return UnknownLayer, fmt.Errorf("layer %q is not known: give readings, bronze or silver", name)
}

// Stream returns the layer's stream, the first one of the ingress.
func (l Layer) Stream() string {
	switch l {
	case Bronze:
		return broker.StreamBronze
	case Silver:
		return broker.StreamSilver
	default:
		return broker.StreamReadings
	}
}
