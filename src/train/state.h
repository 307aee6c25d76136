// Train state on disk: <run>/step_N/{model,ema,optimizer}.safetensors + state.json, written as step_N.tmp and
// renamed, so that a folder without .tmp is always whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "core/config.h"
#include "train/adamw.h"
#include "train/ema.h"
#include "train/flat_parameters.h"

namespace linden {

// state.json.
struct TrainProgress {
  int64_t step = 0;  // steps done
  int64_t examples_seen = 0;
  double last_loss = 0;                // of the newest row of metrics.csv
  std::vector<double> pending_losses;  // of the steps since the last row of metrics.csv
  std::vector<double> pending_norms;   // gradient norms of the same steps
};
void visit_fields(FieldVisitor& v, TrainProgress& p);

// What changes from step to step, beside the progress. References: nothing is owned.
struct TrainState {
  FlatParameters& weights;
  AdamW& optimizer;
  Ema& ema;
  NamedTensors more = {};        // further tensors by name, in more.safetensors; written over when the state is read
  ConfigRef* details = nullptr;  // further numbers, in details.json
};

// Writes step_N (N = progress.step) and removes all but the newest `keep` states. Throws std::runtime_error
// with the reason (a full disk); older states then are untouched.
void save_train_state(const std::filesystem::path& run, const TrainState& state, const TrainProgress& progress, int64_t keep);

// The newest whole state of the run folder, if there is one.
std::optional<std::filesystem::path> newest_train_state(const std::filesystem::path& run);

// Fills `state`. Throws InputError: damaged, or of another model (every mismatch is listed).
TrainProgress load_train_state(const std::filesystem::path& folder, const TrainState& state);

// Fills `state` from the newest state of the run folder that can be read; nullopt where there is none. One that cannot is
// named in a warning and set aside as step_N.damaged. Throws InputError, that of the newest, where none can be read.
struct ResumedTrainState {
  std::filesystem::path folder;
  TrainProgress progress;
};
std::optional<ResumedTrainState> resume_train_state(const std::filesystem::path& run, const TrainState& state);

}  // namespace linden
