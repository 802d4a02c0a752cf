package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func provision(ctx context.Context, js jetstream.JetStream, t Topology) error {
	streams := t.Streams()
	for _, cfg := range streams {
		if err := checkExisting(ctx, js, cfg.Name, t.Partitions); err != nil {
			return fmt.Errorf("provision: %w", err)
		}
	}
	// READINGS comes first for everybody: of two processes with different
	// numbers of partitions, one loses there and makes nothing.
	for _, cfg := range streams {
		if err := ensureStream(ctx, js, cfg, t.Partitions); err != nil {
			return fmt.Errorf("provision stream %s: %w", cfg.Name, err)
		}
	}
	for _, cfg := range t.Buckets() {
		if _, err := js.CreateOrUpdateKeyValue(ctx, cfg); err != nil {
			return fmt.Errorf("provision bucket %s: %w", cfg.Bucket, err)
		}
	}
	return nil
}

// checkExisting lets a missing stream pass.
func checkExisting(ctx context.Context, js jetstream.JetStream, name string, partitions int) error {
	s, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", name, err)
	}
	have, err := readMetadata(s.CachedInfo().Config)
	if err != nil {
		return err
	}
	if have != partitions {
		return mismatchError(name, have, partitions)
	}
	return nil
}

// ensureStream never updates a stream that it has not checked: an update would
// overwrite the number of partitions of whoever created it a moment ago.
func ensureStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig, partitions int) error {
	_, err := js.CreateStream(ctx, cfg)
	if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return err // made now, or there already with this very configuration
	}
	if err := checkExisting(ctx, js, cfg.Name, partitions); err != nil {
		return err
	}
	_, err = js.UpdateStream(ctx, cfg)
	return err
}

func open(ctx context.Context, js jetstream.JetStream) (Topology, error) {
	t := Topology{}
	first, err := lookUp(ctx, js, StreamReadings)
	if err != nil {
		return t, err
	}
	if t.Partitions, err = readMetadata(first.Config); err != nil {
		return t, err
	}
	t.Replicas = first.Config.Replicas
	t.Limits.Readings = max(first.Config.MaxBytes, 0)
	if t.IngressShards, err = countShards(ctx, js); err != nil {
		return t, err
	}
	limits := map[string]*int64{
		StreamBronze: &t.Limits.Bronze, StreamSilver: &t.Limits.Silver,
		StreamGold: &t.Limits.Gold, StreamQuarantine: &t.Limits.Quarantine,
	}
	for _, cfg := range t.Streams()[t.IngressShards:] {
		info, err := lookUp(ctx, js, cfg.Name)
		if err != nil {
			return t, err
		}
		p, err := readMetadata(info.Config)
		if err != nil {
			return t, err
		}
		if p != t.Partitions {
			return t, mismatchError(cfg.Name, p, t.Partitions)
		}
		*limits[cfg.Name] = max(info.Config.MaxBytes, 0)
		if cfg.Name == StreamGold {
			t.Limits.GoldMaxAge = info.Config.MaxAge
		}
	}
	for _, cfg := range t.Buckets() {
		ttl, err := bucketTTL(ctx, js, cfg.Bucket)
		if err != nil {
			return t, err
		}
		if cfg.Bucket == BucketLeases {
			t.LeaseTTL = ttl
		}
	}
	return t, nil
}

func lookUp(ctx context.Context, js jetstream.JetStream, name string) (*jetstream.StreamInfo, error) {
	s, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, notProvisioned("stream " + name)
	}
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", name, err)
	}
	return s.CachedInfo(), nil
}

// countShards counts the ingress streams up to the first that is missing.
func countShards(ctx context.Context, js jetstream.JetStream) (int, error) {
	for n := 1; ; n++ {
		_, err := js.Stream(ctx, IngressStream(n))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return n, nil
		}
		if err != nil {
			return 0, fmt.Errorf("look up stream %s: %w", IngressStream(n), err)
		}
	}
}

func bucketTTL(ctx context.Context, js jetstream.JetStream, bucket string) (ttl time.Duration, err error) {
	kv, err := js.KeyValue(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return 0, notProvisioned("bucket " + bucket)
	}
	if err != nil {
		return 0, fmt.Errorf("look up bucket %s: %w", bucket, err)
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return 0, fmt.Errorf("status of bucket %s: %w", bucket, err)
	}
	return status.TTL(), nil
}

func readMetadata(cfg jetstream.StreamConfig) (partitions int, err error) {
	format, err := strconv.Atoi(cfg.Metadata[metaFormat])
	if err != nil {
		return 0, fmt.Errorf("stream %s has no %s in its metadata, it was not made by energy: %w",
			cfg.Name, metaFormat, ErrFormat)
	}
	if format > FormatVersion {
		return 0, fmt.Errorf("stream %s has layout %d, this build knows up to %d: %w",
			cfg.Name, format, FormatVersion, ErrFormat)
	}
	partitions, err = strconv.Atoi(cfg.Metadata[metaPartitions])
	if err != nil || partitions < 1 {
		return 0, fmt.Errorf("stream %s has %s=%q in its metadata: %w",
			cfg.Name, metaPartitions, cfg.Metadata[metaPartitions], ErrFormat)
	}
	return partitions, nil
}

func notProvisioned(what string) error {
	return fmt.Errorf("%w: %s is missing; run energy migrate", ErrNotProvisioned, what)
}

func mismatchError(stream string, have, want int) error {
	return fmt.Errorf("%w: stream %s was made with %d partitions, %d are configured; "+
		"the number is fixed when streams are made", ErrPartitionMismatch, stream, have, want)
}
