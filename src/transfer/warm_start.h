// Before a transfer: linear mixers learn to give what softmax gives in their place, and each layer's worth is measured.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "models/video_dit.h"
#include "train/flat_parameters.h"
#include "transfer/config.h"
#include "transfer/networks.h"

namespace linden {

struct WarmStartBatch {
  at::Tensor x, sigma;  // [B, ...], [B]
  CaptionBatch captions;
};

// Per-layer output matching (Attention Surgery, LoLCATs' attention transfer): Adam on phi_q and phi_k alone, softmax everywhere in the forward
// pass. `layers`: gated ones. draw(step) gives the batch of step 1, 2, ...; precision as the transfer's. Returns the relative output error of each layer
// at the last step.
std::vector<double> warm_start(const WarmStartConfig& config, const std::string& precision, VideoDit student, FlatParameters& weights,
                               const std::vector<int64_t>& layers, const std::function<WarmStartBatch(int64_t)>& draw);

// What it costs to convert each of `layers` alone: the velocity gap with that layer linear and the others softmax. Afterwards all run as softmax.
std::vector<double> single_layer_gaps(VideoDit student, const std::vector<int64_t>& layers, const std::function<double()>& gap);

}  // namespace linden
