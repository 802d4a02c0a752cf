package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/log"
	dockernet "github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/energy-platform/energy/pkg/goldstore"
)

// root is the repository's, from this folder.
const root = "../.."

// containerImages are the images of docker-compose.yml by the name of their service.
// Those of this repository are built, under names of these tests; the others must be
// there. An error says what is missing, and what makes it.
var containerImages = sync.OnceValues(func() (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "docker", "info").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("no container engine answers: docker info: %w\n%s", err, out)
	}
	images := make(map[string]string)
	for _, name := range []string{"nats", "postgres"} {
		out, err := airgap(ctx, "image", name)
		if err != nil {
			return nil, err
		}
		image := strings.TrimSpace(out)
		if err := exec.CommandContext(ctx, "docker", "image", "inspect", image).Run(); err != nil {
			return nil, fmt.Errorf("the engine has no image %s: docker pull %s, or deployments/airgap/build %s",
				image, image, name)
		}
		images[name] = image
	}
	for _, name := range slices.Concat(serviceNames, []string{"energy"}) {
		images[name] = "energy-test/" + name + ":latest"
	}
	return images, nil
})

// serviceNames are the four services.
var serviceNames = []string{"ingest", "silver-cleaner", "gold-aggregator", "query"}

// serviceImages builds the images of this repository for the tests.
var serviceImages = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	_, err := airgap(ctx, "build", "--force", "services")
	return err
})

// airgap runs a script of deployments/airgap that names the images of these tests.
func airgap(ctx context.Context, script string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(root, "deployments/airgap", script), args...)
	cmd.Env = os.Environ()
	for _, name := range slices.Concat(serviceNames, []string{"energy"}) {
		variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_IMAGE"
		cmd.Env = append(cmd.Env, variable+"=energy-test/"+name+":latest")
	}
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("deployments/airgap/%s %q: %w\n%s", script, args, err, trouble.Bytes())
	}
	return out.String(), nil
}

// images returns the images of docker-compose.yml, or skips the test where no engine
// answers or images are missing.
func images(t *testing.T) map[string]string {
	t.Helper()
	found, err := containerImages()
	if err != nil {
		t.Skipf("containers are left out: %v", err)
	}
	return found
}

// stack is servers, and perhaps services, as containers on networks of their own.
type stack struct {
	platform
	images     map[string]string
	engine     *testcontainers.DockerClient
	bus        *testcontainers.DockerNetwork // of NATS and the services
	store      *testcontainers.DockerNetwork // of Postgres and the services that know it
	containers map[string]testcontainers.Container
	nats       []string // containers of NATS
}

// servers starts NATS, as the configuration in deployments/nats says, and Postgres.
func servers(t *testing.T, configuration string, nats ...string) *stack {
	t.Helper()
	s := &stack{images: images(t), containers: make(map[string]testcontainers.Container), nats: nats}
	var err error
	if s.engine, err = testcontainers.NewDockerClientWithOpts(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.engine.Close() })
	s.bus, s.store = newNetwork(t), newNetwork(t)
	var urls []string
	for _, name := range nats {
		address := freeAddress(t)
		urls = append(urls, "nats://"+address)
		s.run(t, name, s.images["nats"],
			testcontainers.WithCmd("--config", "/etc/nats/"+configuration+".conf"),
			testcontainers.WithEnv(map[string]string{"NATS_NAME": name, "NATS_SYNC_INTERVAL": "always"}),
			testcontainers.WithFiles(configured("single.conf"), configured("cluster.conf")),
			testcontainers.WithWaitStrategyAndDeadline(patience, wait.ForLog("Server is ready")),
			opened(4222, address), dockernet.WithNetwork([]string{name}, s.bus),
		)
	}
	address := freeAddress(t)
	s.natsURL, s.databaseURL = strings.Join(urls, ","), "postgres://energy:energy@"+address+"/energy"
	s.run(t, "postgres", s.images["postgres"],
		testcontainers.WithEnv(map[string]string{"POSTGRES_USER": "energy", "POSTGRES_PASSWORD": "energy", "POSTGRES_DB": "energy"}),
		testcontainers.WithWaitStrategyAndDeadline(patience, wait.ForExec([]string{"pg_isready", "-h", "127.0.0.1", "-U", "energy"})),
		opened(5432, address), dockernet.WithNetwork([]string{"postgres"}, s.store),
	)
	return s
}

func configured(name string) testcontainers.ContainerFile {
	return testcontainers.ContainerFile{
		HostFilePath: filepath.Join(root, "deployments/nats", name), ContainerFilePath: "/etc/nats/" + name, FileMode: 0o644,
	}
}

func newNetwork(t *testing.T) *testcontainers.DockerNetwork {
	t.Helper()
	n, err := dockernet.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Remove(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("remove a network: %v", err)
		}
	})
	return n
}

// opened opens a port of a container at an address of this machine, the same after a
// restart.
func opened(port uint16, address string) testcontainers.CustomizeRequestOption {
	at, of := netip.MustParseAddrPort(address), fmt.Sprintf("%d/tcp", port)
	return func(req *testcontainers.GenericContainerRequest) error {
		req.ExposedPorts = append(req.ExposedPorts, of)
		return hosted(func(c *container.HostConfig) {
			c.PortBindings = network.PortMap{network.MustParsePort(of): {
				{HostIP: at.Addr(), HostPort: strconv.Itoa(int(at.Port()))},
			}}
		})(req)
	}
}

// hosted changes how a container runs, beside what others change.
func hosted(change func(*container.HostConfig)) testcontainers.CustomizeRequestOption {
	return func(req *testcontainers.GenericContainerRequest) error {
		before := req.HostConfigModifier
		req.HostConfigModifier = func(c *container.HostConfig) {
			if before != nil {
				before(c)
			}
			change(c)
		}
		return nil
	}
}

// run starts a container, which the test removes; what it wrote is told if the test fails.
func (s *stack) run(
	t *testing.T, name, image string, options ...testcontainers.ContainerCustomizer,
) testcontainers.Container {
	t.Helper()
	c, err := testcontainers.Run(t.Context(), image, append(options, testcontainers.WithLogger(log.NewNoopLogger()))...)
	if c != nil {
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			if t.Failed() {
				s.tell(ctx, t, name)
			}
			if err := c.Terminate(ctx, testcontainers.StopTimeout(0)); err != nil {
				t.Errorf("remove %s: %v", name, err)
			}
		})
		s.containers[name] = c
	}
	if err != nil {
		t.Fatalf("run %s: %v", name, err)
	}
	return c
}

// tell logs the last that a container wrote.
func (s *stack) tell(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	out, err := s.containers[name].Logs(ctx)
	if err != nil {
		t.Logf("%s: %v", name, err)
		return
	}
	defer out.Close()
	text, err := io.ReadAll(out)
	t.Logf("%s wrote, %v:\n%s", name, err, text[max(0, len(text)-8<<10):])
}

// services runs the platform as docker-compose.yml does, after migrating.
func (s *stack) services(t *testing.T, migrate ...string) {
	t.Helper()
	if err := serviceImages(); err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, name := range s.nats {
		urls = append(urls, "nats://"+name+":4222")
	}
	environment := map[string]string{
		"ENERGY_NATS_URL": strings.Join(urls, ","), "ENERGY_NATS_MONITOR": "http://" + s.nats[0] + ":8222",
		"DATABASE_URL": "postgres://energy:energy@postgres/energy",
	}
	bus, store := dockernet.WithNetwork(nil, s.bus), dockernet.WithNetwork(nil, s.store)
	done := s.run(t, "migrate", s.images["energy"], bus, store, testcontainers.WithEnv(environment),
		testcontainers.WithCmd(append([]string{"migrate", "--partitions", "4", "--lease-ttl", "1s"}, migrate...)...),
		testcontainers.WithWaitStrategyAndDeadline(patience, wait.ForExit()),
	)
	if state, err := done.State(t.Context()); err != nil || state.ExitCode != 0 {
		t.Fatalf("energy migrate ended with %+v, %v", state, err)
	}
	maps.Copy(environment, map[string]string{
		"ENERGY_INSECURE": "true", "ENERGY_HTTP_LISTEN": ":8080", "ENERGY_GRPC_LISTEN": ":9090", "ENERGY_PARENTS_QUIET": "0s",
	})
	s.grpc = freeAddress(t)
	for _, name := range serviceNames {
		options := []testcontainers.ContainerCustomizer{
			testcontainers.WithEnv(environment), dockernet.WithNetwork([]string{name}, s.bus),
			hosted(func(c *container.HostConfig) { c.ReadonlyRootfs = true }),
		}
		if name == "gold-aggregator" || name == "query" {
			options = append(options, store)
		}
		if name == "query" {
			options = append(options, opened(9090, s.grpc))
		}
		s.run(t, name, s.images[name], options...)
	}
	s.query = queryClient(t, s.grpc)
}

// kill ends a container without any warning.
func (s *stack) kill(t *testing.T, name string) {
	t.Helper()
	_, err := s.engine.ContainerKill(t.Context(), s.containers[name].GetContainerID(), client.ContainerKillOptions{Signal: "SIGKILL"})
	if err != nil {
		t.Fatalf("kill %s: %v", name, err)
	}
}

// start starts a container that was killed.
func (s *stack) start(t *testing.T, name string) {
	t.Helper()
	if err := s.containers[name].Start(t.Context()); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
}

// cut takes a container off a network, and returns what puts it back.
func (s *stack) cut(t *testing.T, name string, from *testcontainers.DockerNetwork) (mend func()) {
	t.Helper()
	id := s.containers[name].GetContainerID()
	_, err := s.engine.NetworkDisconnect(t.Context(), from.ID, client.NetworkDisconnectOptions{Container: id})
	if err != nil {
		t.Fatalf("cut %s off: %v", name, err)
	}
	return func() {
		t.Helper()
		_, err := s.engine.NetworkConnect(t.Context(), from.ID, client.NetworkConnectOptions{
			Container: id, EndpointConfig: &network.EndpointSettings{Aliases: []string{name}},
		})
		if err != nil {
			t.Fatalf("put %s back: %v", name, err)
		}
	}
}

// execute runs a command in a container and returns its exit status and what it wrote.
func (s *stack) execute(ctx context.Context, name string, command ...string) (int, string, error) {
	code, out, err := s.containers[name].Exec(ctx, command, tcexec.Multiplexed())
	if err != nil {
		return code, "", err
	}
	text, err := io.ReadAll(out)
	return code, string(text), err
}

// well waits until services say of themselves that they are well.
func (s *stack) well(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		s.until(t, name+" to be well", func(ctx context.Context) error {
			code, out, err := s.execute(ctx, name, "/service", "health")
			if err == nil && (code != 0 || !strings.HasPrefix(out, name+" is ok")) {
				err = fmt.Errorf("it says, with %d: %s", code, out)
			}
			return err
		})
	}
}

// until tries until it works.
func (s *stack) until(t *testing.T, what string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited for %s: %v", what, err)
		case <-ticker.C:
		}
	}
}

// freshDatabase makes another database on the Postgres of the stack, migrated.
func (s *stack) freshDatabase(t *testing.T, name string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSuffix(s.databaseURL, "/energy") + "/" + name
	if _, err := goldstore.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

// TestSuiteOnContainers runs the main promises against a NATS server and a Postgres in
// containers, as an installation has them.
func TestSuiteOnContainers(t *testing.T) {
	t.Parallel()
	run := func(name string, test func(*testing.T, *platform)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servers(t, "single", "nats")
			test(t, on(t, s.natsURL, s.freshDatabase(t, "gold"), nil))
		})
	}
	run("DailySumsEqualTheFile", dailySumsEqualTheFile)
	run("PublishingAgainChangesNothing", publishingAgainChangesNothing)
	run("SameReadingsSameValues", func(t *testing.T, p *platform) {
		t.Helper()
		sameReadingsSameValues(t, embedded(t), p)
	})
}
