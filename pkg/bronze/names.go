package bronze

// Bounds of the table of names: 64 Ki names of at most 256 bytes.
const (
	maxNames    = 64 << 10
	maxNameSize = 256
)

// names turns bytes into strings that may be kept, and the same bytes into the
// same string as long as the table holds it. A full table is emptied.
type names struct {
	table map[string]string
}

// of returns b as a string. It allocates only for names that the table lacks
// or that are too long for it.
func (n *names) of(b []byte) string {
	if name, ok := n.table[string(b)]; ok || len(b) == 0 {
		return name
	}
	name := string(b)
	if len(b) > maxNameSize {
		return name
	}
	switch {
	case n.table == nil:
		n.table = make(map[string]string)
	case len(n.table) >= maxNames:
		clear(n.table)
	}
	n.table[name] = name
	return name
}
