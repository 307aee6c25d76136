#include "models/caption_table.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <sstream>

#include "core/config.h"
#include "core/error.h"

namespace linden {

CaptionTable::CaptionTable(std::vector<std::string> words, int64_t max_length) : words_(std::move(words)), max_length_(max_length) {
  check(max_length >= 1, "CaptionTable: max_length is {}, wanted at least 1", max_length);
  for (size_t i = 0; i < words_.size(); ++i) {
    const std::string& word = words_[i];
    check(!word.empty() && word.find_first_of(" \t\r\n\v\f") == std::string::npos, "CaptionTable: word {} is \"{}\", wanted one without spaces", i, word);
    check(ids_.emplace(word, static_cast<int64_t>(i) + 1).second, "CaptionTable: the word \"{}\" is there twice", word);
  }
}

std::vector<int64_t> CaptionTable::encode(const std::string& caption) const {
  std::vector<int64_t> ids;
  std::istringstream stream(caption);
  for (std::string word; stream >> word;) {
    const auto found = ids_.find(word);
    if (found == ids_.end()) {
      const std::string nearest = nearest_name(word, words_);
      throw InputError(fmt::format("caption \"{}\": the word \"{}\" is not known; {}", caption, word,
                                   nearest.empty() ? fmt::format("the words are: {}", fmt::join(words_, ", ")) : fmt::format("did you mean \"{}\"?", nearest)));
    }
    ids.push_back(found->second);
  }
  check_input(static_cast<int64_t>(ids.size()) <= max_length_, "caption \"{}\": has {} words, allowed are {}", caption, ids.size(), max_length_);
  ids.resize(static_cast<size_t>(max_length_), kPadding);
  return ids;
}

at::Tensor CaptionTable::encode(std::span<const std::string> captions) const {
  at::Tensor out = at::empty({static_cast<int64_t>(captions.size()), max_length_}, at::kLong);
  int64_t* row = out.data_ptr<int64_t>();
  for (const std::string& caption : captions) row = std::ranges::copy(encode(caption), row).out;
  return out;
}

std::string CaptionTable::decode(std::span<const int64_t> ids) const {
  std::string caption;
  bool ended = false;
  for (const int64_t id : ids) {
    check(id >= 0 && id < num_ids(), "CaptionTable::decode: id {} (allowed 0..{})", id, num_ids() - 1);
    check(id == kPadding || !ended, "CaptionTable::decode: id {} stands after padding", id);
    ended = id == kPadding;
    if (!ended) caption += (caption.empty() ? "" : " ") + words_[static_cast<size_t>(id - 1)];
  }
  return caption;
}

std::vector<std::string> CaptionTable::decode(const at::Tensor& ids) const {
  check(ids.dim() == 2 && ids.scalar_type() == at::kLong && ids.is_cpu(), "CaptionTable::decode: wanted int64 [B, L] on the CPU");
  const at::Tensor rows = ids.contiguous();
  std::vector<std::string> captions;
  for (int64_t b = 0; b < rows.size(0); ++b)
    captions.push_back(decode(std::span(rows.data_ptr<int64_t>() + b * rows.size(1), static_cast<size_t>(rows.size(1)))));
  return captions;
}

}  // namespace linden
