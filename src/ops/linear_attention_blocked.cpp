#include "ops/linear_attention_blocked.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>

#include <algorithm>
#include <vector>

#include "ops/feature_map_block.h"

// Of MKL, inside LibTorch; absent in a LibTorch with another BLAS. Sets the calling thread's count, returns the old one.
extern "C" int MKL_Set_Num_Threads_Local(int count) __attribute__((weak));

namespace linden {
namespace {

// Keeps the matrix products of a task on its own thread. LibTorch lets MKL cut a product for all threads even inside a
// parallel region: slower there, and the cuts would show in the last bits.
class OneThreadProducts {
 public:
  OneThreadProducts() {
    if (MKL_Set_Num_Threads_Local) before_ = MKL_Set_Num_Threads_Local(1);
  }
  ~OneThreadProducts() {
    if (MKL_Set_Num_Threads_Local) MKL_Set_Num_Threads_Local(before_);
  }

 private:
  int before_ = 0;
};

// Elements of one input in a block: all buffers of a block then fit a core's second-level cache at usual sizes.
constexpr int64_t kBlockElements = 1 << 17;
constexpr int64_t kMinBlock = 64, kMaxBlock = 512;  // tokens; below it products are too thin, above it buffers leave the cache
constexpr int64_t kMaxTasks = 16;                   // stretches of tokens in all: bounds the memory of the partial sums

// How a problem is cut. Depends on shapes only, never on the number of threads.
class Blocks {
 public:
  Blocks(const LinearAttentionInputs& in, const FeatureMapConfig& map)
      : map(map),
        B(in.q.size(0)),
        N(in.q.size(1)),
        H(in.q.size(2)),
        D(in.q.size(3)),
        R(feature_dim(map, D, in.w_q.defined() ? in.w_q.size(2) : 0)),
        options(in.q.options().dtype(accumulator_type(in.q.scalar_type()))),
        valid_(B, N) {
    block_ = std::clamp(kBlockElements / (H * D) / kMinBlock * kMinBlock, kMinBlock, kMaxBlock);
    const int64_t num_blocks = (N + block_ - 1) / block_;
    const int64_t wanted = std::clamp<int64_t>(kMaxTasks / B, 1, num_blocks);
    stretch_ = (num_blocks + wanted - 1) / wanted * block_;
    num_stretches = (N + stretch_ - 1) / stretch_;
    if (in.num_valid.defined()) {
      const at::Tensor counts = in.num_valid.cpu();
      for (int64_t b = 0; b < B; ++b) valid_[b] = counts[b].item<int64_t>();
    }
    if (in.w_q.defined()) {
      w_q = in.w_q.to(options.dtype()).contiguous();
      w_k = in.w_k.to(options.dtype()).contiguous();
    }
  }

  // task(b, s) for every sample and stretch.
  template <class Task>
  void for_each_task(const Task& task) const {
    const auto run = [&](int64_t begin, int64_t end) {
      const at::AutoDispatchBelowADInplaceOrView below_autograd;  // this thread's own, not inherited
      const OneThreadProducts one_thread;
      for (int64_t i = begin; i < end; ++i) task(i / num_stretches, i % num_stretches);
    };
    if (options.device().is_cpu()) at::parallel_for(0, B * num_stretches, 1, run);
    else run(0, B * num_stretches);
  }
  // body(first, count) for every block of valid tokens in stretch s of sample b.
  template <class Body>
  void for_each_block(int64_t b, int64_t s, const Body& body) const {
    const int64_t end = std::min(valid_[b], (s + 1) * stretch_);
    for (int64_t first = s * stretch_; first < end; first += block_) body(first, std::min(block_, end - first));
  }

  // Tokens first .. first + count of sample b as they lie, [count, H, D], and with heads first, [H, count, D].
  static at::Tensor rows(const at::Tensor& x, int64_t b, int64_t first, int64_t count) { return x.select(0, b).narrow(0, first, count); }
  static at::Tensor view(const at::Tensor& x, int64_t b, int64_t first, int64_t count) { return rows(x, b, first, count).transpose(0, 1); }
  // The same in the accumulator dtype and always in one layout, so that results do not depend on the strides of x. Not to
  // be written to: it is x itself where dtype and layout are right.
  at::Tensor load(const at::Tensor& x, int64_t b, int64_t first, int64_t count) const {
    return rows(x, b, first, count).to(options.dtype()).contiguous().transpose(0, 1);
  }
  // A result [B, N, H, D] whose rows of padding are 0 and whose others are still to be written.
  at::Tensor empty_rows(at::ScalarType dtype) const {
    at::Tensor rows = at::empty({B, N, H, D}, options.dtype(dtype));
    for (int64_t b = 0; b < B; ++b)
      if (valid_[b] < N) rows.select(0, b).narrow(0, valid_[b], N - valid_[b]).zero_();
    return rows;
  }
  at::Tensor partial_sums(at::IntArrayRef shape) const {  // [B, stretches, ...shape]
    std::vector<int64_t> sizes = {B, num_stretches};
    sizes.insert(sizes.end(), shape.begin(), shape.end());
    return at::zeros(sizes, options);
  }
  // Adds the stretches in their order: [B, stretches, ...] -> [B, ...].
  static at::Tensor add_stretches(const at::Tensor& parts) {
    if (parts.device().is_cpu() && parts.scalar_type() == at::kFloat) return add_stretches_of<float>(parts);
    if (parts.device().is_cpu() && parts.scalar_type() == at::kDouble) return add_stretches_of<double>(parts);
    at::Tensor sum = parts.select(1, 0).contiguous();
    for (int64_t s = 1; s < parts.size(1); ++s) sum.add_(parts.select(1, s));
    return sum;
  }
  template <class T>
  static at::Tensor add_stretches_of(const at::Tensor& parts) {
    const at::Tensor sum = at::empty_like(parts.select(1, 0), at::MemoryFormat::Contiguous);
    const int64_t num_stretches = parts.size(1), elements = sum.numel() / parts.size(0);
    const T* const from = parts.const_data_ptr<T>();
    T* const to = sum.mutable_data_ptr<T>();
    at::parallel_for(0, parts.size(0) * elements, 1 << 12, [&](int64_t begin, int64_t end) {
      while (begin < end) {  // one sample at a time
        const int64_t b = begin / elements, first = begin % elements, count = std::min(end - begin, elements - first);
        const T* const of_sample = from + b * num_stretches * elements + first;
        std::copy_n(of_sample, count, to + begin);
        for (int64_t s = 1; s < num_stretches; ++s)
#pragma omp simd
          for (int64_t i = 0; i < count; ++i) to[begin + i] += of_sample[s * elements + i];
        begin += count;
      }
    });
    return sum;
  }
  // The same over samples too, for what they share: [B, stretches, ...] -> [...].
  static at::Tensor add_all(const at::Tensor& parts) { return add_stretches(parts.flatten(0, 1).unsqueeze(0)).select(0, 0); }

  double floor(int64_t b) const { return feature_map_eps(map) * static_cast<double>(valid_[b]); }
  int64_t num_valid(int64_t b) const { return valid_[b]; }
  bool has_valid(int64_t b) const { return valid_[b] > 0; }

  const FeatureMapConfig& map;
  const int64_t B, N, H, D, R;
  const at::TensorOptions options;  // of the accumulators
  int64_t num_stretches = 1;
  at::Tensor w_q, w_k;  // [H, D, P] in the accumulator dtype, or undefined

 private:
  std::vector<int64_t> valid_;  // [B]
  int64_t block_ = 0, stretch_ = 0;
};

at::Tensor at_sample(const at::Tensor& x, int64_t b) { return x.defined() ? x.select(0, b) : x; }
at::Tensor at_task(const at::Tensor& parts, int64_t b, int64_t s) { return parts.defined() ? parts.select(0, b).select(0, s) : parts; }

// phi z of every row: [H, T, R], [H, R, 1] -> [H, T, 1]. A product with one column is four times slower than this in MKL.
at::Tensor times_sum(const at::Tensor& phi, const at::Tensor& z) { return (phi * z.transpose(1, 2)).sum(-1, true); }

// out = numerator / max(phi z, floor), row by row: out and numerator [H, T, D], phi [H, T, R], z [H, R, 1].
constexpr int64_t kLanes = 16;
template <class T>
void divide_rows(at::Tensor& out, const at::Tensor& numerator, const at::Tensor& phi, const at::Tensor& z, T floor) {
  const int64_t H = phi.size(0), num_tokens = phi.size(1), R = phi.size(2), D = out.size(2);
  struct Strides {
    int64_t head, token;
    explicit Strides(const at::Tensor& x) : head(x.stride(0)), token(x.stride(1)) {}
    int64_t at(int64_t h, int64_t t) const { return h * head + t * token; }
  };
  const Strides of_phi(phi), of_numerator(numerator), of_out(out);
  const T *const first_feature = phi.const_data_ptr<T>(), *const first_numerator = numerator.const_data_ptr<T>(), *const first_sum = z.const_data_ptr<T>();
  T* const first_out = out.mutable_data_ptr<T>();
  const int64_t sums_stride = z.stride(0);
  for (int64_t t = 0; t < num_tokens; ++t) {  // as the output lies
    for (int64_t h = 0; h < H; ++h) {
      const T *const features = first_feature + of_phi.at(h, t), *const sums = first_sum + h * sums_stride,
                     *const from = first_numerator + of_numerator.at(h, t);
      T* const to = first_out + of_out.at(h, t);
      T parts[kLanes] = {};  // sums that do not wait for each other
      int64_t r = 0;
      for (; r + kLanes <= R; r += kLanes)
#pragma omp simd
        for (int64_t lane = 0; lane < kLanes; ++lane) parts[lane] += features[r + lane] * sums[r + lane];
      for (; r < R; ++r) parts[r % kLanes] += features[r] * sums[r];
      T denominator = 0;
      for (const T part : parts) denominator += part;
      const T scale = 1 / std::max(denominator, floor);
#pragma omp simd
      for (int64_t d = 0; d < D; ++d) to[d] = from[d] * scale;
    }
  }
}

// The last step of the forward pass. LibTorch's division by a column reads and writes rows of D one by one, and takes as long as a matrix product.
void write_quotient(at::Tensor out, const at::Tensor& numerator, const at::Tensor& phi, const at::Tensor& z, double floor) {
  const bool rows_lie = out.device().is_cpu() && phi.stride(2) == 1 && numerator.stride(2) == 1 && out.stride(2) == 1 && z.stride(1) == 1 &&
                        numerator.scalar_type() == out.scalar_type();
  if (rows_lie && out.scalar_type() == at::kFloat) divide_rows<float>(out, numerator, phi, z, static_cast<float>(floor));
  else if (rows_lie && out.scalar_type() == at::kDouble) divide_rows<double>(out, numerator, phi, z, floor);
  else at::div_out(out, numerator, times_sum(phi, z).clamp_min_(floor));
}

// max over the valid tokens, exact in any order: [B, H, 1, D]; 0 for a sample without any.
at::Tensor key_maxima(const Blocks& blocks, const at::Tensor& k) {
  const at::Tensor maxima = at::zeros({blocks.B, blocks.H, 1, blocks.D}, blocks.options);
  for (int64_t b = 0; b < blocks.B; ++b)
    if (blocks.has_valid(b)) maxima.select(0, b).select(1, 0).copy_(k.select(0, b).narrow(0, 0, blocks.num_valid(b)).amax(0));
  return maxima;
}

// S and z.
void sum_keys(const Blocks& blocks, const LinearAttentionInputs& in, LinearAttentionForward& result) {
  const at::Tensor states = blocks.partial_sums({blocks.H, blocks.R, blocks.D}), sums = blocks.partial_sums({blocks.H, blocks.R, 1});
  blocks.for_each_task([&](int64_t b, int64_t s) {
    at::Tensor state = at_task(states, b, s), sum = at_task(sums, b, s);
    blocks.for_each_block(b, s, [&](int64_t first, int64_t count) {
      const at::Tensor phi = key_features(blocks.map, blocks.load(in.k, b, first, count), blocks.w_k, at_sample(result.key_shift, b));
      state.baddbmm_(phi.transpose(1, 2), blocks.load(in.v, b, first, count));
      sum.add_(phi.sum(1).unsqueeze(-1));
    });
  });
  result.state = Blocks::add_stretches(states);
  result.key_sum = Blocks::add_stretches(sums);
}

// dq, dW_q, and the gradients of S and z.
struct QueryGradients {
  at::Tensor q, w, state, key_sum;
};
QueryGradients query_gradients(const Blocks& blocks, const at::Tensor& grad_out, const LinearAttentionInputs& in, const LinearAttentionForward& saved) {
  QueryGradients grads;
  grads.q = blocks.empty_rows(in.q.scalar_type());
  const at::Tensor states = blocks.partial_sums({blocks.H, blocks.R, blocks.D}), sums = blocks.partial_sums({blocks.H, blocks.R, 1});
  const at::Tensor projections = blocks.w_q.defined() ? blocks.partial_sums(blocks.w_q.sizes()) : at::Tensor();
  blocks.for_each_task([&](int64_t b, int64_t s) {
    const at::Tensor S = saved.state[b], z = saved.key_sum[b];
    at::Tensor grad_S = at_task(states, b, s), grad_z = at_task(sums, b, s), grad_w = at_task(projections, b, s);
    blocks.for_each_block(b, s, [&](int64_t first, int64_t count) {
      const at::Tensor q = blocks.load(in.q, b, first, count);
      const at::Tensor phi = query_features(blocks.map, q, blocks.w_q, at_sample(saved.key_shift, b));
      const at::Tensor raw = times_sum(phi, z), denominator = raw.clamp_min(blocks.floor(b));  // [H, T, 1]
      const at::Tensor grad_numerator = blocks.load(grad_out, b, first, count) / denominator;  // dN = dO / den
      const at::Tensor grad_denominator =
          (grad_numerator * at::bmm(phi, S)).sum(-1, true).div_(denominator).neg_().mul_(raw.ge(blocks.floor(b)));  // 0 on the floor
      const at::Tensor grad_phi = at::bmm(grad_numerator, S.transpose(1, 2)).addcmul_(grad_denominator, z.transpose(1, 2));
      grad_S.baddbmm_(phi.transpose(1, 2), grad_numerator);
      grad_z.add_((phi * grad_denominator).sum(1).unsqueeze(-1));
      Blocks::view(grads.q, b, first, count).copy_(feature_gradient(blocks.map, q, blocks.w_q, phi, grad_phi, grad_w));
    });
  });
  grads.state = Blocks::add_stretches(states);
  grads.key_sum = Blocks::add_stretches(sums);
  if (projections.defined()) grads.w = Blocks::add_all(projections).to(in.w_q.scalar_type());
  return grads;
}

}  // namespace

LinearAttentionForward linear_attention_forward_blocked(const LinearAttentionInputs& in, const FeatureMapConfig& map) {
  const Blocks blocks(in, map);
  LinearAttentionForward result;
  if (std::holds_alternative<ExpMapConfig>(map)) result.key_shift = key_maxima(blocks, in.k);
  sum_keys(blocks, in, result);
  result.out = blocks.empty_rows(in.q.scalar_type());
  blocks.for_each_task([&](int64_t b, int64_t s) {
    blocks.for_each_block(b, s, [&](int64_t first, int64_t count) {
      const at::Tensor phi = query_features(map, blocks.load(in.q, b, first, count), blocks.w_q, at_sample(result.key_shift, b));
      write_quotient(Blocks::view(result.out, b, first, count), at::bmm(phi, result.state[b]), phi, result.key_sum[b], blocks.floor(b));
    });
  });
  return result;
}

LinearAttentionGradients linear_attention_backward_blocked(const at::Tensor& grad_out, const LinearAttentionInputs& in, const FeatureMapConfig& map,
                                                           const LinearAttentionForward& saved) {
  const Blocks blocks(in, map);
  const QueryGradients query = query_gradients(blocks, grad_out, in, saved);
  LinearAttentionGradients grads{query.q, blocks.empty_rows(in.k.scalar_type()), blocks.empty_rows(in.v.scalar_type()), query.w, {}};
  const at::Tensor projections = blocks.w_k.defined() ? blocks.partial_sums(blocks.w_k.sizes()) : at::Tensor();
  blocks.for_each_task([&](int64_t b, int64_t s) {
    const at::Tensor grad_S = query.state[b], grad_z = query.key_sum[b].transpose(1, 2);  // [H, R, D], [H, 1, R]
    at::Tensor grad_w = at_task(projections, b, s);
    blocks.for_each_block(b, s, [&](int64_t first, int64_t count) {
      const at::Tensor k = blocks.load(in.k, b, first, count);
      const at::Tensor phi = key_features(map, k, blocks.w_k, at_sample(saved.key_shift, b));
      const at::Tensor grad_phi = at::bmm(blocks.load(in.v, b, first, count), grad_S.transpose(1, 2)).add_(grad_z);
      Blocks::view(grads.v, b, first, count).copy_(at::bmm(phi, grad_S));
      Blocks::view(grads.k, b, first, count).copy_(feature_gradient(map, k, blocks.w_k, phi, grad_phi, grad_w));
    });
  });
  if (projections.defined()) grads.w_k = Blocks::add_all(projections).to(in.w_k.scalar_type());
  return grads;
}

at::Tensor linear_attention_denominators(const LinearAttentionInputs& in, const FeatureMapConfig& map, const LinearAttentionForward& saved) {
  const Blocks blocks(in, map);
  at::Tensor result = at::ones({blocks.B, blocks.N, blocks.H, 1}, blocks.options);
  blocks.for_each_task([&](int64_t b, int64_t s) {
    blocks.for_each_block(b, s, [&](int64_t first, int64_t count) {
      const at::Tensor phi = query_features(map, blocks.load(in.q, b, first, count), blocks.w_q, at_sample(saved.key_shift, b));
      Blocks::view(result, b, first, count).copy_(times_sum(phi, saved.key_sum[b]));
    });
  });
  return result.squeeze(-1);
}

}  // namespace linden
