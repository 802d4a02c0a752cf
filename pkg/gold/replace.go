package gold

// Replace returns a normalized set in which the versions that replaced tells make way
// for fresh ones, another normalized set: what is left of the first, merged with the
// second. Neither argument is changed.
//
// Of duplicates a set has the one with the smallest stamp only. Where that is
// replaced, the others go with it, wherever they came from.
func Replace(stored, fresh []Version, replaced func(*Version) bool) []Version {
	kept := make([]Version, 0, len(stored))
	for i := range stored {
		if !replaced(&stored[i]) {
			kept = append(kept, stored[i])
		}
	}
	return Merge(kept, fresh)
}

// Common returns how many versions of two normalized sets are duplicates of each
// other.
func Common(a, b []Version) (n int) {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch c := Compare(&a[i], &b[j]); {
		case c < 0:
			i++
		case c > 0:
			j++
		default:
			n, i, j = n+1, i+1, j+1
		}
	}
	return n
}
