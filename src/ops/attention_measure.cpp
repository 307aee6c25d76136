#include "ops/attention_measure.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cctype>
#include <mutex>

#include "core/error.h"

namespace linden {
namespace {

constexpr int kWarmUps = 2, kRepeats = 5;
constexpr double kMaxScoreBytes = 4.0 * (1 << 30);  // what the math back-end may take for [B, H, N, N_kv]

// The flags of the process, with one back-end allowed as long as the object lives.
class OnlyBackend {
 public:
  explicit OnlyBackend(AttentionBackend backend) : lock_(mutex()) {
    at::Context& context = at::globalContext();
    saved_ = {context.userEnabledCuDNNSDP(), context.userEnabledFlashSDP(), context.userEnabledMemEfficientSDP(), context.userEnabledMathSDP()};
    set({backend == AttentionBackend::kCudnn, backend == AttentionBackend::kFlash, backend == AttentionBackend::kEfficient,
         backend == AttentionBackend::kMath});
  }
  ~OnlyBackend() { set(saved_); }
  OnlyBackend(const OnlyBackend&) = delete;
  OnlyBackend& operator=(const OnlyBackend&) = delete;

 private:
  struct Flags {
    bool cudnn, flash, efficient, math;
  };
  static void set(const Flags& flags) {
    at::Context& context = at::globalContext();
    context.setSDPUseCuDNN(flags.cudnn);
    context.setSDPUseFlash(flags.flash);
    context.setSDPUseMemEfficient(flags.efficient);
    context.setSDPUseMath(flags.math);
  }
  static std::mutex& mutex() {
    static std::mutex mutex;
    return mutex;
  }
  std::lock_guard<std::mutex> lock_;
  Flags saved_{};
};

// LibTorch says why a back-end is refused in warnings, those of every back-end after a heading of its own.
class CollectedWarnings : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override { messages_.push_back(warning.msg()); }
  std::string reason_of(AttentionBackend backend) const {
    const std::string heading = backend == AttentionBackend::kEfficient ? "memory efficient" : name_of(backend);
    std::string reason;
    bool ours = false;
    for (const std::string& message : messages_) {
      std::string small = message;
      std::transform(small.begin(), small.end(), small.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      const bool is_heading = small.find("not used because") != std::string::npos;
      if (is_heading) ours = small.starts_with(heading);
      else if (ours) reason += (reason.empty() ? "" : " ") + message.substr(0, message.find(" (Triggered"));
    }
    return reason;
  }

 private:
  std::vector<std::string> messages_;
};

void run_once(AttentionBackend backend, const AttentionOperands& operands, const at::Tensor& cotangent) {
  const at::Tensor out = attention_by(backend, operands);
  if (cotangent.defined()) torch::autograd::grad({out}, {operands.q, operands.k, operands.v}, {cotangent});
}

double median_microseconds(AttentionBackend backend, const AttentionOperands& operands, const at::Tensor& cotangent) {
  const c10::Device device = operands.q.device();
  const c10::Stream stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    c10::Event begin(device.type(), c10::EventFlag::BACKEND_DEFAULT), end(device.type(), c10::EventFlag::BACKEND_DEFAULT);
    begin.record(stream);
    run_once(backend, operands, cotangent);
    end.record(stream);
    end.synchronize();
    times.push_back(1000 * begin.elapsedTime(end));
  }
  std::nth_element(times.begin(), times.begin() + kRepeats / 2, times.end());
  return times[kRepeats / 2];
}

}  // namespace

at::Tensor attention_by(AttentionBackend backend, const AttentionOperands& in) {
  const OnlyBackend only(backend);
  return at::scaled_dot_product_attention(in.q, in.k, in.v, in.mask.defined() ? std::optional(in.mask) : std::nullopt);
}

AttentionMeasurement measure_attention(const AttentionOperands& given, bool gradient) {
  const c10::OptionalDeviceGuard guard(given.q.device());
  const at::AutoGradMode with_gradient(gradient);
  const auto operand = [&](const at::Tensor& x) { return x.detach().requires_grad_(gradient); };
  const AttentionOperands operands{operand(given.q), operand(given.k), operand(given.v), given.mask};
  // As the gradient arrives: laid out as the output is used, [B, N, H, D].
  const at::Tensor cotangent = gradient ? at::ones_like(given.q.transpose(1, 2), at::MemoryFormat::Contiguous).transpose(1, 2) : at::Tensor();
  const double score_bytes =
      static_cast<double>(given.q.numel() / given.q.size(3)) * static_cast<double>(given.k.size(2)) * static_cast<double>(given.q.element_size());
  AttentionMeasurement result;
  for (const AttentionBackend backend : kAttentionBackends) {
    if (backend == AttentionBackend::kMath && score_bytes > kMaxScoreBytes) {
      result.refused[backend] = fmt::format("its scores take {:.1f} GiB", score_bytes / (1 << 30));
      continue;
    }
    CollectedWarnings warnings;
    const c10::WarningUtils::WarningHandlerGuard collect(&warnings);
    try {
      for (int i = 0; i < kWarmUps; ++i) run_once(backend, operands, cotangent);
      result.microseconds[backend] = median_microseconds(backend, operands, cotangent);
    } catch (const c10::Error& error) {
      const std::string reason = warnings.reason_of(backend);
      result.refused[backend] = reason.empty() ? first_line(error.what_without_backtrace()) : reason;
    }
  }
  return result;
}

}  // namespace linden
