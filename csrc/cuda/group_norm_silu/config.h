// How a launch divides the work: which channels a block takes, how its threads lie over them, what stays in registers.
#pragma once

#include <cstdint>

namespace linden::cuda {

constexpr int kMaxThreads = 512;  // of a block
// With many blocks a launch lives on several of them an SM that are in different phases: at most this many threads each.
constexpr int kBusyThreads = 256;
// A thread keeps the pixels that it reads in registers, as vectors of 16 bytes, where a kernel for that many exists; what
// holds none reads memory again.
constexpr int kFewHeld = 2, kSomeHeld = 4, kManyHeld = 8, kMostHeld = 16;
// The backward pass holds two tensors; of 2-byte types a vector is twice as many fp32 values at work.
constexpr int max_held(int element_bytes, bool backward) { return !backward ? kMostHeld : element_bytes == 4 ? kManyHeld : kSomeHeld; }
// With fewer blocks than this (two an SM of the H100) latency counts: many threads, each holding little.
constexpr int64_t kManyBlocks = 264;

// One block normalises whole groups of one sample: `groups` neighbouring ones, so that a pixel's slice is a whole number
// of 16-byte vectors.
struct Chunk {
  int groups;      // of this block
  int group_size;  // channels of one group
  int channels;    // groups * group_size
  int vector;      // elements a load: 16 bytes, or 1 where the slices do not divide
  int lanes;       // vectors across a pixel's slice: channels / vector
};

// Memory likes slices of 128 bytes; a small launch wants more blocks, down to 32 bytes (a sector) each; a slice must
// leave the block's pixels few enough to be held. Falls back to 16 bytes, then to single elements.
inline Chunk choose_chunk(int channels, int groups, int element_bytes, int64_t batch, int64_t pixels) {
  const int group_size = channels / groups, wide = 16 / element_bytes;
  constexpr int64_t held = kBusyThreads * kManyHeld;
  for (const int slice : {128, 64, 32, 16}) {
    for (int count = 1; count <= groups; ++count) {
      const int width = count * group_size;
      if (groups % count != 0 || width % wide != 0 || width * element_bytes < slice) continue;
      if (count > 1 && width / wide > 64) break;
      const Chunk chunk{count, group_size, width, wide, width / wide};
      const bool narrow = slice <= 32;
      if (!narrow && (batch * (groups / count) < kManyBlocks || pixels * chunk.lanes > held)) break;
      if (slice > 16 && width * element_bytes % 32 != 0) continue;
      return chunk;
    }
  }
  return {1, group_size, group_size, 1, group_size};
}

// Larger groups are not handled: a pixel's slice must not be wider than a block.
constexpr int kMaxGroupSize = 512;

struct Blocks {
  int threads;  // a multiple of 32; the first (threads / lanes) * lanes of them read pixels
  int held;     // vectors a thread holds; 0: more than fit, so memory is read again
};

inline Blocks choose_blocks(const Chunk& chunk, int64_t batch, int64_t pixels, int all_channels, int most_held) {
  const bool busy = batch * (all_channels / chunk.channels) >= kManyBlocks;
  const int64_t vectors = pixels * chunk.lanes;
  const int64_t aim = !busy ? 1 : most_held < kManyHeld ? most_held : kManyHeld;
  int64_t threads = ((vectors + aim - 1) / aim + 31) / 32 * 32;
  if (threads < 64) threads = 64;
  if (threads < chunk.lanes) threads = (chunk.lanes + 31) / 32 * 32;
  if (threads > kMaxThreads) threads = kMaxThreads;
  const int64_t rows = threads / chunk.lanes;
  const int64_t needed = (pixels + rows - 1) / rows;
  int held = 0;
  if (chunk.vector > 1)
    for (const int offered : {kMostHeld, kManyHeld, kSomeHeld, kFewHeld})
      if (offered >= needed && offered <= most_held) held = offered;
  return {static_cast<int>(threads), held};
}

}  // namespace linden::cuda
