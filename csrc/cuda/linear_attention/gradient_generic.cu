// The gradient of one side, queries or keys: README.md, "Backward". One block of threads a stretch of tokens.
#include "csrc/cuda/linear_attention/instantiate.cuh"
#include "csrc/cuda/linear_attention/launch.h"

namespace linden::cuda {
namespace linear_attention {
namespace {

// Of one row: dphi = scale (y S^T) + bias z; mean[b] = <phi, dphi> over block b.
template <class Engine, int kBlocks>
struct RowFactors {
  float scale[Engine::kRows], bias[Engine::kRows], mean[kBlocks][Engine::kRows];
};

// The features of a warp's rows, and then dy, in registers: what fits every card. Columns have to be known when it is compiled.
// kMapProjects: for maps with a W; the others have one block of features, and the registers of dW's sum for y S^T.
template <class Engine, int kWidth, bool kMapProjects>
struct RegisterFeatures {
  static constexpr Use kUse = Use::kGradient;
  static constexpr int kUnroll = kWidth / kChunk;  // of loops over chunks of columns
  static constexpr bool kKeepsProjection = false;  // there is no room: y is made again for a second block
  static constexpr bool kProjects = kMapProjects;
  static constexpr int kBlocks = kMapProjects ? kMaxBlocks<kWidth> : 1;
  using Element = typename Engine::Element;
  Tile<Element> scratch, y;  // dy lies over y in the end
  int row0;
  typename Engine::Rows rows[kBlocks], gradient;

  __device__ RegisterFeatures(const Memory<Engine, kWidth>& memory, Tile<Element> tile_y, int first_row)
      : scratch(memory.scratch),
        y(tile_y),
        row0(first_row) {}
  __device__ void set(int b, const typename Engine::Rows& values) { rows[b] = values; }
  __device__ void read(typename Engine::Chunk& out, int b, int c) const {
#pragma unroll
    for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
      for (int j = 0; j < Engine::kChunkColumns; ++j) out[i][j] = rows[b].get(i, c * Engine::kChunkColumns + j);
  }
  __device__ void multiply(typename Engine::Chunk& out, int b, Tile<Element> state, int state_column, int depth) const {
    Engine::stage(rows[b], scratch, row0);
    Engine::multiply(out, rows[b], scratch, row0, state, b * kWidth, state_column, depth);
  }
  __device__ void set_gradient(int c, const typename Engine::Chunk& values) { Engine::set_chunk(gradient, c, values); }
  __device__ void set_gradient(const typename Engine::Rows& values) { gradient = values; }
  __device__ Tile<Element> finish_gradient() {  // dy as a tile
    __syncwarp();
    Engine::store(y, row0, gradient);
    __syncwarp();
    return y;
  }
};

// The same in shared memory, where a card has enough: no registers spill. dy replaces block 0 chunk by chunk.
template <class Engine, int kWidth, bool kMapProjects>
struct SharedFeatures {
  static constexpr Use kUse = Use::kGradientShared;
  static constexpr int kUnroll = 1;
  static constexpr bool kKeepsProjection = true;
  static constexpr bool kProjects = kMapProjects;
  static constexpr int kBlocks = kMapProjects ? kMaxBlocks<kWidth> : 1;
  using Element = typename Engine::Element;
  Tile<Element> tile;  // [blocks kTokens, kWidth]
  int row0;

  __device__ SharedFeatures(const Memory<Engine, kWidth>& memory, Tile<Element>, int first_row) : tile(memory.phi), row0(first_row) {}
  __device__ void set(int b, const typename Engine::Rows& values) {
    Engine::store(tile, b * Engine::kTokens + row0, values);
    __syncwarp();
  }
  __device__ void read(typename Engine::Chunk& out, int b, int c) const { Engine::read_chunk(out, tile, b * Engine::kTokens + row0, c); }
  __device__ void multiply(typename Engine::Chunk& out, int b, Tile<Element> state, int state_column, int depth) const {
    Engine::multiply_tile(out, tile, b * Engine::kTokens + row0, state, b * kWidth, state_column, depth);
  }
  __device__ void set_gradient(int c, const typename Engine::Chunk& values) { Engine::store_chunk(tile, row0, c, values); }
  __device__ void set_gradient(const typename Engine::Rows& values) { Engine::store(tile, row0, values); }
  __device__ Tile<Element> finish_gradient() {
    __syncwarp();
    return tile;
  }
};

// Adds dy of a chunk of block b, from phi and dphi, to grad. All maps but taylor2; the map is chosen outside the loops.
template <class Engine, int kBlocks>
__device__ void add_map_gradient(FeatureMap map, int b, const typename Engine::Chunk& phi, const typename Engine::Chunk& grad_phi,
                                 const RowFactors<Engine, kBlocks>& factors, typename Engine::Chunk& grad) {
  const auto for_each = [&](auto function) {
#pragma unroll
    for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
      for (int j = 0; j < Engine::kChunkColumns; ++j) grad[i][j] += function(phi[i][j], grad_phi[i][j], factors.mean[b][i]);
  };
  switch (map) {
    case FeatureMap::kHedgehog:
    case FeatureMap::kSoftmax: {
      const float sign = b == 0 ? 1.f : -1.f;
      for_each([sign](float f, float g, float mean) { return sign * f * (g - mean); });
      break;
    }
    case FeatureMap::kEluPlusOne: for_each([](float f, float g, float) { return g * fminf(f, 1.f); }); break;
    case FeatureMap::kRelu: for_each([](float f, float g, float) { return f > 0 ? g : 0.f; }); break;
    case FeatureMap::kExp: for_each([](float f, float g, float) { return g * f; }); break;  // shift and a row's sum count as constants
    case FeatureMap::kTaylor2: break;
  }
}

// Adds g of the features p0 .. p0 + 31 (in `g`, [rows, 32 + 1]) to du [rows, 16] of this warp's rows.
template <class Engine>
__device__ void add_taylor_gradient(const FeatureContext& context, const float* g, const float* u, float* grad_u, int p0) {
  const int d = context.projected_dim;
  const TaylorTable table{d};
  for (int item = Engine::lane(); item < Engine::kWarpRows * kMaxProjected; item += 32) {
    const int row = item / kMaxProjected, i = item % kMaxProjected;
    if (i >= d) continue;
    const float* const g_row = g + row * (kChunk + 1);
    const auto grad = [&](int p) { return p >= p0 && p < p0 + kChunk ? g_row[p - p0] : 0.f; };
    float total = grad_u[item] + grad(1 + i);
    for (int j = 0; j < d; ++j)  // c_ii is 1 / sqrt(2) and u_i counts twice
      total += grad(table.pair(min(i, j), max(i, j))) * u[row * kMaxProjected + j] * (i == j ? 1.4142135623730951f : 1.f);
    grad_u[item] = total;
  }
  __syncwarp();
}

// <row i of a warp's rows, vector>, in all threads of the row.
template <class Engine, int kWidth>
__device__ float dot_row(Tile<typename Engine::Element> tile, int first_row, int i, const float* vector, int head_dim) {
  float total = 0;
  for (int c = 0; c < kWidth / kChunk; ++c) {
    if (c * kChunk >= head_dim) break;
    typename Engine::Chunk chunk;
    Engine::read_chunk(chunk, tile, first_row, c);
#pragma unroll
    for (int n = 0; n < Engine::kRows; ++n)  // i is known when it is compiled where the caller's loop is unrolled
      if (n == i)
#pragma unroll
        for (int j = 0; j < Engine::kChunkColumns; ++j) total += chunk[n][j] * vector[c * kChunk + Engine::column(j)];
  }
  return Engine::reduce_row(total, [](float a, float b) { return a + b; });
}

template <class Engine, class Features, class T, int kWidth>
__global__ __launch_bounds__(kThreads) void gradient_kernel(const __grid_constant__ GradientParams p, int stages) {
  using Element = typename Engine::Element;
  constexpr int kBlocks = Features::kBlocks;
  const LinearAttentionShape& shape = p.shape;
  Memory<Engine, kWidth> memory(dynamic_shared_memory(), shape, Features::kUse, stages);
  const Stretch s = this_stretch(shape, Engine::kTokens);
  const int warp = threadIdx.x / 32, row0 = warp * Engine::kWarpRows, head_dim = shape.head_dim;
  const int blocks = Features::kProjects ? feature_blocks(shape.map, shape.feature_dim, kWidth) : 1;
  const bool taylor = Features::kProjects && shape.map == FeatureMap::kTaylor2, projects = Features::kProjects;
  const T* const x = rows_of<const T>(p.x, s);
  const T* const y = rows_of<const T>(p.y, s);
  T* const grad_x = rows_of<T>(p.grad_x, s);
  T* const grad_y = p.queries ? nullptr : rows_of<T>(p.grad_y, s);
  load_constants(memory, shape, s, p.w, p.shift);
  StateReader<Engine, kWidth> state(memory, shape, s, p.state, p.sum, p.centre, p.queries);
  const FeatureContext context = feature_context(memory, shape, p.queries);
  const float floor = shape.eps * s.end;
  const auto add = [](float a, float b) { return a + b; };

  typename Engine::Outer grad_w = {};
  write_zeros(grad_x, p.grad_x.token_stride, padding_tiles(s, Engine::kTokens, shape.tokens), head_dim);
  if (!p.queries) write_zeros(grad_y, p.grad_y.token_stride, padding_tiles(s, Engine::kTokens, shape.tokens), head_dim);
  const auto load = [&](int first, int stage) {
    load_rows<T, Element, kWidth>(memory.x_at(stage), x, p.x.token_stride, first, Engine::kTokens, s.end, head_dim);
    load_rows<T, Element, kWidth>(memory.y_at(stage), y, p.y.token_stride, first, Engine::kTokens, s.end, head_dim);
  };
  for_each_tile(s, Engine::kTokens, stages, load, [&](int first, int stage) {
    const Tile<Element> tile_x = memory.x_at(stage), tile_y = memory.y_at(stage);
    const auto valid = [&](int i) { return first + row0 + Engine::row(i) < s.end; };

    // phi, and its products with z
    Features phi(memory, tile_y, row0);
    RowFactors<Engine, kBlocks> factors;
    float sum_product[kBlocks][Engine::kRows] = {}, state_product[kBlocks][Engine::kRows] = {};
    {
      float kept[Engine::kRows][Engine::kColumns];  // y, for the second block
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) {
        if (b >= blocks) break;
        float values[Engine::kRows][Engine::kColumns];
        if (Features::kKeepsProjection && b > 0) {
#pragma unroll
          for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
            for (int j = 0; j < Engine::kColumns; ++j) values[i][j] = kept[i][j];
        } else if (b == 0 || !taylor) {
          project<Engine, kWidth, Features::kProjects>(context, tile_x, row0, memory.w, memory.u, values);
          if (Features::kKeepsProjection) {
#pragma unroll
            for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
              for (int j = 0; j < Engine::kColumns; ++j) kept[i][j] = values[i][j];
          }
        }
        features<Engine, kWidth, Features::kProjects>(context, values, b, row0);
        typename Engine::Rows rows;
        Engine::set_rows(rows, values);
        phi.set(b, rows);
#pragma unroll
        for (int j = 0; j < Engine::kColumns; ++j) {
          const int feature = b * kWidth + Engine::column(j);
          const float z = feature < state.padded ? memory.sum[feature] : 0.f;
#pragma unroll
          for (int i = 0; i < Engine::kRows; ++i) sum_product[b][i] += (taylor ? values[i][j] : rows.get(i, j)) * z;
        }
#pragma unroll
        for (int i = 0; i < Engine::kRows; ++i) sum_product[b][i] = Engine::reduce_row(sum_product[b][i], add);
      }
    }
    // <phi S, y> gives the denominator's gradient and the means. Of keys phi S is dv; of queries it is not wanted, and with one block of
    // features <phi, y S^T> is the same number from a product that dphi needs anyway: kept, where registers allow.
    const bool keeps = !Features::kProjects && p.queries;
    float kept_gradient[Engine::kRows][Engine::kColumns];  // y S^T
    if (keeps) {
#pragma unroll
      for (int c = 0; c < kWidth / kChunk; ++c) {
        if (c * kChunk >= head_dim) break;
        state.want_rows(c * kChunk, 1);
        typename Engine::Chunk chunk = {}, features;
        Engine::multiply_transposed(chunk, tile_y, row0, state.tile, state.row(c * kChunk, 0));
        phi.read(features, 0, c);
#pragma unroll
        for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
          for (int j = 0; j < Engine::kChunkColumns; ++j) {
            kept_gradient[i][c * Engine::kChunkColumns + j] = chunk[i][j];
            state_product[0][i] += chunk[i][j] * features[i][j];
          }
      }
    } else {
#pragma unroll Features::kUnroll
      for (int c = 0; c < kWidth / kChunk; ++c) {
        if (c * kChunk >= head_dim) break;
        state.want_columns(c);
        typename Engine::Chunk total = {}, y_chunk;
        Engine::read_chunk(y_chunk, tile_y, row0, c);
#pragma unroll
        for (int b = 0; b < kBlocks; ++b) {
          if (b >= blocks) break;
          typename Engine::Chunk chunk = {};
          phi.multiply(chunk, b, state.tile, state.column(c), min(kWidth, state.padded - b * kWidth));
#pragma unroll
          for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
            for (int j = 0; j < Engine::kChunkColumns; ++j) {
              state_product[b][i] += chunk[i][j] * y_chunk[i][j];
              total[i][j] += chunk[i][j];
            }
        }
#pragma unroll
        for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
          for (int j = 0; j < Engine::kChunkColumns; ++j) total[i][j] = valid(i) ? total[i][j] : 0.f;
        if (!p.queries) write_chunk<Engine>(grad_y, p.grad_y.token_stride, first + row0, shape.tokens, c, head_dim, total);
      }
    }
#pragma unroll
    for (int i = 0; i < Engine::kRows; ++i) {
      float denominator = 0, numerator = 0;
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) {
        if (b >= blocks) break;
        state_product[b][i] = Engine::reduce_row(state_product[b][i], add);
        numerator += state_product[b][i];
        denominator += sum_product[b][i];
      }
      if (p.queries) {
        factors.scale[i] = 1 / fmaxf(denominator, floor);
        factors.bias[i] = -numerator * factors.scale[i] * factors.scale[i];
        const bool on_floor = denominator < floor;  // then the denominator is a constant, and the centre no longer falls out
        if (__any_sync(~0u, on_floor)) {
          const float along = dot_row<Engine, kWidth>(tile_y, row0, i, memory.centre, head_dim);
          if (on_floor) factors.bias[i] = along * factors.scale[i];
        }
        if (valid(i) && Engine::leads_row())
          store<float, 2>(p.token_scale + (static_cast<int64_t>(s.head_row) * shape.tokens + first + row0 + Engine::row(i)) * 2,
                          {factors.scale[i], factors.bias[i]});
      } else {
        factors.scale[i] = factors.bias[i] = 1;
      }
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) factors.mean[b][i] = factors.scale[i] * state_product[b][i] + factors.bias[i] * sum_product[b][i];
    }

    // dphi, and through the map to dy
    const auto scale_gradient = [&](typename Engine::Chunk& chunk, int p0, int b) {  // y S^T becomes dphi of features p0 .. p0 + 31 of block b
#pragma unroll
      for (int j = 0; j < Engine::kChunkColumns; ++j) {
        const float z = memory.sum[b * kWidth + p0 + Engine::column(j)];
#pragma unroll
        for (int i = 0; i < Engine::kRows; ++i) chunk[i][j] = factors.scale[i] * chunk[i][j] + factors.bias[i] * z;
      }
    };
    const auto grad_features = [&](typename Engine::Chunk& chunk, int p0, int b) {
      Engine::multiply_transposed(chunk, tile_y, row0, state.tile, state.row(p0, b));
      scale_gradient(chunk, p0, b);
    };
    const auto finish_chunk = [&](int c, typename Engine::Chunk& grad) {  // dy of a chunk
#pragma unroll
      for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
        for (int j = 0; j < Engine::kChunkColumns; ++j) grad[i][j] = valid(i) ? grad[i][j] : 0.f;
      if (!projects) write_chunk<Engine>(grad_x, p.grad_x.token_stride, first + row0, shape.tokens, c, head_dim, grad);  // dx = dy
      else phi.set_gradient(c, grad);
    };
    if (taylor) {
      float* const warp_rows = memory.warp_rows + warp * Engine::kWarpRows * (kChunk + 1);
      float* const grad_u = memory.grad_u + row0 * kMaxProjected;
      for (int n = Engine::lane(); n < Engine::kWarpRows * kMaxProjected; n += 32) grad_u[n] = 0;
      for (int p0 = 0; p0 < state.padded; p0 += kChunk) {
        state.want_rows(p0, 1);
        typename Engine::Chunk chunk = {};
        grad_features(chunk, p0, 0);
        __syncwarp();
#pragma unroll
        for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
          for (int j = 0; j < Engine::kChunkColumns; ++j) warp_rows[Engine::row(i) * (kChunk + 1) + Engine::column(j)] = valid(i) ? chunk[i][j] : 0.f;
        __syncwarp();
        add_taylor_gradient<Engine>(context, warp_rows, memory.u + row0 * kMaxProjected, grad_u, p0);
      }
      float grad_values[Engine::kRows][Engine::kColumns];
#pragma unroll
      for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
        for (int j = 0; j < Engine::kColumns; ++j) {  // dy in two parts, side by side: what the products' type holds of it, and the rest
          const int column = Engine::column(j) % kMaxProjected;
          const float value = column < shape.projected_dim && Engine::column(j) < 2 * kMaxProjected ? grad_u[Engine::row(i) * kMaxProjected + column] : 0.f;
          const float first_part = to_float(from_float<Element>(value));
          grad_values[i][j] = Engine::column(j) < kMaxProjected ? first_part : value - first_part;
        }
      typename Engine::Rows rows;
      Engine::set_rows(rows, grad_values);
      phi.set_gradient(rows);
    } else if (keeps) {
#pragma unroll
      for (int c = 0; c < kWidth / kChunk; ++c) {
        if (c * kChunk >= head_dim) break;
        typename Engine::Chunk chunk, features, grad = {};
#pragma unroll
        for (int i = 0; i < Engine::kRows; ++i)
#pragma unroll
          for (int j = 0; j < Engine::kChunkColumns; ++j) chunk[i][j] = kept_gradient[i][c * Engine::kChunkColumns + j];
        scale_gradient(chunk, c * kChunk, 0);
        phi.read(features, 0, c);
        add_map_gradient<Engine, kBlocks>(shape.map, 0, features, chunk, factors, grad);
        finish_chunk(c, grad);
      }
    } else {
#pragma unroll Features::kUnroll
      for (int c = 0; c < kWidth / kChunk; ++c) {
        state.want_rows(c * kChunk, blocks);
        typename Engine::Chunk grad = {};
#pragma unroll
        for (int b = 0; b < 2; ++b) {  // hedgehog has the most
          if (b >= blocks) break;
          typename Engine::Chunk chunk = {};
          grad_features(chunk, c * kChunk, b);
          typename Engine::Chunk features;
          phi.read(features, b, c);
          add_map_gradient<Engine, kBlocks>(shape.map, b, features, chunk, factors, grad);
        }
        finish_chunk(c, grad);
      }
    }

    // dx = dy W^T, dW = sum x^T dy
    if (!projects) return;
    const Tile<Element> tile_dy = phi.finish_gradient();
    for (int c = 0; c < kWidth / kChunk; ++c) {
      if (c * kChunk >= head_dim) break;
      typename Engine::Chunk chunk = {};
      Engine::multiply_transposed(chunk, tile_dy, row0, memory.w, c * kChunk, taylor ? 2 * kMaxProjected : kWidth);
      write_chunk<Engine>(grad_x, p.grad_x.token_stride, first + row0, shape.tokens, c, head_dim, chunk);
    }
    __syncthreads();
    Engine::add_outer(grad_w, tile_x, tile_dy);
  });
  if (!projects) return;
  const int64_t part = static_cast<int64_t>(s.stretch) * shape.batch * shape.heads + s.head_row;
  float* const out = p.partial_w + part * head_dim * shape.projected_dim;
  Engine::for_each(grad_w, [&](int r, int d, float value) {
    if (r < head_dim && d < shape.projected_dim) out[r * shape.projected_dim + d] = value;
  });
  if (!taylor || Engine::kScratchRows != 0) return;  // fp32 has no second part
  __syncthreads();
  Engine::for_each(grad_w, [&](int r, int d, float value) {
    const int column = d - kMaxProjected;
    if (r < head_dim && column >= 0 && column < shape.projected_dim) out[r * shape.projected_dim + column] += value;
  });
}

struct LaunchGradient {
  const GradientParams& p;
  template <class Engine, class T, int kWidth, bool kMapProjects>
  cudaError_t run_with() const {
    const dim3 grid(p.shape.batch * p.shape.heads * p.shape.splits);
    const auto launch = [&](auto kernel, Use use) { return launch_with_memory<Engine, kWidth>(kernel, grid, kThreads, use, p); };
    if constexpr (Engine::kScratchRows == 0)
      if (Memory<Engine, kWidth>(nullptr, p.shape, Use::kGradientShared, 1).bytes <= shared_memory_limit())
        return launch(gradient_kernel<Engine, SharedFeatures<Engine, kWidth, kMapProjects>, T, kWidth>, Use::kGradientShared);
    return launch(gradient_kernel<Engine, RegisterFeatures<Engine, kWidth, kMapProjects>, T, kWidth>, Use::kGradient);
  }
  template <class Engine, class T, int kWidth>
  cudaError_t run() const {
    return p.shape.projected_dim > 0 ? run_with<Engine, T, kWidth, true>() : run_with<Engine, T, kWidth, false>();
  }
};

}  // namespace
}  // namespace linear_attention

cudaError_t launch_gradient(const GradientParams& params) { return linear_attention::instantiate(params.shape, linear_attention::LaunchGradient{params}); }

}  // namespace linden::cuda
