package bronze_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/energy-platform/energy/pkg/reading"
)

// senmlRecord is a record by means of encoding/json.
type senmlRecord struct {
	raw    string
	keys   []string
	values map[string]any // without nulls; of duplicates the last
	object bool
	usable bool // does not make the rest of the pack unreadable
}

// senmlOracle resolves a pack as the text of RFC 8428 says it, by looking back
// for each base field. A fault is an outcome with a payload; ok is false for
// what is beyond it.
func senmlOracle(payload []byte) (outcomes []outcome, unknown int, ok bool) {
	payload = bytes.TrimPrefix(payload, []byte("\ufeff"))
	var elements []json.RawMessage
	if !simple(payload) || json.Unmarshal(payload, &elements) != nil || elements == nil {
		return nil, 0, false
	}
	var records []senmlRecord
	for _, element := range elements {
		r, n := parseRecord(element)
		unknown += n
		records = append(records, r)
		if r.object && !r.usable {
			return append(outcomes, outcome{Payload: r.raw}), unknown, true
		}
		got, one := resolve(records)
		switch {
		case got:
			outcomes = append(outcomes, outcome{Reading: one})
		case !r.baseOnly():
			outcomes = append(outcomes, outcome{Payload: r.raw})
		}
	}
	return outcomes, unknown, true
}

var longExponent = regexp.MustCompile(`[eE][+-]?[0-9]{4,}`)

// simple reports whether the oracle can judge a payload: encoding/json loses
// what is no UTF-8, and rationals take long for great exponents.
func simple(payload []byte) bool {
	if !json.Valid(payload) || !utf8.Valid(payload) || longExponent.Match(payload) || depth(payload) > 60 {
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	for {
		token, err := decoder.Token()
		if err != nil {
			return true
		}
		if s, ok := token.(string); ok && strings.Contains(s, "\ufffd") {
			return false
		}
	}
}

func parseRecord(raw json.RawMessage) (r senmlRecord, unknown int) {
	r = senmlRecord{raw: string(raw), values: map[string]any{}, object: raw[0] == '{', usable: true}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	_, _ = decoder.Token()
	for r.object && decoder.More() {
		token, _ := decoder.Token()
		key := token.(string)
		var value any
		_ = decoder.Decode(&value)
		known := strings.Contains(" bn bt bu bv bver n u v vs vb vd t ut ", " "+key+" ")
		if !known && regexp.MustCompile(`(?s)^b.*_$`).MatchString(key) || key == "bver" && value != nil && !version(value) {
			r.usable = false
			return r, unknown
		}
		r.keys = append(r.keys, key)
		if value != nil {
			r.values[key] = value
		}
		if !known {
			unknown++
		}
	}
	return r, unknown
}

func version(value any) bool {
	n, ok := rational(value)
	return ok && n.IsInt() && n.Sign() > 0 &&
		(n.Cmp(big.NewRat(10, 1)) <= 0 || n.Cmp(big.NewRat(26, 1)) == 0)
}

func rational(value any) (*big.Rat, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return nil, false
	}
	return new(big.Rat).SetString(n.String())
}

// sound reports whether the base fields and the extensions of a record are.
func (r *senmlRecord) sound() bool {
	for _, key := range r.keys {
		if strings.HasSuffix(key, "_") {
			return false
		}
	}
	return baseHolds("bn", r.values["bn"]) && baseHolds("bt", r.values["bt"]) && baseHolds("bu", r.values["bu"]) &&
		baseHolds("bv", r.values["bv"])
}

func baseHolds(label string, value any) bool {
	var ok bool
	switch label {
	case "bn":
		var s string
		s, ok = value.(string)
		ok = ok && len(s) <= 512
	case "bu":
		_, ok = value.(string)
	case "bt":
		_, ok = nanos(value)
	case "bv":
		_, ok = value.(json.Number)
	}
	return ok || value == nil
}

func (r *senmlRecord) baseOnly() bool {
	base := false
	for label := range r.values {
		switch label {
		case "bn", "bt", "bu", "bv", "bs", "bver":
			base = true
		case "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut":
			return false
		}
	}
	return base && r.sound()
}

// resolve makes a reading of the last of records.
func resolve(records []senmlRecord) (ok bool, r reading.Reading) {
	this := records[len(records)-1]
	field := func(label string) any { return this.values[label] }
	base := func(label string) any {
		for _, r := range slices.Backward(records) {
			if value, ok := r.values[label]; ok {
				return value
			}
		}
		return nil
	}
	if !this.object || !this.sound() || field("vs") != nil || field("vb") != nil || field("vd") != nil {
		return false, r
	}
	var fine [4]bool
	r.EntityID, r.Metric, fine[0] = oracleNames(base("bn"), field("n"))
	r.Time, fine[1] = oracleInstant(base("bt"), field("t"))
	r.Unit, fine[2] = oracleUnit(base("bu"), field("u"))
	r.Value, fine[3] = oracleSum(base("bv"), field("v"))
	return fine == [4]bool{true, true, true, true}, r
}

var (
	bySlash = regexp.MustCompile(`(?s)^(.+)/([^/]+)$`)
	byColon = regexp.MustCompile(`(?s)^([^/]+):([^/:]+)$`)
	address = regexp.MustCompile(`^[0-9]|^[0-9a-fA-F-]*$`)
)

func oracleNames(base, name any) (entity, metric string, ok bool) {
	first, fine := base.(string)
	last, ok := name.(string)
	if !fine && base != nil || !ok && name != nil {
		return "", "", false
	}
	if parts := bySlash.FindStringSubmatch(first + last); parts != nil {
		return parts[1], parts[2], true
	}
	parts := byColon.FindStringSubmatch(first + last)
	if len(parts) == 0 || address.MatchString(parts[2]) {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// nanos is a number of seconds in ns, rounded down.
func nanos(value any) (*big.Int, bool) {
	if value == nil {
		return new(big.Int), true
	}
	n, ok := rational(value)
	if !ok {
		return nil, false
	}
	n.Mul(n, big.NewRat(1e9, 1))
	whole := new(big.Int).Div(n.Num(), n.Denom()) // Euclidean; the denominator is positive
	ok = whole.IsInt64()
	return whole, ok
}

func oracleInstant(base, time any) (int64, bool) {
	at, fine := nanos(base)
	since, ok := nanos(time)
	if !fine || !ok {
		return 0, false
	}
	at.Add(at, since)
	ok = at.IsInt64()
	if at.Cmp(new(big.Int).Mul(big.NewInt(268435456), big.NewInt(1e9))) < 0 {
		at.Add(at, big.NewInt(received))
	}
	return at.Int64(), ok && at.IsInt64()
}

func oracleUnit(base, unit any) (string, bool) {
	if unit == nil {
		unit = base
	}
	symbol, ok := unit.(string)
	if known, ok := map[string]string{"Cel": "°C", "/": "1", "%": "1", "%RH": "%", "%EL": "%"}[symbol]; ok {
		symbol = known
	}
	return symbol, ok || unit == nil
}

func oracleSum(base, value any) (float64, bool) {
	v, ok := value.(json.Number)
	b, fine := base.(json.Number)
	f, _ := strconv.ParseFloat(v.String(), 64)
	g, _ := strconv.ParseFloat(b.String(), 64)
	if g != 0 {
		f += g
	}
	return f, ok && (fine || base == nil)
}
