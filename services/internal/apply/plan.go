package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/energy-platform/energy/pkg/broker"
	"github.com/energy-platform/energy/pkg/catalog"
	"github.com/energy-platform/energy/pkg/gold"
	"github.com/energy-platform/energy/pkg/goldstore"
	"github.com/energy-platform/energy/pkg/reading"
	"github.com/energy-platform/energy/pkg/silver"
	"github.com/energy-platform/energy/pkg/wire"
	"github.com/energy-platform/energy/services/internal/cleaner"
	"github.com/energy-platform/energy/services/internal/replay"
)

// planVersions is how many versions a plan holds at a time where nothing is said: some
// 50 MB.
const planVersions = 400_000

// Plan is what applying a document would do.
type Plan struct {
	Epoch    *catalog.Catalog // that it would be
	Created  bool             // whether it would be a new one
	Changes  catalog.Changes
	Readings uint64 // that would be judged again
	*Effect
}

// PlanFor tells what applying a document would change, and writes nothing. Each, if
// not nil, is told every row that would. It fails as Run does for a document that
// cannot be applied.
//
// It judges what BRONZE holds by the functions that silver judges by, and folds what
// gold holds and these judgements by those that gold folds by. So, but for what comes
// in meanwhile, it tells what will be (invariant 20).
func PlanFor(ctx context.Context, d Deps, document []byte, each func(Window) error) (Plan, error) {
	d.PlanVersions = cmp.Or(d.PlanVersions, planVersions)
	a, err := open(ctx, d)
	if err != nil {
		return Plan{}, err
	}
	all := a.epochs.All()
	applied, err := a.store.Applied(ctx)
	if err != nil {
		return Plan{}, err
	}
	wanted, err := all.Append(time.Now(), document)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Effect: newEffect(each), Created: wanted.Newest().Hash() != all.Newest().Hash()}
	if !p.Created {
		wanted = all
	}
	p.Epoch, p.Changes = wanted.Newest(), wanted.Newest().ChangedSince(applied)
	if err := a.rewindows(ctx, all.Newest(), p.Epoch); err != nil {
		return p, err
	}
	w := planner{application: a, plan: &p, epochs: wanted, inForce: all.Newest(), applied: applied}
	return p, w.run(ctx)
}

// rewindows refuses what changes the base window of a metric that has rows.
func (a *application) rewindows(ctx context.Context, newest, wanted *catalog.Catalog) error {
	names := wanted.Rewindowed(newest)
	if len(names) == 0 {
		return nil
	}
	var stored map[string]time.Duration
	err := a.Store.Read(ctx, func(tx *goldstore.ReadTx) (err error) {
		stored, err = tx.Windows(ctx, names)
		return err
	})
	if err != nil {
		return err
	}
	return rewindowed(wanted, names, stored)
}

// rewindowed returns ErrRewindow for each metric whose stored window the epoch
// changes.
func rewindowed(wanted *catalog.Catalog, names []string, stored map[string]time.Duration) error {
	var faults []error
	for _, name := range names {
		if window, ok := stored[name]; ok && window != wanted.Window(name) {
			faults = append(faults, fmt.Errorf("metric %s has window %s and readings, the file says %s: "+
				"leave the window, or declare another metric: %w", name, window, wanted.Window(name), ErrRewindow))
		}
	}
	return errors.Join(faults...)
}

// planner is a plan at work.
type planner struct {
	*application
	plan    *Plan
	epochs  catalog.Epochs // up to the one that is planned
	inForce *catalog.Catalog
	applied uint64
	marks   broker.Marks // of the planned epoch, where it has some
	series  map[reading.Series]goldstore.Series
}

func (p *planner) run(ctx context.Context) error {
	if p.applied >= p.plan.Epoch.Epoch() {
		return nil
	}
	if err := p.marked(ctx); err != nil {
		return err
	}
	if err := p.readSeries(ctx); err != nil {
		return err
	}
	for partition := range p.topology.Partitions {
		buckets := []bucket{{1, 0}}
		for first := true; len(buckets) > 0; first = false {
			c := newGathering(p, partition, buckets[0])
			c.counted = first
			if err := c.gather(ctx); err != nil {
				return err
			}
			if err := c.compare(ctx); err != nil {
				return err
			}
			buckets = append(buckets[1:], c.left...)
		}
	}
	return nil
}

// marked finds the markers that the planned epoch has if it is in force already.
func (p *planner) marked(ctx context.Context) error {
	bronze, err := broker.Stream(ctx, p.JetStream, broker.StreamBronze)
	if err != nil {
		return err
	}
	marks, _, err := p.store.Marks(ctx, p.plan.Epoch.Epoch())
	if err != nil {
		return err
	}
	if marks.In(bronze) && !marks.Behind.IsZero() {
		p.marks = marks
	}
	return nil
}

// current returns the epoch that was in force when a message came to BRONZE, the applied
// one or a later one: under that it has been judged.
func (p *planner) current(m *broker.Message) uint64 {
	current := max(p.applied, 1) // nothing is judged before the first
	for number := current + 1; number <= p.inForce.Epoch(); number++ {
		if c, _ := p.epochs.At(number); !m.Received.Before(c.Activated()) {
			current = number
		}
	}
	return current
}

// seriesOf returns the series of metrics by partition and name.
func (a *application) seriesOf(
	ctx context.Context, wanted func(metric string) bool,
) (all []goldstore.Series, err error) {
	err = a.Store.Read(ctx, func(tx *goldstore.ReadTx) error {
		all, err = tx.Series(ctx, goldstore.Selector{})
		return err
	})
	all = slices.DeleteFunc(all, func(s goldstore.Series) bool { return !wanted(s.Metric) })
	slices.SortStableFunc(all, func(s, t goldstore.Series) int {
		return a.partitionOf(s.Series) - a.partitionOf(t.Series)
	})
	return all, err
}

func (a *application) partitionOf(s reading.Series) int {
	return int(reading.Partition(s.EntityID, uint32(a.topology.Partitions)))
}

func (p *planner) readSeries(ctx context.Context) error {
	all, err := p.seriesOf(ctx, func(string) bool { return true })
	p.series = make(map[reading.Series]goldstore.Series, len(all))
	for _, s := range all {
		p.series[s.Series] = s
	}
	return err
}

// bucket is the series whose hash is that modulo a power of two.
type bucket struct{ of, is uint32 }

func (b bucket) has(s reading.Series) bool {
	if b.of == 1 {
		return true
	}
	h := fnv.New32a()
	fmt.Fprintf(h, "%s\x00%s\x00%s", s.EntityID, s.Metric, s.Unit)
	return h.Sum32()%b.of == b.is
}

// gathering is one pass over a partition of BRONZE: the judgements, as versions by
// base window, of a bucket of series.
type gathering struct {
	*planner
	bucket
	partition int
	again     cleaner.Again // what is judged again
	groups    map[gold.Key][]gold.Version
	// standing is those of groups that epochs which are not applied give without that.
	standing map[gold.Key][]gold.Version
	held     int
	limit    int      // of held, at which it is tried to hold less
	counted  bool     // whether readings are counted: in one pass of all
	left     []bucket // that are to be planned in further passes
	hearings map[reading.Series]*silver.Hearing
	benches  map[bench]*silver.Bench
	all      []silver.Judgement
}

// bench is names under an epoch.
type bench struct {
	reading.Series
	epoch uint64
}

// maxNames bounds the judges kept ready for names seen before.
const maxNames = 10_000

func newGathering(p *planner, partition int, of bucket) *gathering {
	g := &gathering{
		planner: p, bucket: of, partition: partition, again: cleaner.Again{Mark: math.MaxUint64},
		limit:  p.PlanVersions,
		groups: make(map[gold.Key][]gold.Version), standing: make(map[gold.Key][]gold.Version),
		hearings: make(map[reading.Series]*silver.Hearing), benches: make(map[bench]*silver.Bench),
	}
	if len(p.marks.Sequences) > 0 {
		g.again = cleaner.Again{Mark: p.marks.Sequences[partition], Before: p.marks.Behind}
	}
	return g
}

func (g *gathering) gather(ctx context.Context) error {
	subject := broker.BronzeSubject(g.partition)
	end, err := broker.LastSequence(ctx, g.JetStream, broker.StreamBronze, subject)
	if err != nil || len(g.plan.Changes.Judged) == 0 && !g.plan.Changes.Undeclared {
		return err
	}
	from := replay.Reading{
		JetStream: g.JetStream, Budget: g.stages.Budget, Logger: g.Logger,
		Limits: broker.BatchLimits{Bytes: batchBytes, Linger: linger},
	}
	held := replay.Range{Stream: broker.StreamBronze, Subject: subject, Until: end}
	err = from.Each(ctx, held, func(messages []broker.Message) error {
		for i := range messages {
			g.message(&messages[i])
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("plan partition %d: %w", g.partition, err)
	}
	return nil
}

// message gathers what a message's readings are judged. What cannot be decoded is
// in quarantine.
func (g *gathering) message(m *broker.Message) {
	batch, err := wire.DecodeBronze(m.Data)
	if err != nil {
		return
	}
	for row := range batch.Rows() {
		if names := batch.Series[row.Series]; g.plan.Epoch.JudgedSince(names.Metric, g.applied) {
			g.row(m, names, &row)
		}
	}
	if g.held > g.limit {
		g.shrink()
	}
}

func (g *gathering) row(m *broker.Message, names reading.Series, row *wire.BronzeRow) {
	current := g.current(m)
	var newest silver.Judgement
	g.all, newest, _ = g.hearing(names).Judge(g.all[:0], row.Reading, row.Stamp, row.Waived)
	if g.counted && g.again.Takes(m, row) {
		before := g.bench(names, current).Judge(row.Reading, row.Stamp, row.Waived)
		g.plan.judged(names.Metric, &before, &newest)
		g.plan.Readings++
	}
	for i := range g.all {
		j := &g.all[i]
		v := wire.Version(j)
		width := g.plan.Epoch.Metric(j.Series()).Window
		key := gold.Key{Series: j.Series(), Start: gold.WindowStart(v.Time, width), Width: width}
		if !g.has(key.Series) {
			continue
		}
		g.groups[key] = append(g.groups[key], v)
		g.held++
		if v.Epoch > g.applied && v.Epoch <= current {
			g.standing[key] = append(g.standing[key], v)
			g.held++
		}
	}
}

// hearing returns the hearing of names, made once while they keep coming.
func (g *gathering) hearing(names reading.Series) *silver.Hearing {
	h, ok := g.hearings[names]
	if !ok {
		if len(g.hearings) >= maxNames {
			clear(g.hearings)
		}
		h = silver.NewHearing(g.epochs, names.EntityID, names.Metric, names.Unit)
		g.hearings[names] = h
	}
	return h
}

// bench returns the bench of names under an epoch.
func (g *gathering) bench(names reading.Series, epoch uint64) *silver.Bench {
	key := bench{names, epoch}
	b, ok := g.benches[key]
	if !ok {
		if len(g.benches) >= maxNames {
			clear(g.benches)
		}
		c, _ := g.epochs.At(epoch)
		b = silver.NewJudge(c).Bench(names.EntityID, names.Metric, names.Unit)
		g.benches[key] = b
	}
	return b
}

// shrink drops duplicates and, where that is not enough, leaves half of the series to
// another pass; a single one is held whole.
func (g *gathering) shrink() {
	g.held = 0
	for _, groups := range []map[gold.Key][]gold.Version{g.groups, g.standing} {
		for key, versions := range groups {
			groups[key] = gold.Normalize(versions)
			g.held += len(groups[key])
		}
	}
	for g.held > g.PlanVersions/2 && g.several() {
		other := bucket{2 * g.of, g.is + g.of}
		g.bucket = bucket{2 * g.of, g.is}
		g.left = append(g.left, other)
		for key, versions := range g.groups {
			if !g.has(key.Series) {
				g.held -= len(versions) + len(g.standing[key])
				delete(g.groups, key)
				delete(g.standing, key)
			}
		}
	}
	g.limit = max(g.PlanVersions, 2*g.held) // a series that does not fit is not gone through for each message
}

// several reports whether more than one series is gathered.
func (g *gathering) several() bool {
	var one *reading.Series
	for key := range g.groups {
		if one != nil && *one != key.Series {
			return true
		}
		one = &key.Series
	}
	return false
}

// compare compares the answers of the bucket's series before and after: of those that
// judgements were gathered for, and of metrics that are computed otherwise.
func (g *gathering) compare(ctx context.Context) error {
	keys := make(map[reading.Series][]gold.Key)
	for key, versions := range g.groups {
		g.groups[key] = gold.Normalize(versions)
		keys[key.Series] = append(keys[key.Series], key)
	}
	for s := range g.series {
		folded := g.plan.Epoch.Folded(s.Metric) > g.inForce.Epoch()
		if _, there := keys[s]; !there && folded && g.partitionOf(s) == g.partition && g.has(s) {
			keys[s] = nil
		}
	}
	return g.Store.Read(ctx, func(tx *goldstore.ReadTx) error {
		for _, s := range slices.SortedFunc(maps.Keys(keys), reading.Series.Compare) {
			slices.SortFunc(keys[s], gold.Key.Compare)
			if err := g.compareSeries(ctx, tx, s, keys[s]); err != nil {
				return err
			}
		}
		return nil
	})
}

// compareSeries goes through the stored rows of a series and the windows that have
// judgements, both in the order of time.
func (g *gathering) compareSeries(ctx context.Context, tx *goldstore.ReadTx, s reading.Series, keys []gold.Key) error {
	stored, there := g.series[s]
	end, err := g.end(ctx, tx, stored, there, keys)
	if err != nil {
		return err
	}
	c := g.plan.compare(s, g.inForce, g.plan.Epoch, end)
	until := func(start int64) error { // windows that have no row
		for len(keys) > 0 && keys[0].Start < start {
			if err := g.window(c, keys[0], nil); err != nil {
				return err
			}
			keys = keys[1:]
		}
		return nil
	}
	if there {
		err := eachRow(ctx, tx, stored, func(r *goldstore.VersionsRow) error {
			if err := until(r.Start); err != nil {
				return err
			}
			key := gold.Key{Series: s, Start: r.Start, Width: r.Width}
			if len(keys) > 0 && keys[0] == key {
				keys = keys[1:]
			}
			return g.window(c, key, r.Versions)
		})
		if err != nil {
			return err
		}
	}
	if err := until(math.MaxInt64); err != nil {
		return err
	}
	return c.finish()
}

// end returns a time that no reading of a series, stored or gathered, reaches beyond.
func (g *gathering) end(
	ctx context.Context, tx *goldstore.ReadTx, stored goldstore.Series, there bool, keys []gold.Key,
) (end int64, err error) {
	if there {
		if end, err = endOf(ctx, tx, stored); err != nil {
			return 0, err
		}
	}
	for _, key := range keys {
		end = max(end, key.Start+int64(key.Width))
		for i := range g.groups[key] {
			end = max(end, g.groups[key][i].Time+int64(g.groups[key][i].Length))
		}
	}
	return end, nil
}

// endOf returns a time that no stored reading of a series reaches beyond.
func endOf(ctx context.Context, tx *goldstore.ReadTx, s goldstore.Series) (end int64, err error) {
	last, err := tx.VersionsBefore(ctx, []goldstore.Place{{Series: &s, At: math.MaxInt64}}, 1)
	for _, rows := range last {
		for i := range rows {
			end = rows[i].Start + max(int64(rows[i].Width), int64(s.Reach))
		}
	}
	return end, err
}

// eachRow calls fn for all stored rows of a series in the order of time.
func eachRow(
	ctx context.Context, tx *goldstore.ReadTx, s goldstore.Series, fn func(*goldstore.VersionsRow) error,
) error {
	all := goldstore.Span{ID: s.ID, From: math.MinInt64, To: math.MaxInt64}
	return tx.VersionRows(ctx, []goldstore.Span{all}, func(_ int, r *goldstore.VersionsRow) error { return fn(r) })
}

// window compares a window. Before is what gold has once it has taken in what BRONZE
// holds, each under the epoch that was in force when it came.
func (g *gathering) window(c *comparison, key gold.Key, stored []gold.Version) error {
	after := g.groups[key]
	before := slices.DeleteFunc(slices.Clone(after), func(v gold.Version) bool { return v.Epoch > g.applied })
	before = gold.Normalize(append(before, g.standing[key]...))
	return c.row(key, gold.Merge(stored, before), gold.Merge(stored, after))
}
