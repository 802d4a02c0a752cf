package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// DefaultServerSync is how often a nats-server syncs its files when its configuration
// does not say.
const DefaultServerSync = 2 * time.Minute

// Durability is what a broker's settings give to an acknowledged message. JetStream
// acknowledges when the message is written, which the crash of a process does not undo;
// what a machine that dies loses is what was not synced to its disk.
type Durability struct {
	Replicas int
	// Known is false when nobody could be asked, or who could did not answer, see
	// Unanswered: a client is not told how a server syncs, only its monitoring address is.
	Known        bool
	SyncAlways   bool          // before each acknowledgement
	SyncInterval time.Duration // between syncs otherwise
	// Unanswered is why who was asked did not answer; nil if nobody was.
	Unanswered error
}

// SyncedWithin is how long after its acknowledgement a message may be in memory only.
func (d Durability) SyncedWithin() time.Duration {
	switch {
	case !d.Known:
		return DefaultServerSync
	case d.SyncAlways:
		return 0
	default:
		return d.SyncInterval
	}
}

// LossBound says in a sentence what is lost when.
func (d Durability) LossBound() string {
	within := d.SyncedWithin()
	switch {
	case d.Known && d.SyncAlways && d.Replicas >= 3:
		return fmt.Sprintf("nothing that was acknowledged is lost unless the disks of %d of %d servers are",
			d.Replicas/2+1, d.Replicas)
	case d.Known && d.SyncAlways:
		return "nothing that was acknowledged is lost unless the broker's disk is"
	case d.Replicas >= 3:
		return d.caveat(fmt.Sprintf("acknowledged readings of the last %s may be lost when %d of %d broker machines "+
			"lose their power within that time; else nothing", within, d.Replicas/2+1, d.Replicas))
	default:
		return d.caveat(fmt.Sprintf("acknowledged readings of the last %s may be lost when the broker's machine loses "+
			"its power; nothing is when its process dies", within))
	}
}

func (d Durability) caveat(bound string) string {
	const unknown = ". This takes the broker's default for granted: "
	switch {
	case d.Known:
		return bound
	case d.Unanswered != nil:
		return bound + unknown + d.Unanswered.Error()
	default:
		return bound + unknown + "ENERGY_NATS_MONITOR says where it can be asked"
	}
}

// maxVarz bounds what is read of a monitoring page.
const maxVarz = 4 << 20

// AskDurability asks a nats-server's monitoring address, such as http://127.0.0.1:8222,
// how it syncs. An address with a path is asked as it is. What it does not answer is not
// Known, and Unanswered says why.
func AskDurability(ctx context.Context, monitor string, replicas int) Durability {
	d, err := askDurability(ctx, monitor)
	if err != nil {
		d.Unanswered = fmt.Errorf("ask the broker how it syncs: %w", err)
	}
	d.Replicas = replicas
	return d
}

func askDurability(ctx context.Context, monitor string) (d Durability, err error) {
	u, err := url.Parse(monitor)
	if err != nil || u.Host == "" {
		return d, fmt.Errorf("%q is no address like http://127.0.0.1:8222", monitor)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/varz"
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return d, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return d, err
	}
	defer res.Body.Close()
	var page struct {
		JetStream struct {
			Config *struct {
				SyncInterval time.Duration `json:"sync_interval"`
				SyncAlways   bool          `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	err = json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxVarz)).Decode(&page)
	if err == nil && (res.StatusCode != http.StatusOK || page.JetStream.Config == nil) {
		err = errors.New("it is no page of a server with JetStream")
	}
	if err != nil {
		return d, fmt.Errorf("%s answers %s: %w", u.Redacted(), res.Status, err)
	}
	d.Known, d.SyncAlways, d.SyncInterval = true, page.JetStream.Config.SyncAlways, page.JetStream.Config.SyncInterval
	if d.SyncInterval <= 0 {
		d.SyncInterval = DefaultServerSync
	}
	return d, nil
}
