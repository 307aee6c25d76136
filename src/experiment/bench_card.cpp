#include "experiment/bench_card.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <cstdio>

#include "core/device.h"
#include "core/environment.h"
#include "core/error.h"
#include "ops/philox_normal.h"

namespace linden {
namespace {

// cuDNN counts 9.19.0 as 91900, and 8.9.2 as 8902.
std::string cudnn_version() {
  const auto& hooks = at::detail::getCUDAHooks();
  if (!hooks.hasCuDNN()) return "";
  const long number = hooks.versionRuntimeCuDNN(), thousand = number >= 90000 ? 10000 : 1000;
  return fmt::format("{}.{}.{}", number / thousand, number % thousand / 100, number % 100);
}

}  // namespace

void visit_fields(FieldVisitor& v, CardState& c) {
  visit(v, Field("device", "card or CPU"), c.device);
  visit(v, Field("libtorch", "LibTorch version"), c.libtorch);
  visit(v, Field("cuda", "CUDA version of the build; empty: none"), c.cuda);
  visit(v, Field("cudnn", "cuDNN version; empty: none"), c.cudnn);
  visit(v, Field("clocks_before", "right after the rates were measured: SM and memory clock, their maxima, power, its limit, temperature, driver"),
        c.clocks_before);
  visit(v, Field("clocks_after", "the same after the run"), c.clocks_after);
}

std::string clocks_and_power(at::Device device) {
  if (!device.is_cuda()) return "";
  const std::string command = fmt::format(
      "nvidia-smi -i {} --query-gpu=clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.draw,power.limit,temperature.gpu,driver_version "
      "--format=csv,noheader 2>/dev/null",
      static_cast<int>(device.index()));
  std::FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return "";
  char text[512] = {};
  const size_t length = std::fread(text, 1, sizeof text - 1, pipe);
  const int status = pclose(pipe);
  const std::string line(text, length);
  return status == 0 ? line.substr(0, line.find('\n')) : "";
}

CardState card_state(at::Device device) {
  const Environment environment = current_environment();
  return {device_name(device), environment.libtorch, environment.cuda, device.is_cuda() ? cudnn_version() : "", "", ""};
}

double measure_copy_rate(const DeviceClock& clock, int64_t megabytes) {
  const at::Tensor from = at::ones({megabytes * 1'000'000 / 4}, at::TensorOptions().dtype(at::kFloat).device(clock.device())), to = at::empty_like(from);
  const CallTiming timing = clock.time([&](int64_t) {
    to.copy_(from);
    return std::vector<at::Tensor>();
  });
  return 2 * static_cast<double>(from.nbytes()) / timing.us * 1e-3;
}

double measure_gemm_rate(const DeviceClock& clock, int64_t m, int64_t n, int64_t k, at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  // A card draws less power, and so runs faster, on constant data: the operands are normal.
  const auto random = [&](int64_t index, int64_t rows, int64_t columns) {
    const at::Tensor one = at::full({1}, index, at::TensorOptions().dtype(at::kLong).device(clock.device()));
    return philox_normal(0, Purpose::kData, one, at::zeros_like(one), {rows, columns})[0].to(dtype);
  };
  const at::Tensor a = random(0, m, k), b = random(1, n, k);
  const CallTiming timing = clock.time([&](int64_t) { return std::vector<at::Tensor>{at::matmul(a, b.t())}; });
  return 2 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / timing.us * 1e-6;
}

at::ScalarType bench_dtype_of(const std::string& name) {
  if (name == "float16") return at::kHalf;
  return name == "float32" ? at::kFloat : at::kBFloat16;
}

}  // namespace linden
