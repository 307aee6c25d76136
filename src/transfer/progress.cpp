// The fields of what a transfer saves beside its weights (state.json) and says of itself (summary.json).
#include "transfer/progress.h"

#include "transfer/loop.h"

namespace linden {

void visit_fields(FieldVisitor& v, TransferProgress& p) {
  visit(v, Field("committed", "whether the layers are chosen"), p.committed);
  visit(v, Field("linear_layers", "those that are linear, from 0"), p.linear_layers);
  visit(v, Field("gap_at_start", "velocity gap before the first step"), p.gap_at_start);
  visit(v, Field("gap_before_commit", "velocity gap with the gates as they were"), p.gap_before_commit);
  visit(v, Field("gap_after_commit", "velocity gap with gates of 0 and 1"), p.gap_after_commit);
  visit(v, Field("commit_distance", "mean distance of r to 0 or 1 at the commit"), p.commit_distance);
  visit(v, Field("pending_errors", "velocity errors since the last row of metrics.csv"), p.pending_errors);
  visit(v, Field("training_seconds", "of all parts of the run"), p.training_seconds);
  visit(v, Field("sources", "digests of the teacher and of the prompts"), p.sources);
  visit(v, Field("bins", "the same by sigma"), p.bins);
  visit(v, Field("detectors", "what the detectors remember"), p.detectors);
}

void visit_fields(FieldVisitor& v, TransferResult& r) {
  visit(v, Field("steps", "optimiser steps"), r.steps);
  visit(v, Field("examples_seen", "training examples, with repetition"), r.examples_seen);
  visit(v, Field("num_layers", "self-attention layers"), r.num_layers);
  visit(v, Field("num_linear", "of them linear"), r.num_linear);
  visit(v, Field("linear_layers", "which, from 0"), r.linear_layers);
  visit(v, Field("gap_at_start", "|u^ - u|^2 / |u|^2 at held-out points before the first step"), r.gap_at_start);
  visit(v, Field("gap_before_commit", "the same with the gates as they were at the commit"), r.gap_before_commit);
  visit(v, Field("gap_after_commit", "the same with gates of 0 and 1"), r.gap_after_commit);
  visit(v, Field("gap", "the same of the finished student"), r.gap);
  visit(v, Field("commit_distance", "mean distance of r to 0 or 1 at the commit"), r.commit_distance);
  visit(v, Field("final_loss", "mean over the last row of metrics.csv"), r.final_loss);
  visit(v, Field("training_seconds", "of this part of the run"), r.training_seconds);
  visit(v, Field("tokens_per_second", "of this part of the run"), r.tokens_per_second);
  visit(v, Field("peak_gb", "most device memory in use in this part of the run; 0: not known (CPU)"), r.peak_gb);
  visit(v, Field("network_calls", "forward passes a step and example; one with gradient counts as three"), r.network_calls);
}

}  // namespace linden
