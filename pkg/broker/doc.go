// Package broker is the JetStream adapter: streams and buckets as data, an
// ordered reader, a confirmed publisher, positions and leases. It knows nothing
// of readings; a payload is bytes and headers.
//
// What it promises:
//
//   - [Reader] delivers the messages of a stream subject after a given sequence
//     in order, each exactly once for the life of the Reader, across reconnects
//     and broker restarts, within a bound of bytes. It uses no acknowledgements.
//   - [Publisher.PublishAll] returns nil only when JetStream has confirmed every
//     message. A refusal says which subject and whether a retry can help.
//   - [Positions.Store] is a compare-and-set; a position that somebody else moved
//     is [ErrPositionMoved], never overwritten.
//   - [Verify] notices a stream that was recreated or lost its tail, also when
//     the lost sequences have been used again, and rewinds.
//   - [Positions.Holding] keeps the janitor from removing what a reader has still to
//     read, for as long as it lives.
//   - [RunLeases] spreads slots over live instances. It serves liveness only.
//
// How it fails: a broker that is down makes readers wait and publishers return
// an error for which [IsRetryable] is true. Nothing is buffered in the client
// while the connection is down.
package broker
