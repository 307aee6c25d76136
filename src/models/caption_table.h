// Captions as word numbers: what a text encoder with a learned table reads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace linden {

// A caption is words with single spaces between. Ids: 0 is padding, the words follow in their order from 1. A caption is
// padded at its end to max_length; the empty caption (no condition, for guidance) is padding alone.
class CaptionTable {
 public:
  static constexpr int64_t kPadding = 0;

  // CheckError: a word twice, an empty one or one with a space in it; max_length below 1.
  CaptionTable(std::vector<std::string> words, int64_t max_length);

  int64_t num_ids() const { return static_cast<int64_t>(words_.size()) + 1; }  // padding included
  int64_t max_length() const { return max_length_; }
  const std::vector<std::string>& words() const { return words_; }

  // [L] ids. InputError: an unknown word (it, the caption and the nearest known word), too many words.
  std::vector<int64_t> encode(const std::string& caption) const;
  at::Tensor encode(std::span<const std::string> captions) const;  // [B, L] int64
  // Back to words. CheckError: an id that is none, a word after padding.
  std::string decode(std::span<const int64_t> ids) const;
  std::vector<std::string> decode(const at::Tensor& ids) const;  // [B, L] int64 on the CPU

 private:
  std::vector<std::string> words_;  // word i has the id i + 1
  std::unordered_map<std::string, int64_t> ids_;
  int64_t max_length_;
};

}  // namespace linden
