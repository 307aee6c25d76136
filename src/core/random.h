// Random streams by (seed, purpose, index, step): counter-based, so a sample's noise does not depend
// on its batch, on the number of threads, or on what was drawn before it.
//
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The key is
// a hash of (seed, purpose); the counter is (block, step, index). Normals by Box-Muller.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace linden {

// What a stream is for. Two purposes never share numbers.
enum class Purpose : uint32_t {
  kInitialState = 1,   // x_T
  kTransition = 2,     // z of a stochastic step
  kSelection = 3,      // tree descent while building
  kReadout = 4,        // tree descent when samples are drawn
  kData = 5,           // order of training examples
  kTimestep = 6,       // training timesteps
  kTrainingNoise = 7,  // training noise
  kWeights = 8,        // initial weights
  kEvaluation = 9,     // subsampling in metrics
  kClip = 10,          // content of a clip that is made on the fly
};

// Ten rounds of Philox on one counter.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t key);
// The Philox key of (seed, purpose); shared with the CUDA kernel.
uint64_t stream_key(uint64_t seed, Purpose purpose);

// A sequential reader of one stream: scalars for selection, shuffles, timesteps.
class RandomStream {
 public:
  RandomStream(uint64_t seed, Purpose purpose, uint64_t index, uint32_t step = 0) : key_(stream_key(seed, purpose)), index_(index), step_(step) {}
  uint32_t next_u32();
  double uniform();  // (0, 1)
  double normal();
  uint64_t below(uint64_t bound);  // 0 .. bound-1, unbiased
 private:
  uint64_t key_, index_;
  uint32_t step_, block_ = 0, used_ = 4;
  std::array<uint32_t, 4> words_{};
};

// `count` standard normals of stream (seed, purpose, index, step) into `out`. fp32.
void fill_normal(uint64_t seed, Purpose purpose, uint64_t index, uint32_t step, std::span<float> out);

// Standard normals [B, ...shape] in fp32 on the CPU; row b is stream (seed, purpose, indices[b], steps[b]).
at::Tensor normal_rows(uint64_t seed, Purpose purpose, std::span<const int64_t> indices, std::span<const int64_t> steps, at::IntArrayRef shape);

// A permutation of 0 .. n-1 (Fisher-Yates on stream (seed, purpose, index)).
std::vector<int64_t> permutation(uint64_t seed, Purpose purpose, uint64_t index, int64_t n);

}  // namespace linden
