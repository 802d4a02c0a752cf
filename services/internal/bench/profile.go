package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// profiles takes profiles of the services of one run: of the processor, then of the heap.
type profiles struct {
	dir    string
	listen map[string]string // addresses, by service
}

// profileTime is how much of a run is looked at.
const profileTime = 10 * time.Second

// of returns the address where a service is to serve its profiles.
func (p *profiles) of(service string) (address string, err error) {
	p.listen[service], err = freeAddress()
	return p.listen[service], err
}

// take begins to take the profiles; the function that it returns waits for them.
func (p *profiles) take(ctx context.Context) (wait func() error) {
	g, ctx := errgroup.WithContext(ctx)
	for service, address := range p.listen {
		g.Go(func() error {
			cpu := fmt.Sprintf("profile?seconds=%d", int(profileTime.Seconds()))
			if err := p.one(ctx, "http://"+address+"/debug/pprof/"+cpu, service+".pprof"); err != nil {
				return err
			}
			return p.one(ctx, "http://"+address+"/debug/pprof/heap", service+".heap.pprof")
		})
	}
	return g.Wait
}

// one takes one profile into a file.
func (p *profiles) one(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	profile, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, resp.Status, profile)
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.dir, file), profile, 0o600)
}
