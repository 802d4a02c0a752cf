package gold_test

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/energy-platform/energy/pkg/gold"
)

// drawFold fills every field of a fold, by reflection, so that one that is added
// and not stored is found.
func drawFold(t *rapid.T, start int64) gold.Stored {
	var s gold.Stored
	var fill func(v reflect.Value, name string)
	fill = func(v reflect.Value, name string) {
		switch v.Interface().(type) {
		case time.Time:
			if n := rapid.Int64Range(0, 5).Draw(t, name); n > 0 {
				v.Set(reflect.ValueOf(time.Unix(0, start+n*12_345_678_901_000).UTC()))
			}
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if field := v.Type().Field(i).Name; field != "Emptied" { // of neighbours, which are rows
					fill(v.Field(i), name+"."+field)
				}
			}
		case reflect.Float64:
			v.SetFloat(rapid.OneOf(rapid.Just(0.0), rapid.Float64()).Draw(t, name))
		case reflect.Int64:
			whole, other := rapid.Just(start+int64(time.Hour)), rapid.Int64Range(math.MinInt64/4, math.MaxInt64/4)
			v.SetInt(rapid.OneOf(rapid.Just(int64(0)), whole, other).Draw(t, name))
		case reflect.Uint64:
			v.SetUint(rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, name))
		case reflect.Uint8:
			v.SetUint(uint64(rapid.IntRange(0, 15).Draw(t, name)))
		case reflect.Bool:
			v.SetBool(rapid.Bool().Draw(t, name))
		default:
			t.Fatalf("%s is a %s", name, v.Kind())
		}
	}
	fill(reflect.ValueOf(&s).Elem(), "fold")
	s.Start, s.Width = start, time.Hour
	return s
}

func readFolds(t *rapid.T, b []byte) (folds []gold.Stored) {
	err := gold.NewFoldReader().Read(b, time.Hour, func(s *gold.Stored) error {
		folds = append(folds, *s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return folds
}

func TestFoldsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var folds []gold.Stored
		for hour := range rapid.Int64Range(0, 4).Draw(t, "folds") {
			folds = append(folds, drawFold(t, hour*int64(time.Hour)+1_772_323_200_000_000_000))
		}
		b := gold.AppendFolds(nil, folds)
		if diff := cmp.Diff(folds, readFolds(t, b)); diff != "" {
			t.Fatalf("(-written +read):\n%s", diff)
		}
		for n := range b {
			err := gold.NewFoldReader().Read(b[:n], time.Hour, func(*gold.Stored) error { return nil })
			if !errors.Is(err, gold.ErrCorrupt) {
				t.Fatalf("%d of %d bytes: %v", n, len(b), err)
			}
		}
	})
}

func FuzzFoldReader(f *testing.F) {
	f.Add(gold.AppendFolds(nil, nil))
	f.Add(gold.AppendFolds(nil, []gold.Stored{{Start: 1, Summary: gold.Summary{Revision: 3, Peak: 2, HasPeak: true}}}))
	f.Add([]byte{1, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := gold.NewFoldReader().Read(b, time.Hour, func(*gold.Stored) error {
			n++
			return nil
		})
		if n > len(b)/8 || err != nil && !errors.Is(err, gold.ErrCorrupt) {
			t.Errorf("%d folds of %d bytes: %v", n, len(b), err)
		}
	})
}
