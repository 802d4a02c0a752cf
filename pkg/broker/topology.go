package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Streams and buckets of the platform.
const (
	StreamReadings   = "READINGS"
	StreamBronze     = "BRONZE"
	StreamSilver     = "SILVER"
	StreamGold       = "GOLD"
	StreamQuarantine = "QUARANTINE"

	BucketPositions = "energy_positions"
	BucketLeases    = "energy_leases"
	BucketCatalog   = "energy_catalog"
)

// FormatVersion is the version of the stream layout, kept in the metadata of
// every stream. A build refuses streams of a later version.
const FormatVersion = 1

const (
	metaPartitions = "energy.partitions"
	metaFormat     = "energy.format"
)

// minDuplicates is the least duplicate window that nats-server accepts; zero
// means two minutes to it. Deduplication costs about 120 bytes a message id, and
// the platform does not need it: a duplicate changes nothing in gold.
const minDuplicates = 100 * time.Millisecond

var (
	// ErrNotProvisioned says that a stream or bucket is missing.
	ErrNotProvisioned = errors.New("broker is not provisioned")

	// ErrPartitionMismatch says that the streams were made with another number
	// of partitions. It is fixed when streams are made: a key hashed modulo
	// another number would land elsewhere.
	ErrPartitionMismatch = errors.New("number of partitions differs")

	// ErrFormat says that the streams have a layout this build does not know.
	ErrFormat = errors.New("stream layout is not known to this build")
)

// Topology is the whole of what the platform keeps in JetStream.
type Topology struct {
	// Partitions is the number of subjects of BRONZE, SILVER and GOLD.
	Partitions int
	// IngressShards is the number of ingress streams, at least 1. It may grow.
	IngressShards int
	// Replicas of every stream and bucket: 1, 3 or 5.
	Replicas int
	// LeaseTTL is how long a lease lives after its last renewal.
	LeaseTTL time.Duration
	Limits   Limits
}

// Limits are the sizes of the streams in bytes; 0 or less is unlimited.
type Limits struct {
	Readings   int64 // each ingress stream
	Bronze     int64
	Silver     int64
	Gold       int64
	Quarantine int64

	// GoldMaxAge is how long the feed keeps a change; 0 is for ever.
	GoldMaxAge time.Duration
}

// DefaultTopology fits a laptop: 16 partitions, 2 GiB for each of the streams
// whose data must not be lost, R1.
func DefaultTopology() Topology {
	return Topology{
		Partitions:    16,
		IngressShards: 1,
		Replicas:      1,
		LeaseTTL:      5 * time.Second,
		Limits: Limits{
			Readings:   2 << 30,
			Bronze:     2 << 30,
			Silver:     2 << 30,
			Gold:       256 << 20,
			Quarantine: 512 << 20,
			GoldMaxAge: 24 * time.Hour,
		},
	}
}

// maxPartitions bounds the number of subjects and leases.
const maxPartitions = 4096

// Validate reports every fault of t at once.
func (t Topology) Validate() error {
	var errs []error
	if t.Partitions < 1 || t.Partitions > maxPartitions {
		errs = append(errs, fmt.Errorf("partitions must be 1 to %d, not %d", maxPartitions, t.Partitions))
	}
	if t.IngressShards < 1 {
		errs = append(errs, fmt.Errorf("ingress shards must be at least 1, not %d", t.IngressShards))
	}
	if t.Replicas < 1 || t.Replicas > 5 {
		errs = append(errs, fmt.Errorf("replicas must be 1 to 5, not %d", t.Replicas))
	}
	if t.LeaseTTL < minDuplicates {
		errs = append(errs, fmt.Errorf("lease TTL must be at least %v, not %v", minDuplicates, t.LeaseTTL))
	}
	if age := t.Limits.GoldMaxAge; age < 0 || age > 0 && age < minDuplicates {
		errs = append(errs, fmt.Errorf("gold max age must be 0 or at least %v, not %v", minDuplicates, age))
	}
	return errors.Join(errs...)
}

// IngressStream is the name of ingress stream n: READINGS, READINGS_1, ….
// A stamp carries n, so the name of a stream is decided here alone.
func IngressStream(n int) string {
	if n == 0 {
		return StreamReadings
	}
	return StreamReadings + "_" + strconv.Itoa(n)
}

// IngressNumber is the inverse of [IngressStream].
func IngressNumber(stream string) (n int, ok bool) {
	if stream == StreamReadings {
		return 0, true
	}
	digits, ok := strings.CutPrefix(stream, StreamReadings+"_")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || IngressStream(n) != stream {
		return 0, false
	}
	return n, true
}

// IngressSubject is the filter of ingress stream n. Producers publish below
// readings.; with more than one shard the server's partition() mapping moves
// their messages to readings_<n>.
func IngressSubject(n int) string {
	if n == 0 {
		return "readings.>"
	}
	return "readings_" + strconv.Itoa(n) + ".>"
}

// BronzeSubject is the subject of partition p in BRONZE.
func BronzeSubject(p int) string { return "bronze." + strconv.Itoa(p) }

// SilverSubject is the subject of partition p in SILVER.
func SilverSubject(p int) string { return "silver." + strconv.Itoa(p) }

// GoldSubject is the subject of partition p in GOLD.
func GoldSubject(p int) string { return "gold." + strconv.Itoa(p) }

// QuarantineSubject is the subject of what a rule of a stage turned away. Both
// are single tokens.
func QuarantineSubject(stage, rule string) string { return "quarantine." + stage + "." + rule }

// Streams are the configurations of all streams, in the order in which they are
// made.
func (t Topology) Streams() []jetstream.StreamConfig {
	var streams []jetstream.StreamConfig
	for n := range t.IngressShards {
		streams = append(streams, t.stream(IngressStream(n), IngressSubject(n), t.Limits.Readings))
	}
	gold := t.stream(StreamGold, "gold.*", t.Limits.Gold)
	gold.Discard = jetstream.DiscardOld
	gold.MaxAge = t.Limits.GoldMaxAge
	return append(streams,
		t.stream(StreamBronze, "bronze.*", t.Limits.Bronze),
		t.stream(StreamSilver, "silver.*", t.Limits.Silver),
		gold,
		t.stream(StreamQuarantine, "quarantine.>", t.Limits.Quarantine),
	)
}

// stream refuses new messages at its limit, so that a stall backs up to the
// producer, and lets nobody delete or roll up a stored message. Purging stays
// possible: it is the janitor's work, guarded by permissions.
func (t Topology) stream(name, subject string, maxBytes int64) jetstream.StreamConfig {
	if maxBytes <= 0 {
		maxBytes = -1
	}
	return jetstream.StreamConfig{
		Name:        name,
		Subjects:    []string{subject},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    t.Replicas,
		MaxBytes:    maxBytes,
		MaxMsgs:     -1,
		Discard:     jetstream.DiscardNew,
		Duplicates:  minDuplicates,
		AllowDirect: true,
		DenyDelete:  true,
		Metadata: map[string]string{
			metaPartitions: strconv.Itoa(t.Partitions),
			metaFormat:     strconv.Itoa(FormatVersion),
		},
	}
}

// Buckets are the configurations of the key-value buckets.
//
// Leases are kept on file: revisions then never start again, so a renewal by an
// owner from before a broker restart cannot match a successor's key, and a
// restart shorter than the TTL moves no partition. The price is some 30 small
// unsynced writes a second.
func (t Topology) Buckets() []jetstream.KeyValueConfig {
	return []jetstream.KeyValueConfig{
		{
			Bucket: BucketPositions, Description: "what each stage has done",
			History: 1, Storage: jetstream.FileStorage, Replicas: t.Replicas,
		},
		{
			Bucket: BucketLeases, Description: "who works on which partition",
			History: 1, Storage: jetstream.FileStorage, Replicas: t.Replicas, TTL: t.LeaseTTL,
		},
		{
			Bucket: BucketCatalog, Description: "the epochs of the metric catalogue, one key each",
			History: 1, Storage: jetstream.FileStorage, Replicas: t.Replicas,
		},
	}
}

// Provision makes or updates all streams and buckets. It is idempotent and may
// run in several processes at once. It returns [ErrPartitionMismatch] when the
// streams have another number of partitions, before it changes any of them.
func Provision(ctx context.Context, js jetstream.JetStream, t Topology) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	return provision(ctx, js, t)
}

// Open reads the topology from the broker. A missing stream or bucket is
// [ErrNotProvisioned].
func Open(ctx context.Context, js jetstream.JetStream) (Topology, error) {
	t, err := open(ctx, js)
	if err != nil {
		return Topology{}, fmt.Errorf("open topology: %w", err)
	}
	return t, nil
}

// Check is [Open] for a service that knows how many partitions it expects.
func Check(ctx context.Context, js jetstream.JetStream, partitions int) error {
	t, err := Open(ctx, js)
	if err != nil {
		return err
	}
	if t.Partitions != partitions {
		return mismatchError(StreamReadings, t.Partitions, partitions)
	}
	return nil
}
