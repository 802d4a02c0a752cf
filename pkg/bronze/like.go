package bronze

import "strings"

// FieldLike returns the field of a reading that a member's name is close to: one
// that differs in case and punctuation alone, or by a slip of the hand. Ok is
// false when there is none, and for the names of fields themselves.
func FieldLike(name string) (like string, ok bool) {
	if fieldOf([]byte(name)) != noField {
		return "", false
	}
	plain := letters(name)
	for _, known := range []string{
		"entity_id", "entity", "metric", "time", "timestamp", "ts", "value", "unit", "quality", "revision", "length",
		"exchange_start",
	} {
		if target := letters(known); distance(plain, target) <= slips(target) {
			return fieldNames[fieldOf([]byte(known))], true
		}
	}
	return "", false
}

// letters returns a name in small letters and digits only.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
}

// slips is how many letters may be wrong in a name that is still meant.
func slips(name string) int { return min(len(name)/3, 2) }

// distance is how many letters are to be put in, taken out or changed to make b of
// a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
