// samples.h5 of `linden sample`: what is finished, and going on with it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/run_directory.h"

namespace linden {

// columns: tensors [S, ...] beside the samples, by name.
void save_samples(const RunDirectory& run, const at::Tensor& samples, int64_t seed, const std::map<std::string, at::Tensor>& columns = {});

// Finished samples of an earlier part of the run, [D, ...shape]; D = 0 if there are none. InputError: of another shape, or more
// than are asked for.
at::Tensor finished_samples(const RunDirectory& run, const std::vector<int64_t>& shape, int64_t num_samples);

}  // namespace linden
