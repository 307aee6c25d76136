// Numbers about one set of samples: how different they are, what a classifier reads, what they earn.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <set>
#include <span>
#include <utility>

namespace linden {

// Mean over pairs i != j of 1 - cos(x_i, x_j); a zero row is at distance 1 of every other. features
// [S, F], S >= 2 (InputError). With CLIP embeddings: the CLIP diversity of Jain et al. 2025.
double diversity(const at::Tensor& features);

// Counts rows that are bit-equal to an earlier row, batch by batch. It remembers 16 bytes a row, two hashes of its bytes: a
// false duplicate among a million rows has a probability below 1e-26.
class DuplicateCounter {
 public:
  void add(const at::Tensor& samples);  // [B, ...], one dtype and row shape throughout
  int64_t count() const { return num_rows_ - static_cast<int64_t>(seen_.size()); }

 private:
  std::set<std::pair<uint64_t, uint64_t>> seen_;
  int64_t num_rows_ = 0;
};
int64_t num_duplicates(const at::Tensor& samples);  // of one tensor [S, ...]

// Share of rows whose most likely class is one of `classes`. logits [S, K]; CheckError for a class outside 0..K-1.
double class_share(const at::Tensor& logits, std::span<const int64_t> classes);
// Share of rows whose most likely class is the row's own label. labels [S] int64.
double accuracy(const at::Tensor& logits, const at::Tensor& labels);
// Share of rows in which some class has probability >= `threshold`.
double confident_share(const at::Tensor& logits, double threshold);

// Rewards [S], finite (InputError). The deviation is that of the sample (divided by S - 1; 0 for S = 1).
struct RewardStatistics {
  int64_t count = 0;
  double mean = 0, deviation = 0, minimum = 0, median = 0, maximum = 0;
};
RewardStatistics reward_statistics(const at::Tensor& rewards);

}  // namespace linden
