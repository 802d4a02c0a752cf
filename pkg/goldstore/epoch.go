package goldstore

import (
	"context"
	"fmt"

	"github.com/energy-platform/energy/pkg/catalog"
)

const (
	insertEpoch = `
INSERT INTO gold.epochs (number, hash, document) VALUES ($1, $2, $3)
ON CONFLICT (number) DO NOTHING`
	storedEpoch = `SELECT hash FROM gold.epochs WHERE number = $1`
)

// RegisterEpoch records a catalogue. It returns ErrEpochConflict when its
// number is recorded with another hash.
func (s *Store) RegisterEpoch(ctx context.Context, c *catalog.Catalog) error {
	number := int64(c.Epoch())
	if _, err := s.pool.Exec(ctx, insertEpoch, number, c.Hash(), c.Document()); err != nil {
		return fmt.Errorf("register epoch %d: %w", number, missingTable(err))
	}
	var hash string
	if err := s.pool.QueryRow(ctx, storedEpoch, number).Scan(&hash); err != nil {
		return fmt.Errorf("register epoch %d: %w", number, err)
	}
	if hash != c.Hash() {
		return fmt.Errorf("register epoch %d, hash %.12s, recorded %.12s: %w", number, c.Hash(), hash, ErrEpochConflict)
	}
	return nil
}
