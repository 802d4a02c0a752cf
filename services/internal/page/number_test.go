package page

import (
	"math"
	"testing"
	"time"
)

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()
	const thin = "\u202f"
	for _, tt := range []struct{ got, want string }{
		{number(0, 0), "0"},
		{number(math.Copysign(0, -1), 2), "0.00"},
		{number(-0.001, 2), "0.00"},
		{number(999.995, 1), "1" + thin + "000.0"},
		{number(1234567.891, 2), "1" + thin + "234" + thin + "567.89"},
		{number(-1234, 0), "−1" + thin + "234"},
		{number(1e308, 3), "1.000e+308"},
		{number(-5e-324, 3), "−4.941e−324"},
		{number(math.NaN(), 3), "–"},
		{number(math.Inf(-1), 3), "–"},
		{short(0), "0"},
		{short(230), "230"},
		{short(0.1), "0.1"},
		{short(1.234567), "1.2346"},
		{short(123456.7), "123" + thin + "457"},
		{exact(18250.4), "18" + thin + "250.4"},
		{exact(235.72), "235.72"},
		{count(math.MaxUint32), "4" + thin + "294" + thin + "967" + thin + "295"},
		{percent(1), "100" + thin + "%"},
		{percent(0.999999), "99.99" + thin + "%"}, // not whole
		{percent(0.5), "50" + thin + "%"},
		{percent(1.0 / 3), "33.33" + thin + "%"},
		{percent(1e-9), "0.01" + thin + "%"}, // not nothing
		{percent(0), "0" + thin + "%"},
		{percent(math.NaN()), ""},
		{bytesOf(1023), "1" + thin + "023 B"},
		{bytesOf(3 << 29), "1.5 GiB"},
		{bytesOf(math.MaxUint64), "16.0 EiB"},
		{lasting(1500 * time.Microsecond), "2 ms"},
		{lasting(12300 * time.Millisecond), "12.3 s"},
		{lasting(90 * time.Minute), "1.5 h"},
		{lasting(100 * time.Hour), "4 d"},
		{clean("a\x00b\xffc\u2028\ufffe\x1b"), "a�b�c\u2028��"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
