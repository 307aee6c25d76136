// Tile sizes of the generic kernels, each with its reason.
#pragma once

namespace linden::cuda::linear_attention {

constexpr int kWarps = 8;  // two a scheduler; the D x D sum of a block then takes 64 registers a thread at D = 128
constexpr int kThreads = 32 * kWarps;
constexpr int kStateThreads = 2 * kThreads;  // one half makes features while the other multiplies those of the tile before
constexpr int kChunk = 32;                   // columns of a product that a warp makes at once: keeps its accumulators at 16 registers
constexpr int kMaxProjected = 16;            // of taylor2
constexpr int kMaxTaylor = 1 + kMaxProjected + kMaxProjected * (kMaxProjected + 1) / 2;  // 153 features

// Head dims are padded to one of two widths: each width is one instantiation.
constexpr int kNarrow = 64, kWide = 128;
constexpr int tile_width(int head_dim) { return head_dim <= kNarrow ? kNarrow : kWide; }

}  // namespace linden::cuda::linear_attention
