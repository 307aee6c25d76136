#include "models/text_encoder.h"

#include <ATen/ATen.h>

#include <set>

#include "core/error.h"

namespace linden {
namespace {

CaptionTable table_of(const CaptionEmbeddingConfig& config) {
  const std::set<std::string> distinct(config.words.begin(), config.words.end());
  if (config.words.empty() || distinct.size() != config.words.size())
    throw ConfigError(fmt::format("CaptionEmbedding: words has {} entries, {} of them different; wanted every word once, and at least one", config.words.size(),
                                  distinct.size()));
  return CaptionTable(config.words, config.max_length);
}

}  // namespace

void visit_fields(FieldVisitor& v, CaptionEmbeddingConfig& c) {
  visit(v, Field("words", "what captions are made of, in the order of their ids from 1 on"), c.words);
  visit(v, Field("max_length", "most words of a caption").between(1, 512), c.max_length);
  visit(v, Field("text_dim", "numbers a word").at_least(1), c.text_dim);
}

CaptionEmbeddingImpl::CaptionEmbeddingImpl(const CaptionEmbeddingConfig& config) : config_(config), table_(table_of(config)) {
  embedding = register_module("embedding", torch::nn::Embedding(table_.num_ids(), config.text_dim));
}

at::Tensor CaptionEmbeddingImpl::forward(const at::Tensor& ids) { return embedding(ids); }

at::Tensor CaptionEmbeddingImpl::encode(std::span<const std::string> captions) { return forward(table_.encode(captions).to(embedding->weight.device())); }

void CaptionEmbeddingImpl::save(const std::filesystem::path& folder, at::ScalarType dtype) const { save_model_folder(folder, *this, config_, dtype); }

std::shared_ptr<TextEncoder> load_text_encoder(const std::filesystem::path& folder, const std::string& weights) {
  const std::string class_name = model_class_name(folder);
  check_input(class_name == CaptionEmbeddingConfig::kClassName, "{}: _class_name is {}, and linden's text encoders are: {}", (folder / "config.json").string(),
              class_name, CaptionEmbeddingConfig::kClassName);
  auto encoder = std::make_shared<CaptionEmbeddingImpl>(read_model_config<CaptionEmbeddingConfig>(folder));
  load_model_weights(*encoder, folder, weights);
  encoder->eval();
  for (at::Tensor& parameter : encoder->parameters()) parameter.requires_grad_(false);
  return encoder;
}

}  // namespace linden
