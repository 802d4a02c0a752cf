package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	pullExpires   = 30 * time.Second
	pullHeartbeat = 5 * time.Second
	maxSilence    = 2*pullHeartbeat + time.Second // noticed after one to two of these

	// forgetAfter is when the broker drops a consumer that nobody pulls from.
	forgetAfter = 2 * time.Minute

	// pullBatch is never the bound that ends a pull: even a message without data
	// counts more than leastSize bytes.
	pullBatch = maxPullBytes / leastSize

	// leastSize is less than any delivered message counts: the reply subject
	// alone has $JS.ACK., stream, consumer name, five numbers and their dots.
	leastSize = 48
)

// feed is one ephemeral consumer without acknowledgements and its pulls.
//
// jetstream's ordered consumer does nearly this. It is not used because it hides
// the moment of a reset, where it must be checked that the stream is still the
// same; because a message larger than its byte bound stops it for ever; and
// because it costs several allocations a message.
type feed struct {
	nc       *nats.Conn
	sub      *nats.Subscription
	msgs     chan *nats.Msg
	status   chan nats.Status
	pullSubj string
	dropSubj string
	size     int // PullBytes

	heard     uint64 // messages and notices
	delivered uint64 // consumer sequence of the last delivery
	credit    int    // bytes that the broker may still send
	single    bool   // a pull for one message of any size is out
}

// openFeed makes the consumer and sends the first pull.
func openFeed(ctx context.Context, js jetstream.JetStream, cfg ReaderConfig, after uint64) (*feed, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	nc := js.Conn()
	name := "energy-" + nuid.Next()
	f := &feed{
		nc:       nc,
		msgs:     make(chan *nats.Msg, cfg.PullBytes/leastSize+64),
		pullSubj: apiSubject(js, "CONSUMER.MSG.NEXT."+cfg.Stream+"."+name),
		dropSubj: apiSubject(js, "CONSUMER.DELETE."+cfg.Stream+"."+name),
		size:     cfg.PullBytes,
	}
	// Listen first: a reconnect after this point must not go unseen.
	f.status = nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CONNECTED, nats.CLOSED)
	_, err := js.CreateConsumer(ctx, cfg.Stream, jetstream.ConsumerConfig{
		Name:              name,
		FilterSubject:     cfg.FilterSubject,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       after + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: forgetAfter,
	})
	if err != nil {
		nc.RemoveStatusListener(f.status)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, fmt.Errorf("%w: %s", ErrStreamMissing, cfg.Stream)
		}
		return nil, fmt.Errorf("create consumer: %w", err)
	}
	if f.sub, err = nc.ChanSubscribe(nc.NewInbox(), f.msgs); err != nil {
		f.close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if err := f.pull(f.size); err != nil {
		f.close()
		return nil, fmt.Errorf("pull: %w", err)
	}
	return f, nil
}

// pull asks for n bytes; n = 0 asks for one message of any size.
func (f *feed) pull(n int) error {
	buf := make([]byte, 0, 128)
	buf = append(buf, `{"expires":`...)
	buf = strconv.AppendInt(buf, int64(pullExpires), 10)
	buf = append(buf, `,"idle_heartbeat":`...)
	buf = strconv.AppendInt(buf, int64(pullHeartbeat), 10)
	if n == 0 {
		buf = append(buf, `,"batch":1}`...)
		f.single = true
	} else {
		buf = append(buf, `,"batch":`...)
		buf = strconv.AppendInt(buf, pullBatch, 10)
		buf = append(buf, `,"max_bytes":`...)
		buf = strconv.AppendInt(buf, int64(n), 10)
		buf = append(buf, '}')
		f.credit += n
	}
	return f.nc.PublishRequest(f.pullSubj, f.sub.Subject, buf)
}

// take looks at one raw message: a delivery (ok), a notice of the broker that is
// dealt with (not ok), or a reason to open a new feed.
func (f *feed) take(raw *nats.Msg) (m Message, ok bool, reason string) {
	f.heard++
	if raw.Reply == "" {
		return m, false, f.notice(raw)
	}
	meta, err := parseReply(raw.Reply)
	if err != nil {
		return m, false, err.Error()
	}
	if meta.consumer != f.delivered+1 {
		return m, false, "gap in deliveries"
	}
	f.delivered = meta.consumer
	if f.single {
		f.single = false
	} else {
		f.credit -= raw.Size()
	}
	if err := f.refill(); err != nil {
		// The delivery is good; silence will tell that the pull was lost.
		f.credit = f.size
	}
	return Message{
		Subject:  raw.Subject,
		Header:   raw.Header,
		Data:     raw.Data,
		Sequence: meta.stream,
		Received: time.Unix(0, meta.nanos),
		Pending:  meta.pending,
		size:     raw.Size() - len(raw.Reply),
	}, true, ""
}

// refill keeps between half of the bound and the bound on its way.
func (f *feed) refill() error {
	if f.single || f.credit > f.size/2 {
		return nil
	}
	return f.pull(f.size - f.credit)
}

// notice handles a status message: a heartbeat or the end of a pull.
func (f *feed) notice(raw *nats.Msg) (reason string) {
	switch status := raw.Header.Get("Status"); status {
	case "100":
		last, err := strconv.ParseUint(raw.Header.Get("Nats-Last-Consumer"), 10, 64)
		if err == nil && last > f.delivered {
			return "heartbeat tells of deliveries that did not arrive"
		}
		return ""
	case "408", "409":
		rest := raw.Header.Get("Nats-Pending-Bytes")
		if rest == "" {
			// Consumer deleted, leadership change, server shutdown.
			return "broker ended the pull: " + raw.Header.Get("Description")
		}
		n, err := strconv.Atoi(rest)
		if err != nil {
			return "broker ended the pull with " + strconv.Quote(rest) + " bytes left"
		}
		return f.ended(n, status == "409")
	default:
		return "broker ended the pull: " + status + " " + raw.Header.Get("Description")
	}
}

// ended accounts for a pull that had n bytes left.
func (f *feed) ended(n int, full bool) (reason string) {
	var err error
	switch {
	case f.single: // it can only have expired
		err = f.pull(0)
	case full && n >= f.size:
		// Not even one message fitted into the whole bound: let it come alone.
		f.credit -= n
		err = f.pull(0)
	default:
		f.credit -= n
		err = f.refill()
	}
	if err != nil {
		return "pull: " + err.Error()
	}
	return ""
}

// close gives the broker notice without waiting for an answer; a consumer whose
// notice is lost is forgotten after forgetAfter.
func (f *feed) close() {
	f.nc.RemoveStatusListener(f.status)
	if f.sub != nil {
		_ = f.sub.Unsubscribe()
	}
	_ = f.nc.Publish(f.dropSubj, nil)
}

type replyMeta struct {
	stream, consumer, pending uint64
	nanos                     int64
}

var errReply = errors.New("malformed reply subject")

// parseReply reads $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.
// <consumer seq>.<ns>.<pending>, and the form that has domain and account hash
// before the stream and may have a token at the end.
func parseReply(reply string) (meta replyMeta, err error) {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	if !ok {
		return meta, errReply
	}
	skip := 3 // stream, consumer, delivered
	switch n := strings.Count(rest, ".") + 1; {
	case n == 7:
	case n >= 9:
		skip = 5
	default:
		return meta, errReply
	}
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	var fields [4]uint64
	for i := range fields {
		var field string
		field, rest, _ = strings.Cut(rest, ".")
		if fields[i], err = strconv.ParseUint(field, 10, 63); err != nil {
			return meta, errReply
		}
	}
	return replyMeta{
		stream: fields[0], consumer: fields[1], nanos: int64(fields[2]), pending: fields[3],
	}, nil
}

func apiSubject(js jetstream.JetStream, suffix string) string {
	opts := js.Options()
	switch {
	case opts.Domain != "":
		return "$JS." + opts.Domain + ".API." + suffix
	case opts.APIPrefix != "":
		return strings.TrimSuffix(opts.APIPrefix, ".") + "." + suffix
	default:
		return jetstream.DefaultAPIPrefix + suffix
	}
}
