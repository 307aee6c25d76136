// Mutated files for every reader: a sound refusal (InputError) or a read, never anything else.
//
//   fuzz [target ...] [--inputs N] [--seed S] [--first K] [--reproduce K] [--classes N]
//
// --reproduce K writes the bytes of input K to runs/fuzz/<target>-<seed>-<K> and reads them in this
// process, where a sanitizer and a debugger see the stack. Exit status 1 after a finding.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>
#include <optional>

#include "core/error.h"
#include "core/files.h"
#include "tests/fuzz/worker.h"

#ifdef __SANITIZE_ADDRESS__
// One allocation of more than 1 GiB for files of some KiB is a finding. Signals end the worker: its parent reports them.
extern "C" const char* __asan_default_options() {
  return "protect_shadow_gap=0:detect_leaks=0:handle_segv=0:handle_abort=0:handle_sigfpe=0:allocator_may_return_null=1:"
         "max_allocation_size_mb=1024:hard_rss_limit_mb=4096:"
         "quarantine_size_mb=4:malloc_context_size=3:symbolize=0";
}
extern "C" const char* __ubsan_default_options() { return "print_stacktrace=1:halt_on_error=1"; }
#endif

namespace {

using namespace linden;
using namespace linden::fuzz;

struct Arguments {
  Options options;
  std::vector<std::string> targets;
  std::optional<uint64_t> reproduce;
  uint64_t classes = 8;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (!name.starts_with("--")) {
      arguments.targets.push_back(name);
      continue;
    }
    check_input(i + 1 < argc, "fuzz: {} needs a number", name);
    const uint64_t value = std::strtoull(argv[++i], nullptr, 10);
    if (name == "--inputs") arguments.options.inputs = value;
    else if (name == "--seed") arguments.options.seed = value;
    else if (name == "--first") arguments.options.first = value;
    else if (name == "--reproduce") arguments.reproduce = value;
    else if (name == "--classes") arguments.classes = value;
    else throw InputError("fuzz: unknown option " + name + "; known: --inputs, --seed, --first, --reproduce, --classes");
  }
  return arguments;
}

std::vector<Target> chosen_targets(const std::vector<std::string>& names) {
  std::vector<Target> all = all_targets(), chosen;
  if (names.empty()) return all;
  for (const std::string& name : names) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const Target& target) { return target.name == name; });
    std::string known;
    for (const Target& target : all) known += " " + target.name;
    check_input(found != all.end(), "fuzz: no target {}; known:{}", name, known);
    chosen.push_back(*found);
  }
  return chosen;
}

void reproduce(const Target& target, const Options& options, uint64_t number) {
  const std::string input = make_input(target, read_seeds(target), options.seed, number);
  std::filesystem::create_directories(options.findings);
  const auto file = options.findings / fmt::format("{}-{}-{}", target.name, options.seed, number);
  write_file_atomically(file, input);
  fmt::print("{}: input {} has {} bytes: {}\n", target.name, number, input.size(), file.string());
  std::fflush(stdout);
  try {
    target.read({reinterpret_cast<const std::byte*>(input.data()), input.size()});
    fmt::print("accepted\n");
  } catch (const InputError& error) { fmt::print("refused: {}\n", error.what()); }
}

void print_result(const Target& target, Progress& progress, uint64_t inputs, double seconds, uint64_t classes) {
  fmt::print("| {} | {} | {:.0f} | {:.0f} | {} | {} | {} | {} | {} |\n", target.name, inputs, seconds, static_cast<double>(inputs) / seconds, progress.accepted,
             progress.refused, progress.num_classes, progress.contained, progress.findings);
  std::sort(progress.classes, progress.classes + progress.num_classes, [](const RefusalClass& a, const RefusalClass& b) { return a.count > b.count; });
  for (uint64_t i = 0; i < std::min(progress.num_classes, classes); ++i) fmt::print("  {:8}  {}\n", progress.classes[i].count, progress.classes[i].text);
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  at::set_num_threads(1);
  void* memory = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  uint64_t findings = 0;
  if (!arguments.reproduce) fmt::print("| target | inputs | s | inputs/s | accepted | refused | classes of refusal | library crashes contained | findings |\n");
  for (const Target& target : chosen_targets(arguments.targets)) {
    if (arguments.reproduce) {
      reproduce(target, arguments.options, *arguments.reproduce);
      continue;
    }
    auto* progress = new (memory) Progress;
    const auto start = std::chrono::steady_clock::now();
    run_target(target, arguments.options, *progress);
    print_result(target, *progress, arguments.options.inputs, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
                 arguments.classes);
    findings += progress->findings;
  }
  return findings > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
