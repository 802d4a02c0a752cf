package goldstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/entity"
)

//nolint:tparallel // each step goes on from the one before
func TestEntities(t *testing.T) {
	t.Parallel()
	s := open(t)
	day := int64(24 * time.Hour)
	first := []entity.Record{
		{ID: "meter", Name: "Main", Zone: "Europe/Paris", Parent: "site", Labels: map[string]string{"tariff": "night"}},
		{ID: "site"},
	}
	moved := entity.Record{ID: "meter", ValidFrom: day, Name: "Main", Zone: "Europe/Paris", Parent: "other"}

	put := func(t *testing.T, want RegistryChange, records ...entity.Record) {
		t.Helper()
		if got, err := s.PutEntities(t.Context(), records); err != nil || got != want {
			t.Fatalf("put: %+v, %v; want %+v", got, err, want)
		}
	}
	stored := func(t *testing.T, ids ...string) (records []entity.Record) {
		t.Helper()
		read(t, s, func(tx *ReadTx) {
			var err error
			if records, err = tx.Entities(t.Context(), ids); err != nil {
				t.Fatal(err)
			}
		})
		return records
	}

	t.Run("AreStoredAsTheyAre", func(t *testing.T) {
		put(t, RegistryChange{Inserted: 2}, first...)
		put(t, RegistryChange{Inserted: 1}, moved)
		want := []entity.Record{first[0], moved, {ID: "site", Zone: "UTC", Labels: map[string]string{}}}
		want[1].Labels = map[string]string{}
		if diff := cmp.Diff(want, stored(t)); diff != "" {
			t.Error(diff)
		}
		if got := stored(t, "site"); len(got) != 1 || got[0].ID != "site" {
			t.Errorf("of one id: %+v", got)
		}
	})
	t.Run("AgainChangeNothing", func(t *testing.T) {
		put(t, RegistryChange{Unchanged: 3}, append(first, moved)...)
	})
	t.Run("TakeTheirPlace", func(t *testing.T) {
		renamed := first[0]
		renamed.Name = "Cellar"
		put(t, RegistryChange{Updated: 1, Unchanged: 1}, renamed, moved)
		if got := stored(t, "meter")[0].Name; got != "Cellar" {
			t.Errorf("name %q", got)
		}
	})
	t.Run("AreRefusedAsAWhole", func(t *testing.T) {
		before := stored(t)
		for says, records := range map[string][]entity.Record{
			"zone \"x\"":             {{ID: "new"}, {ID: "meter", Zone: "x"}},
			"two records":            {{ID: "new"}, {ID: "new"}},
			"site → meter → site":    {{ID: "site", Parent: "meter"}},
			"other → meter → other":  {{ID: "new"}, {ID: "other", ValidFrom: 2 * day, Parent: "meter"}},
			"id is missing":          {{}, {ID: "new"}},
			"fraction of a second":   {{ID: "new", ValidFrom: 1}},
			"a → b → c → site → a":   {{ID: "a", Parent: "b"}, {ID: "b", Parent: "c"}, {ID: "c", Parent: "site"}, {ID: "site", Parent: "a"}},
			"parent is the entity i": {{ID: "new", Parent: "new"}},
		} {
			if _, err := s.PutEntities(t.Context(), records); !errors.Is(err, entity.ErrInvalid) ||
				!strings.Contains(err.Error(), says) {
				t.Errorf("put = %v, want ErrInvalid that says %q", err, says)
			}
		}
		if diff := cmp.Diff(before, stored(t)); diff != "" {
			t.Errorf("something was stored:\n%s", diff)
		}
	})
	t.Run("AreTakenOut", func(t *testing.T) {
		keys := []EntityKey{{"meter", day}, {"unknown", 0}}
		got, err := s.DeleteEntities(t.Context(), keys)
		if err != nil || got != (RegistryChange{Deleted: 1}) {
			t.Fatalf("delete: %+v, %v", got, err)
		}
		if left := stored(t, "meter"); len(left) != 1 || left[0].ValidFrom != entity.Ever {
			t.Errorf("left: %+v", left)
		}
	})
}

// TestConcurrentRegistrationsMakeNoCircle: of two changes that together would
// lead parents in a circle one is refused.
// TestDeletionsMakeNoCircle takes out the record that ended a parenthood: what
// was valid before it would be valid on, beside a later one the other way round.
func TestDeletionsMakeNoCircle(t *testing.T) {
	t.Parallel()
	s := open(t)
	day := int64(24 * time.Hour)
	if _, err := s.PutEntities(t.Context(), []entity.Record{
		{ID: "a", Parent: "b"}, {ID: "a", ValidFrom: day}, {ID: "b"}, {ID: "b", ValidFrom: day, Parent: "a"},
	}); err != nil {
		t.Fatal(err)
	}
	change, err := s.DeleteEntities(t.Context(), []EntityKey{{"a", day}})
	if !errors.Is(err, entity.ErrInvalid) || change != (RegistryChange{}) || !strings.Contains(err.Error(), "circle") {
		t.Errorf("deleting what keeps the parents apart: %+v, %v", change, err)
	}
	if _, err := s.PutEntities(t.Context(), []entity.Record{{ID: "child", Parent: "a"}}); err != nil {
		t.Errorf("a child of theirs: %v", err)
	}
	change, err = s.DeleteEntities(t.Context(), []EntityKey{{"b", day}, {"a", day}})
	if err != nil || change.Deleted != 2 {
		t.Errorf("deleting both: %+v, %v", change, err)
	}
}

func TestConcurrentRegistrationsMakeNoCircle(t *testing.T) {
	t.Parallel()
	s := open(t)
	for range 10 {
		failed := make(chan error, 2)
		for _, r := range []entity.Record{{ID: "a", Parent: "b"}, {ID: "b", Parent: "a"}} {
			go func() {
				_, err := s.PutEntities(t.Context(), []entity.Record{r})
				failed <- err
			}()
		}
		one, two := <-failed, <-failed
		if (one == nil) == (two == nil) || !errors.Is(errors.Join(one, two), entity.ErrInvalid) {
			t.Fatalf("one of two must be refused: %v, %v", one, two)
		}
		exec(t, s, `DELETE FROM gold.entities`)
	}
}

func TestTheRegistrarChangesTheRegistryAlone(t *testing.T) {
	t.Parallel()
	url := database(t)
	records := []entity.Record{{ID: "site"}}
	reader := openURL(t, asRole(t, url, "gold_reader"), Config{})
	if _, err := reader.PutEntities(t.Context(), records); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("a reader registers: %v, want ErrNotAllowed", err)
	}
	registrar := openURL(t, asRole(t, url, "gold_registrar"), Config{})
	if got, err := registrar.PutEntities(t.Context(), records); err != nil || got.Inserted != 1 {
		t.Errorf("the registrar registers: %+v, %v", got, err)
	}
	if _, err := registrar.pool.Exec(t.Context(), "DELETE FROM gold.base"); err == nil {
		t.Error("the registrar may delete rows of gold")
	}
}
