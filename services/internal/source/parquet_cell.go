package source

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// content is what the cells of a Parquet column hold, as far as it matters here.
type content uint8

const (
	text    content = iota + 1
	integer         // whole numbers
	number          // any numbers
	instant         // timestamps that are adjusted to UTC
	local           // timestamps of a clock that the file does not tell
	either          // INT96, which does not tell which of the two it is
	date
	clock // times of the day
)

// How times are written as text.
const (
	instantLayout = time.RFC3339Nano
	localLayout   = "2006-01-02 15:04:05.999999999"
	dateLayout    = "2006-01-02"
	clockLayout   = "15:04:05.999999999"
)

// cell says how the values of a column are written as text: as they would stand
// in a CSV of the same content.
type cell struct {
	content content
	typ     string // for messages
	comma   bool   // numbers have a decimal comma
	layout  string // of times

	form   func(dst []byte, v parquet.Value) []byte
	moment func(v parquet.Value) time.Time // in place of form
}

// append writes a value that is not null.
func (c *cell) append(dst []byte, v parquet.Value) []byte {
	if c.moment != nil {
		return c.moment(v).AppendFormat(dst, c.layout)
	}
	begin := len(dst)
	dst = c.form(dst, v)
	if point := slices.Index(dst[begin:], '.'); c.comma && point >= 0 {
		dst[begin+point] = ','
	}
	return dst
}

// typeName names the type of a column.
func typeName(c *parquet.Column) string {
	switch {
	case !c.Leaf() && c.Type().LogicalType() == nil:
		return "a group of columns"
	case c.Leaf() && c.Repeated():
		return "repeated " + c.Type().String()
	}
	return c.Type().String()
}

// newCell refuses columns that hold no single value a row, or none that could be
// part of a reading.
func newCell(column *parquet.Column) (*cell, error) {
	c := &cell{typ: typeName(column)}
	if !column.Leaf() || column.Repeated() {
		return nil, fmt.Errorf("column %q is %s, which holds several values a row; write each as a column of its own",
			column.Name(), c.typ)
	}
	if l := column.Type().LogicalType(); l != nil && l.Value != nil {
		c.logical(l.Value, column.Type().Kind())
	} else {
		c.physical(column.Type().Kind())
	}
	if c.content == 0 {
		return nil, fmt.Errorf("column %q is %s, which no part of a reading is; write it as text or as numbers",
			column.Name(), c.typ)
	}
	return c, nil
}

// physical sets up a column that has no logical type.
func (c *cell) physical(kind parquet.Kind) {
	switch kind {
	case parquet.Int32, parquet.Int64:
		c.content, c.form = integer, integers(kind, true)
	case parquet.Int96:
		c.content, c.moment = either, int96
	case parquet.Float:
		c.content, c.form = number, func(dst []byte, v parquet.Value) []byte {
			return appendFloat(dst, float64(v.Float()), 32)
		}
	case parquet.Double:
		c.content, c.form = number, func(dst []byte, v parquet.Value) []byte { return appendFloat(dst, v.Double(), 64) }
	case parquet.ByteArray:
		c.content, c.form = text, appendText
	case parquet.Boolean, parquet.FixedLenByteArray: // nothing of a reading
	}
}

// logical sets up a column of a logical type.
func (c *cell) logical(typ format.LogicalTypeValue, kind parquet.Kind) {
	switch typ := typ.(type) {
	case *format.StringType, *format.EnumType, *format.JsonType:
		c.content, c.form = text, appendText
	case *format.UUIDType:
		c.content, c.form = text, appendUUID
	case *format.IntType:
		c.content, c.form = integer, integers(kind, typ.IsSigned)
	case *format.DecimalType:
		const digits = 76 // of the widest decimals that databases have
		if 0 <= typ.Scale && typ.Scale <= digits {
			c.content, c.form = number, decimals(kind, int(typ.Scale))
		}
	case *format.DateType:
		c.content, c.layout = date, dateLayout
		c.moment = func(v parquet.Value) time.Time { return time.Unix(int64(v.Int32())*24*60*60, 0).UTC() }
	case *format.TimeType:
		c.content, c.layout, c.moment = clock, clockLayout, moments(typ.Unit, kind)
	case *format.TimestampType:
		c.content, c.layout, c.moment = local, localLayout, moments(typ.Unit, kind)
		if typ.IsAdjustedToUTC {
			c.content, c.layout = instant, instantLayout
		}
	}
}

// whole returns a value as an integer.
func whole(v parquet.Value, kind parquet.Kind) int64 {
	if kind == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

func integers(kind parquet.Kind, signed bool) func([]byte, parquet.Value) []byte {
	return func(dst []byte, v parquet.Value) []byte {
		switch n := whole(v, kind); {
		case signed:
			return strconv.AppendInt(dst, n, 10)
		case kind == parquet.Int32:
			return strconv.AppendUint(dst, uint64(uint32(n)), 10)
		default:
			return strconv.AppendUint(dst, uint64(n), 10)
		}
	}
}

// appendFloat writes the shortest decimal that names the number among those of
// its size: 0.1 is 0.1, also where 32 bits hold it.
func appendFloat(dst []byte, f float64, bits int) []byte {
	layout := byte('f')
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		layout = 'e'
	}
	return strconv.AppendFloat(dst, f, layout, -1, bits)
}

func appendText(dst []byte, v parquet.Value) []byte { return append(dst, v.ByteArray()...) }

func appendUUID(dst []byte, v parquet.Value) []byte {
	id := v.ByteArray()
	for i, n := range [...]int{4, 2, 2, 2, 6} {
		if i > 0 {
			dst = append(dst, '-')
		}
		n = min(n, len(id))
		dst = hex.AppendEncode(dst, id[:n])
		id = id[n:]
	}
	return dst
}

// decimals writes integers with a decimal point before their last digits.
func decimals(kind parquet.Kind, scale int) func([]byte, parquet.Value) []byte {
	return func(dst []byte, v parquet.Value) []byte {
		var digits []byte
		switch kind {
		case parquet.Int32, parquet.Int64:
			digits = strconv.AppendInt(nil, whole(v, kind), 10)
		default:
			const most = 64 // bytes; 32 hold 76 digits
			raw := v.ByteArray()
			if len(raw) > most {
				return fmt.Appendf(dst, "a decimal of %d bytes", len(raw))
			}
			n := new(big.Int).SetBytes(raw)
			if len(raw) > 0 && raw[0]&0x80 != 0 { // two's complement
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
			}
			digits = n.Append(nil, 10)
		}
		if digits[0] == '-' {
			dst, digits = append(dst, '-'), digits[1:]
		}
		for len(digits) <= scale {
			digits = slices.Insert(digits, 0, '0')
		}
		point := len(digits) - scale
		if dst = append(dst, digits[:point]...); scale > 0 {
			dst = append(append(dst, '.'), digits[point:]...)
		}
		return dst
	}
}

// moments reads times that are counted from the beginning of 1970, or of a day.
func moments(unit format.TimeUnit, kind parquet.Kind) func(parquet.Value) time.Time {
	return func(v parquet.Value) time.Time {
		n := whole(v, kind)
		switch unit.Value.(type) {
		case *format.MilliSeconds:
			return time.UnixMilli(n).UTC()
		case *format.MicroSeconds:
			return time.UnixMicro(n).UTC()
		}
		return time.Unix(0, n).UTC()
	}
}

// int96 reads the nanoseconds of a day and the Julian number of the day, as Hive,
// Impala and Spark write them.
func int96(v parquet.Value) time.Time {
	const unixEpoch = 2440588 // Julian
	raw := v.Int96()
	ns := uint64(raw[1])<<32 | uint64(raw[0])
	day := int64(int32(raw[2])) - unixEpoch
	return time.Unix(day*24*60*60+int64(ns/1e9), int64(ns%1e9)).UTC()
}
