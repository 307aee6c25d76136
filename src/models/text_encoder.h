// Captions as the tokens that a video transformer attends to. A learned table of words is one such encoder; whatever stands
// behind TextEncoder, a sampler sees only [B, L, D].
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/config.h"
#include "models/caption_table.h"
#include "models/model_folder.h"

namespace linden {

class TextEncoder : public torch::nn::Module {
 public:
  // [B, L, D] on the module's device. The empty caption stands for no condition. InputError: a caption that cannot be read.
  virtual at::Tensor encode(std::span<const std::string> captions) = 0;
  virtual int64_t max_length() const = 0;  // L
  virtual int64_t text_dim() const = 0;    // D
  virtual void save(const std::filesystem::path& folder, at::ScalarType dtype) const = 0;
};

struct CaptionEmbeddingConfig {
  static constexpr const char* kClassName = "CaptionEmbedding";
  static NullableKeys nullable_keys() { return {}; }
  std::vector<std::string> words;
  int64_t max_length = 4;  // words of a caption
  int64_t text_dim = 64;
};
void visit_fields(FieldVisitor& v, CaptionEmbeddingConfig& c);

// A learned vector for each word and one for padding, of which the empty caption consists (caption_table.h).
class CaptionEmbeddingImpl : public TextEncoder {
 public:
  explicit CaptionEmbeddingImpl(const CaptionEmbeddingConfig& config);  // ConfigError: a word twice
  at::Tensor forward(const at::Tensor& ids);                            // [B, L] int64 -> [B, L, D], differentiable
  at::Tensor encode(std::span<const std::string> captions) override;
  int64_t max_length() const override { return config_.max_length; }
  int64_t text_dim() const override { return config_.text_dim; }
  void save(const std::filesystem::path& folder, at::ScalarType dtype) const override;
  const CaptionTable& table() const { return table_; }

 private:
  CaptionEmbeddingConfig config_;
  CaptionTable table_;
  torch::nn::Embedding embedding{nullptr};
};

// By the folder's _class_name, in eval mode, frozen, fp32 on the CPU. weights: "folder" or "formula:SEED". InputError.
std::shared_ptr<TextEncoder> load_text_encoder(const std::filesystem::path& folder, const std::string& weights = "folder");

}  // namespace linden
