package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/health"
)

// works names the component of health that a service has once it is at work.
var works = map[string]string{"ingest": "ingest.0", "silver-cleaner": "silver.0", "gold-aggregator": "gold.0"}

// working waits until all services of a set are well and at work.
func (s *set) working(ctx context.Context) error {
	for _, one := range s.services {
		err := until(ctx, func() error {
			if err := one.Ended(); err != nil {
				return done{err}
			}
			status, _, err := one.health(ctx)
			if err != nil {
				return err
			}
			component := works[one.kind]
			at := component == "" || slices.ContainsFunc(status.Components, func(c health.Component) bool {
				return c.Name == component
			})
			if !at || status.State != health.OK {
				return fmt.Errorf("%s is not at work: %+v", one.Name, status)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// health asks a service how it is.
func (s *service) health(ctx context.Context) (is health.Status, code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.http+"/health", nil)
	if err != nil {
		return is, 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return is, 0, err
	}
	defer res.Body.Close()
	err = json.NewDecoder(res.Body).Decode(&is)
	return is, res.StatusCode, err
}
