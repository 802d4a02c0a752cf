package localpg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const duplicateDatabase = "42P04" // SQLSTATE

// EnsureDatabase makes the database when there is none of this name.
func (s *Server) EnsureDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("localpg: make the database %s: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	var exists *pgconn.PgError
	if err == nil || errors.As(err, &exists) && exists.Code == duplicateDatabase {
		return nil
	}
	return fmt.Errorf("localpg: make the database %s: %w", name, err)
}
