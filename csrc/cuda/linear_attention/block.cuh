// What a block of threads works on, and what it keeps in shared memory for it.
#pragma once

#include "csrc/cuda/linear_attention/engine_bf16.cuh"
#include "csrc/cuda/linear_attention/engine_float.cuh"
#include "csrc/cuda/linear_attention/features.cuh"

namespace linden::cuda::linear_attention {

// The stretch of one head and sample: number (sample H + head) splits + stretch.
struct Stretch {
  int sample, head, head_row, stretch;  // head_row = sample H + head
  int first_tile, last_tile;            // tiles of kTokens tokens
  int end;                              // valid tokens of the sample
};
__device__ inline Stretch this_stretch(const LinearAttentionShape& shape, int tokens_per_tile, int number = blockIdx.x) {
  Stretch s;
  s.head_row = number / shape.splits;
  s.stretch = number % shape.splits;
  s.sample = s.head_row / shape.heads;
  s.head = s.head_row % shape.heads;
  const int tiles = (shape.tokens + tokens_per_tile - 1) / tokens_per_tile;
  s.first_tile = static_cast<int>(static_cast<int64_t>(tiles) * s.stretch / shape.splits);
  s.last_tile = static_cast<int>(static_cast<int64_t>(tiles) * (s.stretch + 1) / shape.splits);
  s.end = shape.num_valid ? static_cast<int>(max(int64_t{0}, min(static_cast<int64_t>(shape.tokens), shape.num_valid[s.sample]))) : shape.tokens;
  return s;
}

template <class T>
__device__ T* rows_of(const AttentionRows& x, const Stretch& s) {
  return static_cast<T*>(x.data) + s.sample * x.batch_stride + s.head * x.head_stride;
}

__host__ __device__ inline int projection_stride(FeatureMap map, int width, int element_size) {
  return map == FeatureMap::kTaylor2 ? 8 * 16 / element_size : width;  // d <= 16 columns; a tile has 8 pieces a row or more
}

// Blocks of the query kernel that a multiprocessor is to hold at once. Two, so that one loads and makes features while the other
// multiplies: where registers allow it (bf16, one block of features).
template <class Engine, bool kProjects>
constexpr int kQueryBlocks = Engine::kScratchRows == 0 && !kProjects ? 2 : 1;

// kGradientShared: the gradient with the features in shared memory rather than in registers.
enum class Use { kState, kQuery, kGradient, kGradientShared };
__host__ __device__ constexpr int most_stages(Use use) { return use == Use::kState ? 3 : 2; }

// Shared memory, in order. The host adds up the same sizes by carving from a null pointer.
template <class Engine, int kWidth>
struct Memory {
  using Element = typename Engine::Element;
  Tile<Element> x, y, w, state, scratch, phi;  // x, y: the first of `stages` tiles, one after another
  float *sum, *centre, *shift, *u, *grad_u, *warp_rows, *weights;
  uint8_t* pairs;
  size_t bytes;

  __device__ static Tile<Element> stage_of(Tile<Element> first, int stage) { return {first.data + stage * Engine::kTokens * kWidth, kWidth}; }
  __device__ Tile<Element> x_at(int stage) const { return stage_of(x, stage); }
  __device__ Tile<Element> y_at(int stage) const { return stage_of(y, stage); }

  // Resident: the whole state; else a panel of it, of 32 columns (products with S) or 32 rows a block (with S^T).
  static constexpr bool kResident = sizeof(Element) == 2;

  __host__ __device__ Memory(unsigned char* base, const LinearAttentionShape& shape, Use use, int stages) {
    size_t at = 0;
    const auto take = [&](size_t size) {
      unsigned char* const here = base + at;
      at += (size + 15) / 16 * 16;
      return here;
    };
    const auto tile = [&](int rows, int stride) { return Tile<Element>{reinterpret_cast<Element*>(take(sizeof(Element) * rows * stride)), stride}; };
    const auto floats = [&](int count) { return reinterpret_cast<float*>(take(sizeof(float) * count)); };
    const bool taylor = shape.map == FeatureMap::kTaylor2;
    const int padded = padded_features(shape.map, shape.feature_dim, kWidth);
    x = tile(stages * Engine::kTokens, kWidth);
    if (use != Use::kQuery) y = tile(stages * Engine::kTokens, kWidth);
    const int w_stride = projection_stride(shape.map, kWidth, sizeof(Element));
    if (shape.projected_dim > 0) w = tile(kWidth, w_stride);
    if (use != Use::kState) {
      state = kResident ? tile(padded, kWidth)
                        : tile(1, padded * kChunk > kMaxBlocks<kWidth> * kChunk * kWidth ? padded * kChunk : kMaxBlocks<kWidth> * kChunk * kWidth);
      scratch = tile(Engine::kScratchRows, kWidth);
      if (use == Use::kGradientShared) phi = tile(feature_blocks(shape.map, shape.feature_dim, kWidth) * Engine::kTokens, kWidth);
      sum = floats(padded);
      centre = floats(kWidth);
    } else {
      weights = floats(stages * Engine::kTokens);
    }
    if (shape.map == FeatureMap::kExp) shift = floats(kWidth);
    if (taylor) {
      u = floats(Engine::kTokens * kMaxProjected);
      pairs = take(kMaxTaylor + 7);
      if (use != Use::kState && use != Use::kQuery) {
        grad_u = floats(Engine::kTokens * kMaxProjected);
        warp_rows = floats(kWarps * Engine::kWarpRows * (kChunk + 1));
      }
    }
    bytes = at;
  }
};

// Walks the stretch's tiles with valid tokens: body(first token, stage of memory that holds it). load(first, stage) starts the
// copies of a tile. With two stages the next tile is on its way while body runs.
template <class Load, class Body>
__device__ void for_each_tile(const Stretch& s, int tokens_per_tile, int stages, const Load& load, const Body& body) {
  const int last = min(s.last_tile, (s.end + tokens_per_tile - 1) / tokens_per_tile);
  if (stages == 2 && s.first_tile < last) load(s.first_tile * tokens_per_tile, 0);
  for (int tile = s.first_tile; tile < last; ++tile) {
    const int stage = stages == 2 ? (tile - s.first_tile) % 2 : 0;
    if (stages == 1) {
      __syncthreads();  // the tile before is no longer read
      load(tile * tokens_per_tile, 0);
    }
    finish_copies();
    __syncthreads();
    if (stages == 2 && tile + 1 < last) load((tile + 1) * tokens_per_tile, 1 - stage);
    body(tile * tokens_per_tile, stage);
  }
}
// The first token of the stretch in tiles without a valid one, and the token after its last.
struct PaddingRange {
  int first, last;
};
__device__ inline PaddingRange padding_tiles(const Stretch& s, int tokens_per_tile, int tokens) {
  const int first = max(s.first_tile, (s.end + tokens_per_tile - 1) / tokens_per_tile);
  return {first * tokens_per_tile, min(s.last_tile * tokens_per_tile, tokens)};
}

// What does not change from tile to tile: W (taylor2's lies in columns 0 and kMaxProjected, once more), the shift, taylor2's table.
template <class Engine, int kWidth>
__device__ void load_constants(const Memory<Engine, kWidth>& memory, const LinearAttentionShape& shape, const Stretch& s, const void* w, const float* shift) {
  using Element = typename Engine::Element;
  if (shape.projected_dim > 0) {
    const Element* const from = static_cast<const Element*>(w) + static_cast<int64_t>(s.head) * shape.head_dim * shape.projected_dim;
    load_matrix(memory.w, from, shape.head_dim, shape.projected_dim, kWidth, memory.w.stride);
    if (shape.map == FeatureMap::kTaylor2) {  // once more, for the second part of dy
      __syncthreads();
      for (int i = threadIdx.x; i < shape.head_dim * shape.projected_dim; i += blockDim.x)
        memory.w.at(i / shape.projected_dim, kMaxProjected + i % shape.projected_dim) = from[i];
    }
  }
  if (shape.map == FeatureMap::kExp)
    for (int c = threadIdx.x; c < kWidth; c += blockDim.x)
      memory.shift[c] = c < shape.head_dim ? shift[static_cast<int64_t>(s.head_row) * shape.head_dim + c] : 0.f;
  if (shape.map == FeatureMap::kTaylor2) TaylorTable::fill(memory.pairs, shape.projected_dim);
}

template <class Engine, int kWidth>
__device__ FeatureContext feature_context(const Memory<Engine, kWidth>& memory, const LinearAttentionShape& shape, bool queries) {
  return {shape.map, shape.head_dim, shape.projected_dim, shape.feature_dim, queries, memory.shift, memory.u, memory.pairs};
}

// The state [R, D] and its sum [R] of one head, as the products want them: whole (resident) or panel by panel. With queries, S is
// centred: S_r - z_r c. With keys the gradient dS is as it is, and dz_r becomes dz_r - c dS_r of dS as it is rounded: then
// v dS_r + dz_r is what (v - c) dS_r and the centred dz give, and only v - c meets the rounding.
template <class Engine, int kWidth>
struct StateReader {
  using Element = typename Engine::Element;
  static constexpr bool kResident = Memory<Engine, kWidth>::kResident;
  const LinearAttentionShape& shape;
  const float* state;  // [R, D] in global memory
  Tile<Element> tile;
  const float *sum, *centre;  // [padded], [kWidth] in shared memory
  bool queries;
  int padded;

  // Of one head, all in shared memory but the panels. All threads; call __syncthreads() before use.
  __device__ StateReader(const Memory<Engine, kWidth>& memory, const LinearAttentionShape& of_shape, const Stretch& s, const float* all_states,
                         const float* all_sums, const float* all_centres, bool of_queries)
      : shape(of_shape),
        state(all_states + static_cast<int64_t>(s.head_row) * shape.feature_dim * shape.head_dim),
        tile(memory.state),
        sum(memory.sum),
        centre(memory.centre),
        queries(of_queries),
        padded(padded_features(shape.map, shape.feature_dim, kWidth)) {
    for (int p = threadIdx.x; p < padded; p += kThreads) {
      const int r = feature_of(shape.map, shape.feature_dim, shape.head_dim, kWidth, p);
      memory.sum[p] = r >= 0 ? all_sums[static_cast<int64_t>(s.head_row) * shape.feature_dim + r] : 0.f;
    }
    for (int d = threadIdx.x; d < kWidth; d += kThreads)
      memory.centre[d] = d < shape.head_dim ? all_centres[static_cast<int64_t>(s.head_row) * shape.head_dim + d] : 0.f;
    __syncthreads();
    if constexpr (kResident) {
      tile.stride = kWidth;
      for (int i = threadIdx.x; i < padded * kWidth; i += kThreads) tile.at(i / kWidth, i % kWidth) = from_float<Element>(element(i / kWidth, i % kWidth));
      __syncthreads();
    }
    if (queries) return;
    for (int p = threadIdx.x / 32; p < padded; p += kWarps) {
      float along = 0;
      for (int d = threadIdx.x % 32; d < kWidth; d += 32) along += centre[d] * (kResident ? to_float(tile.at(p, d)) : element(p, d));
      for (int step = 16; step > 0; step /= 2) along += __shfl_xor_sync(~0u, along, step);
      if (threadIdx.x % 32 == 0) memory.sum[p] -= along;
    }
  }

  __device__ float element(int p, int d) const {
    const int r = feature_of(shape.map, shape.feature_dim, shape.head_dim, kWidth, p);
    if (r < 0 || d >= shape.head_dim) return 0;
    const float value = state[r * shape.head_dim + d];
    return queries ? value - sum[p] * centre[d] : value;
  }
  // S[:, 32 c .. 32 c + 31]. All threads; the panel before it is no longer wanted.
  __device__ void want_columns(int c) {
    if constexpr (!kResident) {
      __syncthreads();
      tile.stride = kChunk;
      for (int i = threadIdx.x; i < padded * kChunk; i += kThreads) tile.at(i / kChunk, i % kChunk) = element(i / kChunk, c * kChunk + i % kChunk);
      __syncthreads();
    }
  }
  __device__ int column(int c) const { return kResident ? c * kChunk : 0; }
  // Rows p0 .. p0 + 31 of each of `blocks` blocks.
  __device__ void want_rows(int p0, int blocks) {
    if constexpr (!kResident) {
      __syncthreads();
      tile.stride = kWidth;
      for (int i = threadIdx.x; i < blocks * kChunk * kWidth; i += kThreads) {
        const int row = i / kWidth, p = row / kChunk * kWidth + p0 + row % kChunk;
        tile.at(row, i % kWidth) = p < padded ? element(p, i % kWidth) : 0.f;
      }
      __syncthreads();
    }
  }
  __device__ int row(int p0, int block) const { return kResident ? block * kWidth + p0 : block * kChunk; }
};

// One chunk of a warp's rows to an activation; tokens from N on and columns from D on are left out.
template <class Engine, class T>
__device__ void write_chunk(T* out, int64_t token_stride, int first_token, int tokens, int c, int head_dim, const typename Engine::Chunk& chunk) {
  if (c * kChunk >= head_dim) return;
#pragma unroll
  for (int i = 0; i < Engine::kRows; ++i) {
    const int token = first_token + Engine::row(i);
    if (token >= tokens) continue;
    T* const row = out + token * token_stride + c * kChunk;
    if constexpr (Engine::kChunkColumns == 1) {
      row[Engine::column(0)] = from_float<T>(chunk[i][0]);
    } else {
#pragma unroll
      for (int j = 0; j < Engine::kChunkColumns; j += 2) store<T, 2>(row + Engine::column(j), {from_float<T>(chunk[i][j]), from_float<T>(chunk[i][j + 1])});
    }
  }
}

template <class T>
__device__ void write_zeros(T* out, int64_t token_stride, PaddingRange range, int head_dim) {
  for (int64_t i = threadIdx.x; i < static_cast<int64_t>(range.last - range.first) * head_dim; i += kThreads)
    out[(range.first + i / head_dim) * token_stride + i % head_dim] = from_float<T>(0.f);
}

}  // namespace linden::cuda::linear_attention
