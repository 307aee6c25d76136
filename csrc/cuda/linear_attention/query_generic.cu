// out_n = phi(q_n) S / max(phi(q_n) z, eps n_valid), of the centred S. One block of threads a stretch of tokens.
#include "csrc/cuda/linear_attention/instantiate.cuh"
#include "csrc/cuda/linear_attention/launch.h"

namespace linden::cuda {
namespace linear_attention {
namespace {

template <class Engine, class T, int kWidth, bool kProjects>
__global__ __launch_bounds__(kThreads, kQueryBlocks<Engine, kProjects>) void query_kernel(const __grid_constant__ QueryParams p, int stages) {
  using Element = typename Engine::Element;
  constexpr int kBlocks = kProjects ? kMaxBlocks<kWidth> : 1;
  const LinearAttentionShape& shape = p.shape;
  Memory<Engine, kWidth> memory(dynamic_shared_memory(), shape, Use::kQuery, stages);
  const Stretch s = this_stretch(shape, Engine::kTokens);
  const int row0 = threadIdx.x / 32 * Engine::kWarpRows, head_dim = shape.head_dim;
  const int blocks = !kProjects ? 1 : feature_blocks(shape.map, shape.feature_dim, kWidth);
  const T* const x = rows_of<const T>(p.x, s);
  T* const out = rows_of<T>(p.out, s);
  load_constants(memory, shape, s, p.w, p.shift);
  StateReader<Engine, kWidth> state(memory, shape, s, p.state, p.sum, p.centre, /*queries=*/true);
  const FeatureContext context = feature_context(memory, shape, true);
  const float floor = shape.eps * s.end;
  const bool taylor = kProjects && shape.map == FeatureMap::kTaylor2;  // its terms cancel in the denominator, which therefore is of unrounded features

  write_zeros(out, p.out.token_stride, padding_tiles(s, Engine::kTokens, shape.tokens), head_dim);
  const auto load = [&](int first, int stage) {
    load_rows<T, Element, kWidth>(memory.x_at(stage), x, p.x.token_stride, first, Engine::kTokens, s.end, head_dim);
  };
  for_each_tile(s, Engine::kTokens, stages, load, [&](int first, int stage) {
    typename Engine::Rows phi[kBlocks];
    float denominator[Engine::kRows] = {};
    float projected[Engine::kRows][Engine::kColumns];
    project<Engine, kWidth, kProjects>(context, memory.x_at(stage), row0, memory.w, memory.u, projected);
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      if (b >= blocks) break;
      float values[Engine::kRows][Engine::kColumns];
#pragma unroll
      for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
        for (int j = 0; j < Engine::kColumns; ++j) values[i][j] = projected[i][j];
      features<Engine, kWidth, kProjects>(context, values, b, row0);
      Engine::set_rows(phi[b], values);
#pragma unroll
      for (int j = 0; j < Engine::kColumns; ++j) {
        const int feature = b * kWidth + Engine::column(j);
        const float z = feature < state.padded ? memory.sum[feature] : 0.f;
#pragma unroll
        for (int i = 0; i < Engine::kRows; ++i) denominator[i] += (taylor ? values[i][j] : phi[b].get(i, j)) * z;
      }
    }
    float inverse[Engine::kRows], share[Engine::kRows];  // share: of the centre; 1 above the floor
#pragma unroll
    for (int i = 0; i < Engine::kRows; ++i) {
      const float total = Engine::reduce_row(denominator[i], [](float a, float b) { return a + b; });
      inverse[i] = 1 / fmaxf(total, floor);
      share[i] = total < floor ? total * inverse[i] : 1.f;
    }
#pragma unroll
    for (int c = 0; c < kWidth / kChunk; ++c) {
      if (c * kChunk >= head_dim) break;
      state.want_columns(c);
      typename Engine::Chunk chunk = {};
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) {
        if (b >= blocks) break;
        Engine::stage(phi[b], memory.scratch, row0);
        Engine::multiply(chunk, phi[b], memory.scratch, row0, state.tile, b * kWidth, state.column(c), min(kWidth, state.padded - b * kWidth));
      }
#pragma unroll
      for (int j = 0; j < Engine::kChunkColumns; ++j) {
        const float centre = memory.centre[c * kChunk + Engine::column(j)];
#pragma unroll
        for (int i = 0; i < Engine::kRows; ++i) chunk[i][j] = first + row0 + Engine::row(i) < s.end ? chunk[i][j] * inverse[i] + share[i] * centre : 0.f;
      }
      write_chunk<Engine>(out, p.out.token_stride, first + row0, shape.tokens, c, head_dim, chunk);
    }
  });
}

struct LaunchQuery {
  const QueryParams& p;
  template <class Engine, class T, int kWidth>
  cudaError_t run() const {
    const dim3 grid(p.shape.batch * p.shape.heads * p.shape.splits);
    const auto kernel = p.shape.projected_dim > 0 ? query_kernel<Engine, T, kWidth, true> : query_kernel<Engine, T, kWidth, false>;
    return launch_with_memory<Engine, kWidth>(kernel, grid, kThreads, Use::kQuery, p);
  }
};

}  // namespace
}  // namespace linear_attention

cudaError_t launch_query(const QueryParams& params) { return linear_attention::instantiate(params.shape, linear_attention::LaunchQuery{params}); }

}  // namespace linden::cuda
