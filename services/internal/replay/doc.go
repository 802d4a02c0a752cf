// Package replay reads what the streams hold again and says what gold holds of it,
// without publishing anything: the versions of readings, and what was refused.
//
// It runs the functions of ingest and silver-cleaner on the messages that these
// have read, so that decoding and judging are what they were. Of each reading it
// gives the judgements that gold has once the catalogue's epochs are applied, which
// follow from the reading and its receive time ([epochs.History]).
package replay
