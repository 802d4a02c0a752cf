package e2e_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// TestSQLExamples runs the examples of docs/sql.md, in order: it publishes what stands as
// JSON, and compares the answer of each query, as psql prints it, with the block that
// follows (invariant 14).
func TestSQLExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	p := embedded(t)
	p.household(t, nil)
	p.await(t, "gold to have the household", caughtUp)
	conn, err := pgx.Connect(t.Context(), p.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "SET timezone = 'Europe/Paris'"); err != nil {
		t.Fatal(err)
	}
	grafana := strings.NewReplacer("$__timeFrom()", "timestamptz '2006-12-24 00:00Z'",
		"$__timeTo()", "timestamptz '2006-12-26 00:00Z'", "$entity", "'sceaux.kitchen','sceaux.laundry'")
	examples := 0
	for blocks := strings.Split(string(text), "```"); len(blocks) > 2; blocks = blocks[2:] {
		kind, body, _ := strings.Cut(blocks[1], "\n")
		switch kind {
		case "json":
			send(t, p, "application/x-ndjson", body)
			p.await(t, "gold to have the example", caughtUp)
		case "sql":
			_, want, _ := strings.Cut(blocks[3], "\n")
			results, err := conn.PgConn().Exec(t.Context(), grafana.Replace(body)).ReadAll()
			if err != nil {
				t.Errorf("%s%v", body, err)
			} else if diff := cmp.Diff(want, asPsql(results[0])); diff != "" {
				t.Errorf("%s is answered (-document +platform)\n%s\nthat is\n%s", body, diff, asPsql(results[0]))
			}
			examples++
		}
	}
	if examples == 0 {
		t.Error("there is no example")
	}
}

// asPsql prints a result as psql does, without the number of rows: headings in
// the middle, numbers on the right, all else on the left.
func asPsql(r *pgconn.Result) string {
	widths := make([]int, len(r.FieldDescriptions))
	for i, f := range r.FieldDescriptions {
		widths[i] = utf8.RuneCountInString(f.Name)
		for _, row := range r.Rows {
			widths[i] = max(widths[i], utf8.RuneCount(row[i]))
		}
	}
	var lines []string
	line := func(separator string, cell func(i int) string) {
		cells := make([]string, len(widths))
		for i := range cells {
			cells[i] = cell(i)
		}
		lines = append(lines, strings.TrimRight(strings.Join(cells, separator), " ")+"\n")
	}
	pad := func(n int) string { return strings.Repeat(" ", n) }
	line("|", func(i int) string {
		name := r.FieldDescriptions[i].Name
		free := widths[i] - utf8.RuneCountInString(name)
		return pad(1+free/2) + name + pad(1+free-free/2)
	})
	line("+", func(i int) string { return strings.Repeat("-", widths[i]+2) })
	for _, row := range r.Rows {
		line("|", func(i int) string {
			free := pad(widths[i] - utf8.RuneCount(row[i]))
			switch r.FieldDescriptions[i].DataTypeOID {
			case pgtype.Int8OID, pgtype.Int4OID, pgtype.Float8OID, pgtype.NumericOID:
				return " " + free + string(row[i]) + " "
			default:
				return " " + string(row[i]) + free + " "
			}
		})
	}
	return strings.Join(lines, "")
}
