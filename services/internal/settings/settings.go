// Package settings holds the settings of each service: one struct a service,
// filled from environment variables and printed as a table for people.
package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/energy-platform/energy/pkg/config"
	"github.com/energy-platform/energy/pkg/telemetry"
	"github.com/energy-platform/energy/services/internal/origin"
)

// Common is what every service has.
type Common struct {
	LogLevel slog.Level    `env:"ENERGY_LOG_LEVEL" envDefault:"INFO" doc:"least level that is logged: DEBUG, INFO, WARN or ERROR"`
	Grace    time.Duration `env:"ENERGY_GRACE" envDefault:"10s" doc:"how long work in flight may take after a signal to stop"`
	Instance string        `env:"ENERGY_INSTANCE" doc:"name of this instance in leases and logs; the service's name when empty"`
	// There are neither tokens nor TLS: whoever reaches an address may do all.
	Insecure bool `env:"ENERGY_INSECURE" envDefault:"false" doc:"let the addresses be others than loopback, though nothing is encrypted and nobody is asked who they are: only where the network itself keeps others out"`
	// Profiles tell what the process holds, so nobody beside this machine gets them.
	ProfileListen string `env:"ENERGY_PROFILE_LISTEN" doc:"loopback address of profiles of the process, under /debug/pprof/; none when empty"`
	Traces        telemetry.Settings
}

// Broker is how to reach NATS.
type Broker struct {
	NATSURL string `env:"ENERGY_NATS_URL" envDefault:"nats://127.0.0.1:4222" doc:"NATS servers, separated by commas"`
	Monitor string `env:"ENERGY_NATS_MONITOR" doc:"monitoring address of a NATS server, such as http://127.0.0.1:8222, which is asked, at each new connection, what a crash may lose; energy up knows"`
}

// Postgres is how to reach the gold store.
type Postgres struct {
	DatabaseURL config.Secret `env:"DATABASE_URL,required,notEmpty" doc:"gold store, as postgres://user:password@host:port/database"`
	// A statement that takes longer is given up, so that a connection that went
	// dead without a word holds nothing up for good.
	StatementTimeout time.Duration `env:"ENERGY_STATEMENT_TIMEOUT" envDefault:"1m" doc:"how long one statement in the gold store may take"`
}

// Stage bounds a stage of the pipeline.
type Stage struct {
	Budget     int           `env:"ENERGY_BYTE_BUDGET" envDefault:"67108864" doc:"bytes of messages that the service holds at once"`
	BatchBytes int           `env:"ENERGY_BATCH_BYTES" envDefault:"1048576" doc:"bytes of messages after which a batch is closed"`
	Linger     time.Duration `env:"ENERGY_LINGER" envDefault:"20ms" doc:"how long a batch waits for more messages"`
	LeaseGroup string        `env:"ENERGY_LEASE_GROUP" doc:"instances of one group share the partitions; those of another do the same work beside them, to the same result, as when a new build is tried. Letters, digits, - and _"`
}

// Gold bounds the work on the gold store.
type Gold struct {
	CacheBytes   int64         `env:"ENERGY_CACHE_BYTES" envDefault:"33554432" doc:"bytes of gold rows kept in memory, over all partitions"`
	ParentsQuiet time.Duration `env:"ENERGY_PARENTS_QUIET" envDefault:"10m" doc:"how long a UTC day must be over and without a change before its sums by hour and day are stored"`
}

// History is how much of what was read the streams keep.
type History struct {
	ReplayHorizon time.Duration `env:"ENERGY_REPLAY_HORIZON" envDefault:"168h" doc:"how long the streams keep what all services have read, for replay; less where a stream comes near its limit. What is unread is always kept"`
}

// leastHorizon leaves time for what looks back at messages that were just read.
const leastHorizon = time.Second

func (h *History) validate() error {
	if h.ReplayHorizon < leastHorizon {
		return fmt.Errorf("ENERGY_REPLAY_HORIZON %s must be at least %s", h.ReplayHorizon, leastHorizon)
	}
	return nil
}

// Ingest is the settings of ingest.
type Ingest struct {
	Common
	Broker
	Stage
	HTTPListen string `env:"ENERGY_HTTP_LISTEN" envDefault:"127.0.0.1:8081" doc:"address of /health over HTTP"`
	GRPCListen string `env:"ENERGY_GRPC_LISTEN" envDefault:"127.0.0.1:9091" doc:"address of health over gRPC"`
	Shard      int    `env:"ENERGY_INGRESS_SHARD" envDefault:"0" doc:"number of the ingress stream that is read; 0 is READINGS"`
}

// Cleaner is the settings of silver-cleaner.
type Cleaner struct {
	Common
	Broker
	Stage
	HTTPListen string `env:"ENERGY_HTTP_LISTEN" envDefault:"127.0.0.1:8082" doc:"address of /health over HTTP"`
	GRPCListen string `env:"ENERGY_GRPC_LISTEN" envDefault:"127.0.0.1:9092" doc:"address of health over gRPC"`
}

// Aggregator is the settings of gold-aggregator.
type Aggregator struct {
	Common
	Broker
	Stage
	Postgres
	Gold
	History
	HTTPListen string `env:"ENERGY_HTTP_LISTEN" envDefault:"127.0.0.1:8083" doc:"address of /health over HTTP"`
	GRPCListen string `env:"ENERGY_GRPC_LISTEN" envDefault:"127.0.0.1:9093" doc:"address of health over gRPC"`
}

// Query is the settings of query.
type Query struct {
	Common
	Broker
	Postgres
	Answers
	HTTPListen string `env:"ENERGY_HTTP_LISTEN" envDefault:"127.0.0.1:8080" doc:"address of the page, REST under /v1/, /openapi.json and /health"`
	GRPCListen string `env:"ENERGY_GRPC_LISTEN" envDefault:"127.0.0.1:9090" doc:"address of the query API over gRPC"`
}

// Answers bounds what the query API gives.
type Answers struct {
	QueryTimeout time.Duration `env:"ENERGY_QUERY_TIMEOUT" envDefault:"1m" doc:"how long reading one answer may take"`
	QueryConns   int32         `env:"ENERGY_QUERY_CONNECTIONS" envDefault:"8" doc:"connections to the gold store, and so answers that are read at once"`
}

// All is the settings of all four services in one process.
type All struct {
	Common
	Broker
	Stage
	Postgres
	Gold
	History
	Answers
	HTTPListen string `env:"ENERGY_HTTP_LISTEN" envDefault:"127.0.0.1:8080" doc:"address of the page, REST under /v1/, /openapi.json and /health"`
	GRPCListen string `env:"ENERGY_GRPC_LISTEN" envDefault:"127.0.0.1:9090" doc:"address of the query API over gRPC"`
}

// Containers is what docker-compose.yml and the targets of make for it take from the
// environment or .env. No service reads it.
type Containers struct {
	Bind         string `env:"BIND" envDefault:"127.0.0.1" doc:"address of this machine on which the ports below are open; there are neither tokens nor TLS"`
	HTTPPort     int    `env:"HTTP_PORT" envDefault:"8080" doc:"port of the page and of REST"`
	GRPCPort     int    `env:"GRPC_PORT" envDefault:"9090" doc:"port of the query API over gRPC"`
	NATSPort     int    `env:"NATS_PORT" envDefault:"4222" doc:"port for producers"`
	PostgresPort int    `env:"POSTGRES_PORT" envDefault:"5432" doc:"port for SQL"`
	JaegerPort   int    `env:"JAEGER_PORT" envDefault:"16686" doc:"port of Jaeger"`

	PrometheusPort int `env:"PROMETHEUS_PORT" envDefault:"9099" doc:"port of Prometheus, with the profile metrics: make docker-up METRICS=1"`
	GrafanaPort    int `env:"GRAFANA_PORT" envDefault:"3000" doc:"port of Grafana, with the profile metrics"`

	PostgresPassword string `env:"POSTGRES_PASSWORD" envDefault:"energy" doc:"password of the role energy, in a form that stands in a URL; it is set when the volume is made"`
	GrafanaPassword  string `env:"GRAFANA_PASSWORD" envDefault:"energy" doc:"password of admin in Grafana; it is set when the volume is made"`
	RolePassword     string `env:"GRAFANA_ROLE_PASSWORD" envDefault:"grafana" doc:"password of the role grafana in Postgres, which can only read"`
	SyncInterval     string `env:"NATS_SYNC_INTERVAL" envDefault:"always" doc:"what NATS acknowledges is on the disk (always), or is so within a time such as 1s: docs/durability.md"`
	Partitions       int    `env:"PARTITIONS" envDefault:"16" doc:"number of partitions, fixed when the streams are made"`

	NATSConfig  string `env:"NATS_CONFIG" envDefault:"single" doc:"single, or cluster for three NATS servers, which needs the profile cluster too: make docker-up CLUSTER=1 sets all three"`
	NATSServers string `env:"NATS_SERVERS" envDefault:"nats://nats:4222" doc:"NATS servers as services see them, separated by commas"`
	Replicas    int    `env:"REPLICAS" envDefault:"1" doc:"replicas of each stream; 3 in a cluster"`

	NATSImage          string `env:"NATS_IMAGE" envDefault:"nats:2.15.2-alpine" doc:"image of NATS"`
	PostgresImage      string `env:"POSTGRES_IMAGE" envDefault:"postgres:15-bookworm" doc:"image of Postgres, 15 to 18"`
	JaegerImage        string `env:"JAEGER_IMAGE" envDefault:"jaegertracing/jaeger:2.13.0" doc:"image of Jaeger"`
	PrometheusImage    string `env:"PROMETHEUS_IMAGE" envDefault:"prom/prometheus:v3.15.1" doc:"image of Prometheus"`
	GrafanaImage       string `env:"GRAFANA_IMAGE" envDefault:"grafana/grafana:12.3.0" doc:"image of Grafana"`
	IngestImage        string `env:"INGEST_IMAGE" envDefault:"energy/ingest:latest" doc:"image of ingest"`
	SilverCleanerImage string `env:"SILVER_CLEANER_IMAGE" envDefault:"energy/silver-cleaner:latest" doc:"image of silver-cleaner"`
	AggregatorImage    string `env:"GOLD_AGGREGATOR_IMAGE" envDefault:"energy/gold-aggregator:latest" doc:"image of gold-aggregator"`
	QueryImage         string `env:"QUERY_IMAGE" envDefault:"energy/query:latest" doc:"image of query"`
	ToolImage          string `env:"ENERGY_IMAGE" envDefault:"energy/energy:latest" doc:"image of the energy tool, which migrates"`
}

// Validate reports what is out of bounds.
func (s *Ingest) Validate() error {
	var shard error
	if s.Shard < 0 {
		shard = errors.New("ENERGY_INGRESS_SHARD must not be negative")
	}
	return errors.Join(s.Common.validate(), s.Stage.validate(), shard, s.listen(s.HTTPListen, s.GRPCListen))
}

// Validate reports what is out of bounds.
func (s *Cleaner) Validate() error {
	return errors.Join(s.Common.validate(), s.Stage.validate(), s.listen(s.HTTPListen, s.GRPCListen))
}

// Validate reports what is out of bounds.
func (s *Aggregator) Validate() error {
	return errors.Join(s.Common.validate(), s.Stage.validate(), s.Postgres.validate(), s.Gold.validate(),
		s.History.validate(), s.listen(s.HTTPListen, s.GRPCListen))
}

// Validate reports what is out of bounds.
func (s *All) Validate() error {
	return errors.Join(s.Common.validate(), s.Stage.validate(), s.Postgres.validate(), s.Answers.validate(),
		s.Gold.validate(), s.History.validate(), s.listen(s.HTTPListen, s.GRPCListen))
}

// Validate reports what is out of bounds.
func (s *Query) Validate() error {
	return errors.Join(s.Common.validate(), s.Postgres.validate(), s.Answers.validate(),
		s.listen(s.HTTPListen, s.GRPCListen))
}

// What a stage needs besides the messages and rows that its settings bound: what they
// become, the connections, the program itself.
const besides = 96 << 20

// Memory returns how many bytes the process is expected to need at most.
func (s *Ingest) Memory() int64 { return int64(s.Budget) + besides }

// Memory returns how many bytes the process is expected to need at most.
func (s *Cleaner) Memory() int64 { return int64(s.Budget) + besides }

// Memory returns how many bytes the process is expected to need at most.
func (s *Aggregator) Memory() int64 { return int64(s.Budget) + s.CacheBytes + besides }

// Address returns where the service answers over HTTP.
func (s *Ingest) Address() string { return s.HTTPListen }

// Address returns where the service answers over HTTP.
func (s *Cleaner) Address() string { return s.HTTPListen }

// Address returns where the service answers over HTTP.
func (s *Aggregator) Address() string { return s.HTTPListen }

// Address returns where the service answers over HTTP.
func (s *Query) Address() string { return s.HTTPListen }

// Level returns the least level that is logged.
func (c Common) Level() slog.Level { return c.LogLevel }

func (c *Common) validate() error {
	var faults []error
	if c.Grace < 0 {
		faults = append(faults, fmt.Errorf("ENERGY_GRACE %s must not be negative", c.Grace))
	}
	if c.ProfileListen != "" && !origin.IsLoopback(c.ProfileListen) {
		faults = append(faults,
			fmt.Errorf("ENERGY_PROFILE_LISTEN %s must be on this machine, such as 127.0.0.1:6060", c.ProfileListen))
	}
	return errors.Join(append(faults, c.Traces.Validate())...)
}

func (p *Postgres) validate() error {
	u := p.DatabaseURL.Reveal()
	var faults []error
	if u != "" && !strings.HasPrefix(u, "postgres://") && !strings.HasPrefix(u, "postgresql://") {
		faults = append(faults, errors.New("DATABASE_URL must have the form postgres://user:password@host:port/database"))
	}
	if p.StatementTimeout < time.Second {
		faults = append(faults, fmt.Errorf("ENERGY_STATEMENT_TIMEOUT %s must be at least 1s", p.StatementTimeout))
	}
	return errors.Join(faults...)
}

func (a *Answers) validate() error {
	var faults []error
	if a.QueryTimeout < time.Second {
		faults = append(faults, fmt.Errorf("ENERGY_QUERY_TIMEOUT %s must be at least 1s", a.QueryTimeout))
	}
	if a.QueryConns < 1 {
		faults = append(faults, fmt.Errorf("ENERGY_QUERY_CONNECTIONS %d must be at least 1", a.QueryConns))
	}
	return errors.Join(faults...)
}

func (g *Gold) validate() error {
	var faults []error
	if g.CacheBytes < 0 {
		faults = append(faults, errors.New("ENERGY_CACHE_BYTES must not be negative"))
	}
	if g.ParentsQuiet < 0 {
		faults = append(faults, fmt.Errorf("ENERGY_PARENTS_QUIET %s must not be negative", g.ParentsQuiet))
	}
	return errors.Join(faults...)
}

// least bounds from below what a service can work with.
const (
	leastBudget = 1 << 20
	leastBatch  = 64 << 10
)

func (s *Stage) validate() error {
	var faults []error
	if s.Budget < leastBudget {
		faults = append(faults, fmt.Errorf("ENERGY_BYTE_BUDGET %d must be at least %d", s.Budget, leastBudget))
	}
	if s.BatchBytes < leastBatch || s.BatchBytes > s.Budget {
		faults = append(faults,
			fmt.Errorf("ENERGY_BATCH_BYTES %d must be from %d to ENERGY_BYTE_BUDGET", s.BatchBytes, leastBatch))
	}
	if strings.ContainsFunc(s.LeaseGroup, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) {
		faults = append(faults, fmt.Errorf("ENERGY_LEASE_GROUP %q must have letters, digits, - and _ only", s.LeaseGroup))
	}
	if s.Linger < 0 || s.Linger > time.Minute {
		faults = append(faults, fmt.Errorf("ENERGY_LINGER %s must be from 0s to 1m", s.Linger))
	}
	return errors.Join(faults...)
}

// listen checks the addresses of HTTP and gRPC.
func (c *Common) listen(http, grpc string) error {
	var faults []error
	for _, address := range [...]struct{ name, value string }{
		{"ENERGY_HTTP_LISTEN", http}, {"ENERGY_GRPC_LISTEN", grpc},
	} {
		if _, _, err := net.SplitHostPort(address.value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w: give host:port", address.name, err))
		} else if !c.Insecure && !origin.IsLoopback(address.value) {
			faults = append(faults, fmt.Errorf("%s %s is open to the network, without encryption and to everybody: "+
				"listen on 127.0.0.1, or say ENERGY_INSECURE=true where the network keeps others out",
				address.name, address.value))
		}
	}
	return errors.Join(faults...)
}
