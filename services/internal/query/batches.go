package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/energy-platform/energy/pkg/goldstore"
	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
	"github.com/energy-platform/energy/services/internal/job"
)

const (
	maxBatches = 100 // in one answer
	maxBatchID = 64  // bytes
)

// ListBatches returns the records of batch runs, the latest first.
func (s *Server) ListBatches(
	ctx context.Context, req *energyv1.ListBatchesRequest,
) (*energyv1.ListBatchesResponse, error) {
	limit := req.GetLimit()
	if limit > maxBatches {
		return nil, invalid("limit", "is %d: at most %d are allowed", limit, maxBatches)
	}
	if limit == 0 {
		limit = maxBatches
	}
	out, err := bounded(ctx, s.timeout, func(ctx context.Context) (*energyv1.ListBatchesResponse, error) {
		out := new(energyv1.ListBatchesResponse)
		return out, s.store.Read(ctx, func(tx *goldstore.ReadTx) error {
			records, err := tx.Batches(ctx, limit)
			if err != nil {
				return err
			}
			for i := range records {
				one, err := batchMessage(&records[i])
				if err != nil {
					return err
				}
				out.Batches = append(out.Batches, one)
			}
			return nil
		})
	})
	if err != nil {
		return nil, statusOf(err)
	}
	return out, nil
}

// GetBatch returns the record of a batch run.
func (s *Server) GetBatch(ctx context.Context, req *energyv1.GetBatchRequest) (*energyv1.GetBatchResponse, error) {
	switch id := req.GetId(); {
	case id == "":
		return nil, invalid("id", "is required")
	case len(id) > maxBatchID:
		return nil, invalid("id", "has %d bytes: at most %d are allowed", len(id), maxBatchID)
	case strings.ContainsRune(id, 0):
		return nil, invalid("id", "must be without control characters")
	}
	out, err := bounded(ctx, s.timeout, func(ctx context.Context) (*energyv1.GetBatchResponse, error) {
		out := new(energyv1.GetBatchResponse)
		return out, s.store.Read(ctx, func(tx *goldstore.ReadTx) error {
			record, err := tx.Batch(ctx, req.GetId())
			if err == nil {
				out.Batch, err = batchMessage(&record)
			}
			return err
		})
	})
	if errors.Is(err, goldstore.ErrNoBatch) {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	if err != nil {
		return nil, statusOf(err)
	}
	return out, nil
}

// batchMessage returns a record as the contract has it.
func batchMessage(b *goldstore.BatchRecord) (*energyv1.Batch, error) {
	var asked job.Job
	if err := json.Unmarshal(b.Selection, &asked); err != nil {
		return nil, fmt.Errorf("selection of batch %s: %w", b.ID, err)
	}
	s, c := &asked.Selection, &b.Changes
	out := &energyv1.Batch{
		Id: b.ID, Kind: batchKinds[b.Kind], State: batchStates[b.State],
		Selection: &energyv1.BatchSelection{
			Layer: asked.Layer, Rebuild: asked.Rebuild,
			ReceivedFrom: instantOf(s.ReceivedFrom), ReceivedTo: instantOf(s.ReceivedTo),
			FirstSequence: s.FirstSequence, LastSequence: s.LastSequence,
			EventFrom: instantOf(s.EventFrom), EventTo: instantOf(s.EventTo),
			EntityIds: s.Entities, Metrics: s.Metrics,
		},
		Readings: b.Counts.Readings, Versions: b.Counts.Versions,
		WindowsNew: c.Inserted, WindowsChanged: c.Updated, WindowsUnchanged: c.Unchanged,
		VersionsAdded: c.Added, VersionsRemoved: c.Removed, VersionsLimited: c.Limited,
		CodeVersion: b.CodeVersion, Epoch: b.Epoch, Error: b.Error, StartedAt: timestamppb.New(b.StartedAt),
	}
	if !b.FinishedAt.IsZero() {
		out.FinishedAt = timestamppb.New(b.FinishedAt)
	}
	for _, stream := range slices.Sorted(maps.Keys(b.Counts.Messages)) {
		out.Messages = append(out.Messages, &energyv1.BatchMessages{Stream: stream, Messages: b.Counts.Messages[stream]})
	}
	for _, key := range slices.Sorted(maps.Keys(b.Counts.Refused)) {
		stage, rule, _ := strings.Cut(key, " ")
		out.Refused = append(out.Refused, &energyv1.BatchRefusal{Stage: stage, Rule: rule, Readings: b.Counts.Refused[key]})
	}
	for _, step := range slices.Sorted(maps.Keys(b.Timings)) {
		out.Steps = append(out.Steps, &energyv1.BatchStep{
			Name: strings.TrimSuffix(step, "_seconds"), Seconds: b.Timings[step],
		})
	}
	return out, nil
}

var batchKinds = map[string]energyv1.BatchKind{
	job.KindMerge:   energyv1.BatchKind_BATCH_KIND_MERGE,
	job.KindRebuild: energyv1.BatchKind_BATCH_KIND_REBUILD,
	job.KindPlan:    energyv1.BatchKind_BATCH_KIND_PLAN,
}

var batchStates = map[goldstore.BatchState]energyv1.BatchState{
	goldstore.BatchRunning: energyv1.BatchState_BATCH_STATE_RUNNING,
	goldstore.BatchStopped: energyv1.BatchState_BATCH_STATE_STOPPED,
	goldstore.BatchDone:    energyv1.BatchState_BATCH_STATE_DONE,
	goldstore.BatchFailed:  energyv1.BatchState_BATCH_STATE_FAILED,
}

// instantOf returns a time in Unix ns, nil for 0.
func instantOf(ns int64) *timestamppb.Timestamp {
	if ns == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, ns))
}
