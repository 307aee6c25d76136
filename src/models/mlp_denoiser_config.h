// The config of the toys' noise predictor (mlp_denoiser.h).
#pragma once

#include <cstdint>

#include "core/config.h"
#include "models/model_folder.h"

namespace linden {

struct MlpDenoiserConfig {
  static constexpr const char* kClassName = "MlpDenoiser";
  static NullableKeys nullable_keys() { return {}; }
  int64_t data_dim = 2;
  int64_t hidden_dim = 128;
  int64_t num_hidden = 4;
  int64_t embedding_dim = 64;
};
void visit_fields(FieldVisitor& v, MlpDenoiserConfig& c);

}  // namespace linden
