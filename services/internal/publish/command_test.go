package publish_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/energy-platform/energy/pkg/localnats/natstest"
	"github.com/energy-platform/energy/pkg/tracing"
	"github.com/energy-platform/energy/services/internal/publish"
)

// command runs the command with no environment but the server.
func command(t *testing.T, server, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	c := publish.Command(func(key string) string {
		if key == "ENERGY_NATS_URL" {
			return server
		}
		return ""
	})
	var out, errs bytes.Buffer
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	c.SetErr(&errs)
	c.SetArgs(args)
	err = c.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func TestCommand(t *testing.T) {
	t.Parallel()
	t.Run("PrintsTheFirstReadings", func(t *testing.T) {
		t.Parallel()
		out, _, err := command(t, "", "", household, "-m", householdMapping, "--dry-run=3")
		const (
			at  = `"time":"2006-12-16T16:24:00Z"`
			end = `,"length":"1m0s"}` + "\n"
		)
		want := `{"entity_id":"sceaux","metric":"active_power_mean",` + at + `,"value":4.216,"unit":"kW"` + end +
			`{"entity_id":"sceaux","metric":"reactive_power_mean",` + at + `,"value":0.418,"unit":"kvar"` + end +
			`{"entity_id":"sceaux","metric":"voltage_mean",` + at + `,"value":234.84,"unit":"V"` + end
		if diff := cmp.Diff(want, out); diff != "" || err != nil {
			t.Error(diff, err)
		}
	})
	t.Run("PublishesAndPrintsAReceipt", func(t *testing.T) {
		t.Parallel()
		s := natstest.Server(t)
		stream := provision(t, natstest.Connect(t, s), -1)
		out, errs, err := command(t, s.URL(), lines(10)+"{\n",
			"-", "--subject", "readings.x", "--format", "protobuf", "--batch-size", "4")
		if err == nil || !strings.Contains(errs, "standard input:11: the text ends too early") {
			t.Errorf("%v; %s", err, errs)
		}
		for _, want := range []string{
			"read          10 readings in 11 rows; absent 0, bad rows 1\n", "published     10 readings in ",
			"acknowledged  10 readings; READINGS, sequences 1 to ", "refused       0 readings\n", "took ", "energy quarantine list shows\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("the receipt lacks %q:\n%s", want, out)
			}
		}
		if msgs := stored(t, stream); len(decode(t, msgs)) != 10 || msgs[0].Subject != "readings.x" {
			t.Errorf("%d messages", len(msgs))
		}
	})
	t.Run("TracesWhatItPublishes", func(t *testing.T) {
		t.Parallel()
		s := natstest.Server(t)
		stream := provision(t, natstest.Connect(t, s), -1)
		out, _, err := command(t, s.URL(), lines(10), "-", "--batch-size", "4", "--trace")
		_, rest, found := strings.Cut(out, "\ntrace         ")
		id, _, _ := strings.Cut(rest, "\n")
		if err != nil || !found || len(id) != 32 {
			t.Fatalf("%v; the receipt has no trace:\n%s", err, out)
		}
		for _, m := range stored(t, stream) {
			if c := tracing.Extract(t.Context(), m.Header); c.TraceID().String() != id || !c.IsSampled() {
				t.Errorf("a message is in trace %v, want %s", c, id)
			}
		}
		if out, _, err := command(t, s.URL(), lines(10), "-"); err != nil || strings.Contains(out, "trace") {
			t.Errorf("%v; without --trace the receipt is\n%s", err, out)
		}
	})
	t.Run("TellsOfSlipsOnceAndOfFaultsInOneSentence", func(t *testing.T) {
		t.Parallel()
		const rest = `,"metric":"voltage","value":1`
		_, errs, err := command(t, "", `{"entity_id":"m","time":0`+rest+`,"qualty":"estimated","site":"x"}`+"\n"+
			`{"entity_id":"m","time":0`+rest+`,"qualty":"estimated"}`+"\n"+`{"entity_id":"m"`+rest+"}\n"+
			`{"entity_id":"m" "time":0`+rest+"}\n", "-", "--dry-run")
		want := "standard input:3: time: missing; give the time of the reading, such as 2026-01-31T12:00:00Z\n" +
			"standard input:4: a comma or a closing brace is missing at byte 17 of the line\n" +
			`standard input:1: "qualty" is no field of a reading and was left out, here and in what follows; ` +
			"did you mean quality?\nError: bad rows were left out: 2\n"
		if diff := cmp.Diff(want, errs); diff != "" || err == nil {
			t.Error(diff, err)
		}
	})
	t.Run("TellsAMappingByFlags", func(t *testing.T) {
		t.Parallel()
		cases := map[string]struct {
			text string
			args []string
			want string
		}{
			"a long file": {"at;meter;kwh;new\n31.1.2026 13:00;m1;1,5;0,25\n31.1.2026 13:15;m1;-;\n", []string{
				"--delimiter=;", "--decimal-comma", "--absent=-", "--time-column=at", "--time-layout=2.1.2006 15:04",
				"--zone=Europe/Paris", "--entity=column:meter", "--metric=active_energy", "--value=kwh", "--unit=kWh",
				"--length=15m", "--quality=actual", "--revision=2", "--scale=2", "--exchange-start=new"},
				`{"entity_id":"m1","metric":"active_energy","time":"2026-01-31T12:00:00Z","value":3,"unit":"kWh",` +
					`"quality":"actual","revision":2,"length":"15m0s","exchange_start":0.5}` + "\n"},
			"a wide file without a header": {"# x\n2026-01-31T12:00:00Z,1,2\n", []string{
				"--no-header", "--comment=#", "--time-column=#1", "--time-layout=rfc3339",
				"--column={column: '#2', entity: a, metric: m}", "--column={column: '#3', entity: b, metric: m}"},
				`{"entity_id":"a","metric":"m","time":"2026-01-31T12:00:00Z","value":1}` + "\n" +
					`{"entity_id":"b","metric":"m","time":"2026-01-31T12:00:00Z","value":2}` + "\n"},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				out, _, err := command(t, "", c.text, append(c.args, "-", "--dry-run")...)
				if diff := cmp.Diff(c.want, out); diff != "" || err != nil {
					t.Error(diff, err)
				}
			})
		}
	})
	t.Run("LaysFlagsOverTheMappingFile", func(t *testing.T) {
		t.Parallel()
		out, _, err := command(t, "", "", household, "-m", householdMapping, "--dry-run=1", "--zone=UTC")
		if !strings.Contains(out, `"time":"2006-12-16T17:24:00Z"`) || err != nil {
			t.Error(out, err)
		}
	})
	t.Run("SaysWhatIsWrong", func(t *testing.T) {
		t.Parallel()
		cases := map[string]struct {
			args []string
			want string
		}{
			"no file":            {nil, "name the files to publish, or - for standard input"},
			"an unknown format":  {[]string{"-", "--format=avro"}, `format "avro" is not known; use json or protobuf`},
			"a missing mapping":  {[]string{"-", "--mapping=/nowhere.yaml"}, "/nowhere.yaml"},
			"half a mapping":     {[]string{"-", "--value=kwh"}, "time: layout is missing"},
			"a wrong column":     {[]string{"-", "--column={colum: a}"}, "colum is no setting here; use column, entity"},
			"an empty dry run":   {[]string{"-", "--dry-run=0"}, "dry-run must be at least 1"},
			"a CSV by itself":    {[]string{household}, "say what its columns mean with a mapping file (--mapping FILE)"},
			"a missing CA":       {[]string{"-", "--ca=/nowhere.pem"}, "/nowhere.pem"},
			"missing credential": {[]string{"-", "--creds=/nowhere.creds"}, "/nowhere.creds"},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := ""
				if name == "a CSV by itself" {
					s = natstest.Server(t).URL()
				}
				_, _, err := command(t, s, "", c.args...)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("the error is %v; it should say %q", err, c.want)
				}
			})
		}
	})
	t.Run("TeachesWithExamples", func(t *testing.T) {
		t.Parallel()
		out, _, err := command(t, "nats://u:secret@elsewhere:4222", "", "--help")
		for _, want := range []string{"--mapping docs/data/household.yaml", "--entity column:meter",
			"readings.ndjson", "publish -", "nats://127.0.0.1:4222"} {
			if !strings.Contains(out, want) {
				t.Errorf("the help lacks %q", want)
			}
		}
		if err != nil || strings.Contains(out, "secret") {
			t.Error(err, out)
		}
	})
}
