package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/reading"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// loadAnswer is what one answer said.
type loadAnswer struct {
	kind            string
	asked, answered int64 // Unix ns
	knownAt         int64 // Unix ns; 0 is now
	facts           []loadFact
}

// loadClient asks.
type loadClient struct {
	platform *platform
	plan     *loadPlan
	names    *loadNames
	settled  *settledTimes
	repeats  *repeats
	dice     *rand.Rand
}

// settledTimes is times before which everything that was received is in gold.
type settledTimes struct {
	mu    sync.Mutex
	times []int64
}

func (s *settledTimes) add(at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times = append(s.times, at)
}

// pick returns one of all, or of the latest few.
func (s *settledTimes) pick(dice *rand.Rand) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if few := min(len(s.times), 4); dice.IntN(2) == 0 {
		return s.times[len(s.times)-1-dice.IntN(few)]
	}
	return s.times[dice.IntN(len(s.times))]
}

// repeats holds the answers about the past against earlier ones to the same
// question: they must be the same to the bit.
type repeats struct {
	seed    maphash.Seed
	mu      sync.Mutex
	answers map[string]uint64
	equal   int
	again   map[bool][]*windowsQuestion // some to be asked again when all is over, of the past or not
}

// maxAgain bounds the questions that are asked again at the end.
const maxAgain = 40

// keep keeps a question to be asked again, while there are few.
func (r *repeats) keep(q *windowsQuestion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if past := q.request.GetKnownAt() != nil; len(r.again[past]) < maxAgain {
		r.again[past] = append(r.again[past], q)
	}
}

func newRepeats() *repeats {
	return &repeats{
		seed: maphash.MakeSeed(), answers: make(map[string]uint64), again: make(map[bool][]*windowsQuestion),
	}
}

func (r *repeats) check(question proto.Message, answer []byte) error {
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(question)
	if err != nil {
		return err
	}
	sum := maphash.Bytes(r.seed, answer)
	r.mu.Lock()
	defer r.mu.Unlock()
	before, again := r.answers[string(key)]
	if again && before != sum {
		return fmt.Errorf("the same question about the past has another answer than before: %v", question)
	}
	r.answers[string(key)] = sum
	if again {
		r.equal++
	}
	return nil
}

// loadNames finds subjects by what answers call them.
type loadNames struct {
	subjects [][]int32
	series   map[string]int32 // entity, metric and unit
	groups   map[string]int32 // grouping, key, metric and unit
}

func newLoadNames(plan *loadPlan) *loadNames {
	n := &loadNames{series: make(map[string]int32), groups: make(map[string]int32)}
	for i := range plan.series {
		s := &plan.series[i]
		n.series[s.entity+" "+s.metric+" "+s.unit] = int32(i)
		n.subjects = append(n.subjects, []int32{int32(i)})
	}
	for i := range plan.series {
		s := &plan.series[i]
		if s.kind >= loadRegister {
			continue
		}
		for _, key := range [...]string{"parent " + s.parent, "label " + s.tariff, "all "} {
			key += " " + s.metric + " " + s.unit
			if _, ok := n.groups[key]; !ok {
				n.groups[key] = int32(len(n.subjects))
				n.subjects = append(n.subjects, nil)
			}
			n.subjects[n.groups[key]] = append(n.subjects[n.groups[key]], int32(i))
		}
	}
	return n
}

// gather takes all of a stream.
func gather[M any](stream grpc.ServerStreamingClient[M], err error) (all []*M, _ error) {
	for err == nil {
		var m *M
		if m, err = stream.Recv(); err == nil {
			all = append(all, m)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return all, err
}

// gatherREST takes all that a path answers; each takes the messages as they come
// and is there to end a watch.
func gatherREST[M any, P interface {
	*M
	proto.Message
}](ctx context.Context, p *platform, method, path string, body proto.Message, each func(P) error) error {
	var sent []byte
	if body != nil {
		var err error
		if sent, err = protojson.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.http+path, bytes.NewReader(sent))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for lines := bufio.NewReader(res.Body); ; {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			result, ok := strings.CutPrefix(line, `{"result":`)
			if !ok || res.StatusCode != http.StatusOK {
				return fmt.Errorf("%s %s: %s: a line is no result: %.500s", method, path, res.Status, line)
			}
			m := P(new(M))
			if err := protojson.Unmarshal([]byte(strings.TrimSuffix(result, "}")), m); err != nil {
				return err
			}
			if err := each(m); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// windowsQuestion is a question for windows and what must be answered.
type windowsQuestion struct {
	request  *energyv1.QueryAggregatesRequest
	rest     bool
	subjects []int32
	grouping string                              // as in the names of groups; empty is by series
	windows  func(subject int32) (edges []int64) // where windows begin and end
}

// aggregates asks for windows.
func (c *loadClient) aggregates(ctx context.Context, q *windowsQuestion) ([]loadFact, error) {
	var answer []*energyv1.QueryAggregatesResponse
	var err error
	if q.rest {
		err = gatherREST(ctx, c.platform, http.MethodPost, "/v1/aggregates:query", q.request,
			func(r *energyv1.QueryAggregatesResponse) error { answer = append(answer, r); return nil })
	} else {
		answer, err = gather(c.platform.query.QueryAggregates(ctx, q.request))
	}
	if err != nil {
		return nil, err
	}
	var facts []loadFact
	told := make(map[factKey]bool)
	var bits []byte
	for _, r := range answer {
		subject, ok := c.names.subjectOf(q.grouping, r)
		if !ok || !slices.Contains(q.subjects, subject) {
			return nil, fmt.Errorf("%v %v was not asked for", r.GetSeries(), r.GetGroup())
		}
		edges := q.windows(subject)
		for _, a := range r.GetAggregates() {
			f := factOf(subject, q.grouping == "", a)
			if i, ok := slices.BinarySearch(edges, f.from); !ok || i+1 == len(edges) || edges[i+1] != f.to {
				return nil, fmt.Errorf("%v is none of the windows that %v asks for", a, q.request)
			}
			if told[f.factKey] {
				return nil, fmt.Errorf("%v %v has %v twice", r.GetSeries(), r.GetGroup(), a)
			}
			told[f.factKey] = true
			facts = append(facts, f)
			if a.GetFinality() != energyv1.Finality_FINALITY_PROVISIONAL && f.state.count > 0 {
				return nil, fmt.Errorf("%v is not provisional: its readings were just received", a)
			}
		}
		if bits, err = (proto.MarshalOptions{Deterministic: true}).MarshalAppend(bits, r); err != nil {
			return nil, err
		}
	}
	for _, subject := range q.subjects {
		edges := q.windows(subject)
		for i, from := range edges[:len(edges)-1] {
			if k := (factKey{factWindow, subject, from, edges[i+1]}); !told[k] {
				facts = append(facts, loadFact{factKey: k, absent: true})
			}
		}
	}
	if q.request.GetKnownAt() != nil {
		return facts, c.repeats.check(q.request, bits)
	}
	return facts, nil
}

func (n *loadNames) subjectOf(grouping string, r *energyv1.QueryAggregatesResponse) (subject int32, ok bool) {
	if grouping == "" {
		s := r.GetSeries()
		subject, ok = n.series[s.GetEntityId()+" "+s.GetMetric()+" "+s.GetUnit()]
		return subject, ok
	}
	g := r.GetGroup()
	subject, ok = n.groups[grouping+" "+g.GetKey()+" "+g.GetMetric()+" "+g.GetUnit()]
	return subject, ok
}

// factOf is what an aggregate says.
func factOf(subject int32, single bool, a *energyv1.Aggregate) loadFact {
	s := a.GetStatistics()
	f := loadFact{factKey: factKey{
		factWindow, subject, a.GetStart().AsTime().UnixNano(), a.GetEnd().AsTime().UnixNano(),
	}, revision: a.GetRevision()}
	f.state = loadState{count: a.GetReceived(), energy: s.GetEnergy() + s.GetAdvance()}
	if f.state.count > 0 {
		f.state.estimated, f.state.corrected = s.GetEstimatedCount(), s.GetCorrectedCount()
		f.state.sum, f.state.min, f.state.max = s.GetSum(), s.GetMin(), s.GetMax()
		if single {
			f.state.first, f.state.firstAt = s.GetFirst(), s.GetFirstAtNs()
			f.state.last, f.state.lastAt = s.GetLast(), s.GetLastAtNs()
		}
	}
	return f
}

// latest asks for the latest readings of subjects that are series.
func (c *loadClient) latest(
	ctx context.Context, selector *energyv1.Selector, subjects []int32, path string,
) (facts []loadFact, err error) {
	var answer []*energyv1.GetLatestResponse
	if path != "" {
		err = gatherREST(ctx, c.platform, http.MethodGet, path, nil,
			func(r *energyv1.GetLatestResponse) error { answer = append(answer, r); return nil })
	} else {
		answer, err = gather(c.platform.query.GetLatest(ctx, &energyv1.GetLatestRequest{Selector: selector}))
	}
	if err != nil {
		return nil, err
	}
	return c.listed(factLatest, subjects, len(answer), func(i int) (*energyv1.SeriesKey, loadState) {
		r := answer[i]
		return r.GetSeries(), loadState{
			count: 1, last: r.GetValue(), lastAt: r.GetTime().AsTime().UnixNano(), quality: reading.Quality(r.GetQuality()),
		}
	})
}

// list asks for the series whose names contain a text.
func (c *loadClient) list(ctx context.Context, text string, overREST bool) (facts []loadFact, err error) {
	var answer []*energyv1.ListSeriesResponse
	if overREST {
		err = gatherREST(ctx, c.platform, http.MethodGet, "/v1/series?contains="+text, nil,
			func(r *energyv1.ListSeriesResponse) error { answer = append(answer, r); return nil })
	} else {
		answer, err = gather(c.platform.query.ListSeries(ctx, &energyv1.ListSeriesRequest{Contains: []string{text}}))
	}
	if err != nil {
		return nil, err
	}
	subjects := c.plan.pick(func(s *loadSeries) bool { return strings.Contains(s.entity, text) })
	return c.listed(factListed, subjects, len(answer), func(i int) (*energyv1.SeriesKey, loadState) {
		return answer[i].GetSeries(), loadState{count: 1}
	})
}

// listed turns an answer with one thing a series into facts.
func (c *loadClient) listed(
	kind factKind, subjects []int32, n int, at func(int) (*energyv1.SeriesKey, loadState),
) (facts []loadFact, _ error) {
	told := make(map[int32]bool)
	for i := range n {
		key, state := at(i)
		subject, ok := c.names.series[key.GetEntityId()+" "+key.GetMetric()+" "+key.GetUnit()]
		if !ok || told[subject] || !slices.Contains(subjects, subject) {
			return nil, fmt.Errorf("%v was not asked for, or is there twice", key)
		}
		told[subject] = true
		facts = append(facts, loadFact{factKey: factKey{kind: kind, subject: subject}, state: state})
	}
	for _, subject := range subjects {
		if !told[subject] {
			facts = append(facts, loadFact{factKey: factKey{kind: kind, subject: subject}, absent: true})
		}
	}
	return facts, nil
}

// explain asks where an hour's readings came from.
func (c *loadClient) explain(ctx context.Context, subject int32, from time.Time, knownAt *timestamppb.Timestamp) (
	facts []loadFact, _ error,
) {
	s := &c.plan.series[subject]
	answer, err := gather(c.platform.query.ExplainAggregate(ctx, &energyv1.ExplainAggregateRequest{
		Series: &energyv1.SeriesKey{EntityId: s.entity, Metric: s.metric, Unit: s.unit},
		Start:  timestamppb.New(from), End: timestamppb.New(from.Add(time.Hour)), KnownAt: knownAt,
	}))
	if err != nil {
		return nil, err
	}
	told := make(map[int64]bool)
	for _, r := range answer {
		at := r.GetTime().AsTime().UnixNano()
		told[at] = true
		best := r.GetVersions()[0]
		facts = append(facts, loadFact{
			factKey: factKey{factExplained, subject, at, at + 1},
			state: loadState{
				count: uint64(len(r.GetVersions())), last: best.GetValue(), quality: reading.Quality(best.GetQuality()),
				received: best.GetOrigin().GetReceived().AsTime().UnixNano(),
			},
		})
		for _, v := range r.GetVersions() {
			o := v.GetOrigin()
			if !o.GetHeld() || o.GetSent().GetValue() != v.GetValue() || o.GetSent().GetEntityId() != s.entity {
				return nil, fmt.Errorf("a version of %s does not come from where it says: %v", s.entity, v)
			}
		}
	}
	for at := from; at.Before(from.Add(time.Hour)); at = at.Add(loadCadence) {
		if ns := at.UnixNano(); !told[ns] {
			facts = append(facts, loadFact{factKey: factKey{factExplained, subject, ns, ns + 1}, absent: true})
		}
	}
	return facts, nil
}

// pick returns the series that are wanted.
func (p *loadPlan) pick(wanted func(*loadSeries) bool) (subjects []int32) {
	for i := range p.series {
		if wanted(&p.series[i]) {
			subjects = append(subjects, int32(i))
		}
	}
	return subjects
}
