#include "core/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <sched.h>
#include <torch/cuda.h>

#include <algorithm>
#include <fstream>
#include <thread>

#if defined(LINDEN_HAS_CUDA)
#include <ATen/cuda/CUDAContext.h>
#endif

#include "core/error.h"

namespace linden {
namespace {

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  return "unknown CPU";
}

std::string describe_cards(int64_t num_cards) {
  if (num_cards == 0) return "there is no CUDA card that this program can use (no card, no driver, or a LibTorch without CUDA)";
  return num_cards == 1 ? "there is one card, cuda:0" : fmt::format("the cards are cuda:0 .. cuda:{}", num_cards - 1);
}

}  // namespace

int64_t num_cards() { return at::hasCUDA() ? static_cast<int64_t>(torch::cuda::device_count()) : 0; }

at::Device select_device(const std::string& name) {
  if (name == "cpu" || (name == "auto" && num_cards() == 0)) return at::Device(at::kCPU);
  if (name == "auto") return at::Device(at::kCUDA, 0);
  const std::string digits = name.rfind("cuda:", 0) == 0 ? name.substr(5) : name == "cuda" ? "0" : "";
  check_input(!digits.empty() && digits.size() <= 3 && std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }),
              "device is \"{}\", allowed: auto, cpu, cuda, cuda:N", name);
  const int64_t index = std::stoll(digits);
  check_input(index < num_cards(), "device is \"{}\", but {}; use --device cpu or --device auto", name, describe_cards(num_cards()));
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

at::Device set_up_device(const RunConfig& run, Float32Math math) {
  const at::Device device = select_device(run.device);
  const int64_t threads = run.threads > 0 ? run.threads : available_cores();
  at::set_num_threads(static_cast<int>(threads));
  at::globalContext().setAllowTF32CuBLAS(math == Float32Math::kTf32);
  at::globalContext().setAllowTF32CuDNN(math == Float32Math::kTf32);
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setBenchmarkCuDNN(false);
#if defined(LINDEN_HAS_CUDA)
  if (device.is_cuda()) c10::cuda::set_device(device.index());
#endif
  return device;
}

int64_t available_cores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return std::max(1u, std::thread::hardware_concurrency());
}

std::string device_name(at::Device device) {
#if defined(LINDEN_HAS_CUDA)
  if (device.is_cuda()) return at::cuda::getDeviceProperties(device.index())->name;
#endif
  return device.is_cuda() ? "CUDA card " + std::to_string(device.index()) : cpu_model();
}

}  // namespace linden
