package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/energy-platform/energy/pkg/broker"
)

func openEpochs(t *testing.T) *broker.Epochs {
	t.Helper()
	js, _ := provisioned(t)
	store, err := broker.OpenEpochs(testContext(t), js)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestEpochs(t *testing.T) {
	t.Parallel()
	t.Run("NumbersAreDenseAndUniqueWhoeverAdds", func(t *testing.T) {
		t.Parallel()
		store := openEpochs(t)
		const writers, each = 4, 5
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for n := range each {
					document := fmt.Append(nil, w, " ", n)
					for {
						all, err := store.After(testContext(t), 0)
						if err == nil {
							err = store.Add(testContext(t), uint64(len(all))+1, document)
						}
						if err == nil {
							break
						}
						if !errors.Is(err, broker.ErrEpochExists) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		group.Wait()
		all, err := store.After(testContext(t), 0)
		if err != nil || len(all) != writers*each {
			t.Fatalf("%d epochs, %v", len(all), err)
		}
		documents := make(map[string]bool)
		for i, e := range all {
			documents[string(e.Document)] = true
			if e.Number != uint64(i+1) || e.Activated.IsZero() || i > 0 && !e.Activated.After(all[i-1].Activated) {
				t.Errorf("epoch %d is %d of %s", i+1, e.Number, e.Activated)
			}
		}
		if len(documents) != writers*each {
			t.Errorf("%d documents of %d", len(documents), writers*each)
		}
		again, err := store.After(testContext(t), 3)
		if err != nil || len(again) != len(all)-3 || !again[0].Activated.Equal(all[3].Activated) ||
			!bytes.Equal(again[0].Document, all[3].Document) {
			t.Errorf("behind 3: %d epochs, %v", len(again), err)
		}
	})
	t.Run("AWatchTellsOfEachOnce", func(t *testing.T) {
		t.Parallel()
		store := openEpochs(t)
		known := uint64(0)
		enough := errors.New("enough")
		err := store.Watch(testContext(t), func() error {
			added, err := store.After(testContext(t), known)
			known += uint64(len(added))
			switch {
			case err != nil:
				return err
			case known == 3:
				return enough
			}
			return store.Add(testContext(t), known+1, []byte("next"))
		})
		if !errors.Is(err, enough) {
			t.Error(err)
		}
	})
	t.Run("WhatIsAppliedNeverGoesBack", func(t *testing.T) {
		t.Parallel()
		store := openEpochs(t)
		if n, err := store.Applied(testContext(t)); n != 0 || err != nil {
			t.Errorf("at first %d, %v", n, err)
		}
		var group sync.WaitGroup
		for n := range uint64(8) {
			group.Go(func() {
				if err := store.SetApplied(testContext(t), n); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n, err := store.Applied(testContext(t)); n != 7 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("ALargeDocumentIsRefused", func(t *testing.T) {
		t.Parallel()
		store := openEpochs(t)
		if err := store.Add(testContext(t), 999, make([]byte, 600<<10)); err == nil {
			t.Error("no error")
		}
	})
}
