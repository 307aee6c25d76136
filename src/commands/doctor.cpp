// linden doctor: versions, cards, what is built in, folders, and a self-test of the arithmetic.
#include <ATen/ATen.h>
#include <H5public.h>
#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#if defined(LINDEN_HAS_CUDA)
#include <cuda_runtime_api.h>
#endif

#include "commands/command.h"
#include "core/device.h"
#include "core/environment.h"
#include "core/error.h"
#include "core/random.h"
#include "data/digits.h"
#include "io/archive.h"
#include "io/mp4.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr double kLeastFreeGiB = 1.0;  // below this a run's checkpoints may not fit

void row(const std::string& name, const std::string& text) { fmt::print("{:<14}{}\n", name, text); }

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

// "driver CUDA 13.0, runtime 13.0", or why there is no card.
std::string cuda_text(const Environment& environment) {
#if defined(LINDEN_HAS_CUDA)
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const std::string built = fmt::format("kernels built in, runtime {}.{}", runtime / 1000, runtime / 10 % 100);
  if (driver == 0) return built + ", no driver";
  return fmt::format("{}, driver for {}.{}, {} card(s)", built, driver / 1000, driver / 10 % 100, environment.cards.size());
#else
  return fmt::format("kernels not built in{}", environment.cards.empty() ? "" : " (build with a CUDA toolkit to use the cards)");
#endif
}

std::string card_text(int64_t index, const std::string& name) {
#if defined(LINDEN_HAS_CUDA)
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, static_cast<int>(index)) == cudaSuccess)
    return fmt::format("{}, {:.0f} GiB, compute capability {}.{}, {} multiprocessors", name, static_cast<double>(properties.totalGlobalMem) / kGiB,
                       properties.major, properties.minor, properties.multiProcessorCount);
#endif
  return fmt::format("{} (cuda:{})", name, index);
}

std::string data_text() {
  const fs::path folder = data_folder();
  std::error_code error;
  std::string names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (entry.is_directory()) names += (names.empty() ? "" : ", ") + entry.path().filename().string();
  if (names.empty()) return fmt::format("none at {} (set LINDEN_DATA; the demo and the tests do without)", folder.string());
  return fmt::format("{} ({})", folder.string(), names);
}

// Free space where runs go; asked of the nearest folder that exists.
std::string space_text(const fs::path& output, bool& enough) {
  fs::path folder = fs::absolute(output);
  while (!fs::exists(folder) && folder.has_parent_path() && folder != folder.parent_path()) folder = folder.parent_path();
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) {
    enough = false;
    return fmt::format("{}: {}", output.string(), error.message());
  }
  const double free_gib = static_cast<double>(space.available) / kGiB;
  enough = free_gib >= kLeastFreeGiB;
  return fmt::format("{}: {:.1f} GiB free{}", output.string(), free_gib,
                     enough ? "" : fmt::format(", fewer than {} GiB: free some, or choose another --output", kLeastFreeGiB));
}

// --- self-test ------------------------------------------------------------------------------------

// The first known answer of the Random123 library (kat_vectors: philox4x32, 10 rounds, all zeros).
void test_random_stream() {
  const std::array<uint32_t, 4> expected = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, got = philox({0, 0, 0, 0}, 0);
  if (got != expected) throw std::runtime_error(fmt::format("philox(0, 0) is {:08x}, expected {:08x}", fmt::join(got, " "), fmt::join(expected, " ")));
}

// A convolution and a matrix product with their gradients, as one number for each entry.
at::Tensor small_network(at::Device device, at::ScalarType dtype) {
  const std::vector<int64_t> indices = {0, 1}, steps = {0, 0};
  const auto options = at::TensorOptions().device(device).dtype(dtype);
  const at::Tensor x = normal_rows(1, Purpose::kEvaluation, indices, steps, {3, 16, 16}).to(options).requires_grad_(true);  // [B, C, Y, X]
  const at::Tensor kernel = normal_rows(2, Purpose::kEvaluation, indices, steps, {3, 3, 3}).to(options);
  const at::Tensor projection = normal_rows(3, Purpose::kEvaluation, indices, steps, {256}).to(options);
  const at::Tensor features = at::silu(at::conv2d(x, kernel, {}, 1, 1)).flatten(2);  // [B, C, N]
  const at::Tensor mixed = at::matmul(features, projection.t());
  mixed.pow(2).sum().backward();
  return x.grad();
}

void test_network(at::Device device, at::ScalarType dtype, double tolerance) {
  const at::Tensor reference = small_network(at::kCPU, at::kDouble);
  const at::Tensor got = small_network(device, dtype).to(at::kCPU, at::kDouble);
  const double error = ((got - reference).norm() / reference.norm()).item<double>();
  if (!(error <= tolerance)) throw std::runtime_error(fmt::format("relative error {:.1e}, allowed {:.0e}", error, tolerance));
}

template <class Test>
bool passes(const std::string& name, Test&& test) {
  try {
    test();
    row("self-test", name + ": passed");
    return true;
  } catch (const std::exception& error) {
    const std::string what = error.what();
    row("self-test", fmt::format("{}: FAILED: {}", name, what.substr(0, what.find('\n'))));
    return false;
  }
}

void run_doctor(const CommandLine& line) {
  check_input(line.positional.empty(), "linden doctor: unexpected argument '{}'", line.positional.empty() ? "" : line.positional[0]);
  const Environment environment = current_environment();
  row("linden", fmt::format("{} {}", environment.version, environment.commit.empty() ? "(commit unknown)" : environment.commit));
  row("compiler", fmt::format("{}, {}", environment.compiler, environment.build_type));
  row("LibTorch", environment.libtorch);
  row("HDF5", hdf5_version());
  row("archives", archive_library().empty() ? "not read: built without libarchive (data sets must be unpacked)" : archive_library());
  row("mp4", mp4_library().empty() ? "not written: " + no_mp4_reason() : mp4_library());
  row("CUDA", cuda_text(environment));
  row("CPU", fmt::format("{}, {} core(s)", environment.cpu, environment.cores));
  for (size_t i = 0; i < environment.cards.size(); ++i) row(fmt::format("card {}", i), card_text(static_cast<int64_t>(i), environment.cards[i]));
  row("data folder", data_text());
  bool healthy = true;
  row("output", space_text(line.option("output", "runs"), healthy));

  healthy &= passes("random stream", test_random_stream);
  healthy &= passes("network on the CPU, fp32 against fp64", [] { test_network(at::kCPU, at::kFloat, 1e-5); });
  for (size_t i = 0; i < environment.cards.size(); ++i)
    healthy &= passes(fmt::format("network on card {}, fp64 against the CPU", i),
                      [i] { test_network(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(i)), at::kDouble, 1e-12); });
  if (!healthy) throw std::runtime_error("not healthy: see above");
  row("healthy", "yes");
}

}  // namespace

Command doctor_command() {
  Command command;
  command.name = "doctor";
  command.summary = "versions, cards, what is built in, folders, and a self-test";
  command.usage = "linden doctor [--output FOLDER]";
  command.example = "linden doctor";
  command.own_options = {{"output", "where runs go: its free space is looked at (default: runs)"}};
  command.run = run_doctor;
  return command;
}

}  // namespace linden
