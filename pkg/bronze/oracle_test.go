package bronze_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/energy-platform/energy/pkg/reading"
)

type verdict int

const (
	refused  verdict = iota // not one JSON value
	invalid                 // one JSON value, but no reading
	accepted                // a reading
	unsure                  // beyond this oracle
)

// jsonOracle decodes one object by means of encoding/json, strconv and time.
func jsonOracle(payload []byte) (r reading.Reading, unknown int, v verdict) {
	payload = bytes.TrimPrefix(payload, []byte("\ufeff"))
	if !json.Valid(payload) {
		return r, 0, refused
	}
	trimmed := bytes.TrimLeft(payload, " \t\r\n")
	switch {
	case trimmed[0] == '[' || bytes.Contains(trimmed, []byte("\ufffd")):
		return r, 0, unsure
	case trimmed[0] != '{' || !utf8.Valid(payload) || depth(payload) > 65:
		return r, 0, invalid
	}
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil {
		return r, 0, unsure
	}
	members, unknown, duplicates := membersOf(payload)
	if duplicates {
		return r, 0, unsure
	}
	v = accepted
	at := func(field string, judge func(any) verdict) {
		if value, ok := members[field]; ok {
			v = worse(v, judge(value))
		}
	}
	at("entity_id", textTo(&r.EntityID))
	at("metric", textTo(&r.Metric))
	at("unit", textTo(&r.Unit))
	at("time", func(value any) verdict { return oracleTime(value, &r.Time) })
	at("quality", func(value any) verdict { return oracleQuality(value, &r.Quality) })
	at("value", func(value any) verdict { return oracleValue(value, &r.Value) })
	at("revision", func(value any) verdict { return oracleRevision(value, &r.Revision) })
	at("exchange_start", func(value any) verdict {
		r.Exchange = true
		return oracleValue(value, &r.ExchangeStart)
	})
	at("length", func(value any) verdict { return oracleLength(value, &r.Length) })
	_, timed := members["time"]
	_, valued := members["value"]
	if !timed || !valued && r.Quality != reading.Withdrawn && v != unsure {
		v = worse(v, invalid)
	}
	return r, unknown, v
}

// worse is the verdict over both: one invalid field makes a reading invalid.
func worse(a, b verdict) verdict {
	switch {
	case a == invalid || b == invalid:
		return invalid
	case a == unsure || b == unsure:
		return unsure
	}
	return accepted
}

// membersOf returns the members of an object by canonical name, without nulls.
// Two members for one field are left to the table tests.
func membersOf(payload []byte) (members map[string]any, unknown int, duplicates bool) {
	canonical := map[string]string{
		"entity_id": "entity_id", "entity": "entity_id", "metric": "metric", "time": "time", "timestamp": "time",
		"ts": "time", "value": "value", "unit": "unit", "quality": "quality", "revision": "revision", "length": "length",
		"exchange_start": "exchange_start",
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	decoder.Token()
	members = map[string]any{}
	for decoder.More() {
		key, _ := decoder.Token()
		var value any
		decoder.Decode(&value)
		field := canonical[key.(string)]
		if field == "" {
			unknown++
			continue
		}
		if value == nil {
			continue
		}
		if _, ok := members[field]; ok {
			duplicates = true
		}
		members[field] = value
	}
	return members, unknown, duplicates
}

// depth returns how deep brackets are nested.
func depth(payload []byte) (deepest int) {
	decoder := json.NewDecoder(bytes.NewReader(payload))
	for n := 0; ; {
		token, err := decoder.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			n++
			deepest = max(deepest, n)
		case json.Delim('}'), json.Delim(']'):
			n--
		}
	}
}

// textTo judges text; encoding/json writes U+FFFD for half a surrogate pair.
func textTo(to *string) func(any) verdict {
	return func(value any) verdict {
		s, ok := value.(string)
		if !ok || strings.Contains(s, "\ufffd") {
			return invalidUnless(!ok, s)
		}
		*to = s
		return accepted
	}
}

// invalidUnless tells a wrong type from a U+FFFD, which may have been written
// as an escape.
func invalidUnless(mistyped bool, s string) verdict {
	if !mistyped && strings.Contains(s, "\ufffd") {
		return unsure
	}
	return invalid
}

func oracleTime(value any, to *int64) verdict {
	switch value := value.(type) {
	case string:
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil || len(value) < 20 || strings.ContainsAny(value, ",") || !time.Unix(0, at.UnixNano()).Equal(at) {
			return unsure // FuzzTime knows
		}
		if zone := value[len(value)-6:]; zone[1:3] == "24" || zone[4:] == "60" {
			return unsure
		}
		*to = at.UnixNano()
		return accepted
	case json.Number:
		seconds, err := strconv.ParseInt(value.String(), 10, 64)
		if err != nil || seconds <= -9e9 || seconds >= 9e9 {
			return unsure
		}
		*to = seconds * 1e9
		return accepted
	}
	return invalid
}

func oracleQuality(value any, to *reading.Quality) verdict {
	name, ok := value.(string)
	q, err := reading.ParseQuality(name)
	if !ok || err != nil {
		return invalid
	}
	*to = q
	return accepted
}

func oracleValue(value any, to *float64) verdict {
	switch value := value.(type) {
	case string:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil && !math.IsInf(f, 0) || strings.ContainsAny(value, "xXpP_") {
			return invalid
		}
		if math.IsNaN(f) && value[0] != 'n' && value[0] != 'N' {
			return unsure
		}
		*to = f
		return accepted
	case json.Number:
		*to, _ = strconv.ParseFloat(value.String(), 64)
		return accepted
	}
	return invalid
}

func oracleRevision(value any, to *uint64) verdict {
	if s, ok := value.(string); ok {
		value = json.Number(s)
	}
	n, ok := value.(json.Number)
	if !ok {
		return invalid
	}
	revision, err := strconv.ParseUint(n.String(), 10, 64)
	if err != nil {
		return unsure // FuzzNumber knows
	}
	*to = revision
	return accepted
}

func oracleLength(value any, to *time.Duration) verdict {
	switch value := value.(type) {
	case string:
		length, err := time.ParseDuration(value)
		if err != nil {
			return unsure // FuzzLength knows
		}
		if *to = length; length < 0 {
			return invalid
		}
		return accepted
	case json.Number:
		seconds, err := strconv.ParseInt(value.String(), 10, 64)
		if err != nil || seconds >= 9e9 {
			return unsure
		}
		if *to = time.Duration(seconds) * time.Second; seconds < 0 {
			return invalid
		}
		return accepted
	}
	return invalid
}
