package page

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Marks of numbers: a narrow space between thousands, which reads the same in
// every language, and a true minus.
const (
	thousands   = "\u202f"
	minus       = "\u2212"
	percentSign = "\u202f%"
)

// number prints a value with decimals. Values too great or too small for that
// are printed with a power of ten.
func number(x float64, decimals int) string {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return "–"
	case math.Abs(x) >= 1e15 || x != 0 && math.Abs(x) < 1e-9:
		return strings.ReplaceAll(strconv.FormatFloat(x, 'e', 3, 64), "-", minus)
	}
	text := strconv.FormatFloat(math.Abs(x), 'f', decimals, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	var b strings.Builder
	if x < 0 && strings.Trim(text, "0.") != "" {
		b.WriteString(minus)
	}
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(thousands)
		}
		b.WriteRune(digit)
	}
	if fraction != "" {
		b.WriteString("." + fraction)
	}
	return b.String()
}

// decimalsFor returns how many decimals show so many digits of a value.
func decimalsFor(x float64, digits int) int {
	x = math.Abs(x)
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return 1
	}
	return min(max(digits-1-int(math.Floor(math.Log10(x))), 0), 9)
}

// short prints a value that was computed.
func short(x float64) string { return trimmed(x, 5) }

// exact prints a value that was read: indexes have many digits, the last matter.
func exact(x float64) string { return trimmed(x, 9) }

func trimmed(x float64, digits int) string {
	text := number(x, decimalsFor(x, digits))
	if strings.Contains(text, ".") && !strings.Contains(text, "e") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func count(n uint64) string { return number(float64(n), 0) }

// percent prints a share. Only a whole is 100 %, and only nothing 0 %.
func percent(share float64) string {
	switch {
	case math.IsNaN(share):
		return ""
	case share >= 1:
		return "100" + percentSign
	case share <= 0:
		return "0" + percentSign
	case share > 0.9999:
		return "99.99" + percentSign
	case share < 0.0001:
		return "0.01" + percentSign
	}
	return strings.TrimSuffix(strconv.FormatFloat(100*share, 'f', 2, 64), ".00") + percentSign
}

// bytesOf prints a size.
func bytesOf(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	x, i := float64(n), 0
	for x >= 1024 && i < len(units)-1 {
		x, i = x/1024, i+1
	}
	if i == 0 {
		return count(n) + " B"
	}
	return number(x, 1) + " " + units[i]
}

// lasting prints how long something takes or took.
func lasting(d time.Duration) string {
	switch {
	case d < time.Second:
		return number(float64(d)/1e6, 0) + " ms"
	case d < time.Minute:
		return number(d.Seconds(), 1) + " s"
	case d < time.Hour:
		return number(d.Minutes(), 0) + " min"
	case d < 48*time.Hour:
		return number(d.Hours(), 1) + " h"
	default:
		return number(d.Hours()/24, 0) + " d"
	}
}

// clean makes a name safe in XML: what XML cannot hold is replaced.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}
