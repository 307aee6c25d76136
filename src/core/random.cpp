#include "core/random.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "core/error.h"

namespace linden {
namespace {

// Box-Muller on 24-bit uniforms in (0, 1), as the CUDA kernel does it.
void box_muller(uint32_t a, uint32_t b, float& first, float& second) {
  const float u1 = (static_cast<float>(a >> 8) + 0.5f) * 0x1p-24f;
  const float u2 = (static_cast<float>(b >> 8) + 0.5f) * 0x1p-24f;
  const float r = std::sqrt(-2.0f * std::log(u1));
  const float angle = 2.0f * std::numbers::pi_v<float> * u2;
  first = r * std::cos(angle);
  second = r * std::sin(angle);
}

uint64_t splitmix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

void fill_block_range(uint64_t key, uint64_t index, uint32_t step, std::span<float> out) {
  const uint32_t low = static_cast<uint32_t>(index), high = static_cast<uint32_t>(index >> 32);
  for (size_t first = 0; first < out.size(); first += 4) {
    const auto words = philox({static_cast<uint32_t>(first / 4), step, low, high}, key);
    float values[4];
    box_muller(words[0], words[1], values[0], values[1]);
    box_muller(words[2], words[3], values[2], values[3]);
    for (size_t i = 0; i < 4 && first + i < out.size(); ++i) out[first + i] = values[i];
  }
}

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = 0xD2511F53ull * c[0], product1 = 0xCD9E8D57ull * c[2];
    c = {static_cast<uint32_t>(product1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(product1), static_cast<uint32_t>(product0 >> 32) ^ c[3] ^ k1,
         static_cast<uint32_t>(product0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

uint64_t stream_key(uint64_t seed, Purpose purpose) { return splitmix64(splitmix64(seed) + static_cast<uint64_t>(purpose)); }

uint32_t RandomStream::next_u32() {
  if (used_ == 4) {
    words_ = philox({block_++, step_, static_cast<uint32_t>(index_), static_cast<uint32_t>(index_ >> 32)}, key_);
    used_ = 0;
  }
  return words_[used_++];
}

double RandomStream::uniform() {
  const uint64_t bits = (static_cast<uint64_t>(next_u32()) << 21) ^ (next_u32() >> 11);  // 53 bits
  return (static_cast<double>(bits) + 0.5) * 0x1p-53;
}

double RandomStream::normal() {
  const double u1 = uniform(), u2 = uniform();
  return std::sqrt(-2.0 * std::log(u1)) * std::cos(2.0 * std::numbers::pi * u2);
}

uint64_t RandomStream::below(uint64_t bound) {
  check(bound > 0, "RandomStream::below: bound is 0");
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;  // rejection: no modulo bias
  while (true) {
    const uint64_t word = (static_cast<uint64_t>(next_u32()) << 32) | next_u32();
    if (word < limit) return word % bound;
  }
}

void fill_normal(uint64_t seed, Purpose purpose, uint64_t index, uint32_t step, std::span<float> out) {
  fill_block_range(stream_key(seed, purpose), index, step, out);
}

at::Tensor normal_rows(uint64_t seed, Purpose purpose, std::span<const int64_t> indices, std::span<const int64_t> steps, at::IntArrayRef shape) {
  check(indices.size() == steps.size(), "normal_rows: {} indices but {} steps", indices.size(), steps.size());
  std::vector<int64_t> sizes = {static_cast<int64_t>(indices.size())};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  at::Tensor out = at::empty(sizes, at::kFloat);
  const int64_t row = out.numel() / std::max<int64_t>(1, sizes[0]);
  float* data = out.data_ptr<float>();
  const uint64_t key = stream_key(seed, purpose);
  const auto fill = [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      fill_block_range(key, static_cast<uint64_t>(indices[b]), static_cast<uint32_t>(steps[b]), {data + b * row, static_cast<size_t>(row)});
  };
  if (out.numel() < 4096) fill(0, sizes[0]);
  else at::parallel_for(0, sizes[0], std::max<int64_t>(1, 4096 / std::max<int64_t>(1, row)), fill);
  return out;
}

std::vector<int64_t> permutation(uint64_t seed, Purpose purpose, uint64_t index, int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  RandomStream stream(seed, purpose, index);
  for (int64_t i = n - 1; i > 0; --i) std::swap(order[i], order[stream.below(static_cast<uint64_t>(i) + 1)]);
  return order;
}

}  // namespace linden
