#include "core/files.h"
#include "tests/fuzz/worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstring>

#include "core/error.h"

namespace linden::fuzz {
namespace {

constexpr uint64_t kBatch = 20'000;          // inputs a worker
constexpr int kHung = 77;                    // exit status of a worker that sat on one input
constexpr int kHangSeconds = 2;              // of CPU time
constexpr rlim_t kMemory = rlim_t{2} << 30;  // address space beyond what the worker starts with
constexpr bool kAddressSanitizer =
#ifdef __SANITIZE_ADDRESS__
    true;
#else
    false;
#endif

Progress* shared = nullptr;
volatile sig_atomic_t ticks_on_input = 0;
uint64_t last_number = 0;

std::span<const std::byte> bytes_of(const std::string& text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }

// Each second of CPU time: still the same input?
void on_tick(int) {
  ticks_on_input = shared->number == last_number ? ticks_on_input + 1 : 0;
  last_number = shared->number;
  if (ticks_on_input > kHangSeconds) ::_exit(kHung);
}

void limit_worker() {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::signal(SIGPROF, on_tick);
  const itimerval second{{1, 0}, {1, 0}};
  ::setitimer(ITIMER_PROF, &second, nullptr);
  if (kAddressSanitizer) return;  // has limits of its own (fuzz.cpp)
  const std::string pages = read_text_file("/proc/self/statm");
  const rlim_t limit = std::stoull(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + kMemory;
  const rlimit memory{limit, limit};
  ::setrlimit(RLIMIT_AS, &memory);
}

// "…/fd/5: tensor 'x' has 3 …" -> "tensor * has # …": without the file, quoted names, numbers.
std::string refusal_class(std::string_view message) {
  if (message.starts_with("/")) message.remove_prefix(std::min(message.find(": ") + 2, message.size()));
  std::string text;
  for (size_t i = 0; i < message.size() && text.size() < sizeof RefusalClass::text - 1; ++i) {
    const char c = message[i];
    if (c == '\'' || c == '"') {
      const size_t end = message.find(c, i + 1);
      text += '*';
      if (end == std::string_view::npos) break;
      i = end;
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      if (text.empty() || text.back() != '#') text += '#';
    } else {
      text += c >= 0x20 && c < 0x7f ? c : '?';
    }
  }
  return text;
}

void count_refusal(const std::string& message) {
  ++shared->refused;
  const std::string text = refusal_class(message);
  for (uint64_t i = 0; i < shared->num_classes; ++i) {
    if (text == shared->classes[i].text) {
      ++shared->classes[i].count;
      return;
    }
  }
  if (shared->num_classes == Progress::kMaxClasses) {
    ++shared->other_refusals;
    return;
  }
  RefusalClass& added = shared->classes[shared->num_classes++];
  std::strncpy(added.text, text.c_str(), sizeof added.text - 1);
  added.count = 1;
}

void report_finding(const Target& target, const Options& options, const std::string& input, const std::string& what) {
  ++shared->findings;
  std::filesystem::create_directories(options.findings);
  const auto file = options.findings / fmt::format("{}-{}-{}", target.name, options.seed, shared->number);
  write_file_atomically(file, input);
  fmt::print("FINDING {}: input {} (seed {}): {}\n  bytes: {}\n", target.name, shared->number, options.seed, what, file.string());
  std::fflush(stdout);
}

void run_input(const Target& target, const Options& options, const std::string& input, bool isolated) {
  try {
    (isolated ? target.isolated : target.read)(bytes_of(input));
    ++shared->accepted;
  } catch (const InputError& error) { count_refusal(error.what()); } catch (const std::exception& error) {
    report_finding(target, options, input, fmt::format("neither accepted nor refused as InputError: {}", error.what()));
  }
}

// Inputs from shared->number to `end`. Its stderr goes to a file: sanitizers write there.
[[noreturn]] void work(const Target& target, const Options& options, const std::vector<std::string>& seeds, uint64_t end, bool isolated,
                       const std::filesystem::path& log) {
  const int descriptor = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  ::dup2(descriptor, STDERR_FILENO);
  limit_worker();
  for (; shared->number < end; ++shared->number) { run_input(target, options, make_input(target, seeds, options.seed, shared->number), isolated); }
  ::_exit(0);
}

// The wait status of a worker over [shared->number, end).
int run_worker(const Target& target, const Options& options, const std::vector<std::string>& seeds, uint64_t end, bool isolated,
               const std::filesystem::path& log) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) work(target, options, seeds, end, isolated, log);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return status;
}

std::string ending(int status, const std::string& log) {
  if (WIFSIGNALED(status)) return fmt::format("crash ({})", strsignal(WTERMSIG(status)));
  if (WEXITSTATUS(status) == kHung) return fmt::format("hang: more than {} s on one input", kHangSeconds);
  const size_t summary = log.find("ERROR: ");
  const size_t runtime = log.find("runtime error: ");
  const size_t at = summary != std::string::npos ? summary : runtime;
  return at == std::string::npos ? fmt::format("exit status {}", WEXITSTATUS(status)) : log.substr(at, log.find('\n', at) - at);
}

// Whether the sanitizer's first frame inside the library or this program is the library's.
bool is_of_library(const Target& target, int status, const std::string& log) {
  if (target.library.empty()) return false;
  if (WIFSIGNALED(status) || WEXITSTATUS(status) == kHung) return true;  // the reader's own process must contain it: tried below
  const size_t library = log.find(target.library), ours = log.find("/fuzz+");
  return library != std::string::npos && library < ours;
}

// A worker died on shared->number.
void handle_death(const Target& target, const Options& options, const std::vector<std::string>& seeds, int status, const std::filesystem::path& log_file) {
  const uint64_t number = shared->number;
  const std::string log = read_text_file(log_file), input = make_input(target, seeds, options.seed, number);
  const std::string what = ending(status, log);
  if (!is_of_library(target, status, log)) {
    report_finding(target, options, input, what + "\n" + log.substr(0, 4000));
  } else {
    // Read or refused there: where it is read, an earlier input had spoilt the library's memory in the worker.
    const uint64_t findings = shared->findings;
    const int again = run_worker(target, options, seeds, number + 1, /*isolated=*/true, log_file);
    shared->number = number;
    if (again == 0 && shared->findings == findings) {
      ++shared->contained;
      fmt::print("contained {}: input {} (seed {}): {}\n", target.name, number, options.seed, what);
    } else {
      report_finding(target, options, input, what + ", which the reader's own process did not contain");
    }
  }
  shared->number = number + 1;
}

}  // namespace

std::vector<std::string> read_seeds(const Target& target) {
  std::vector<std::string> seeds;
  for (const std::string& file : target.seeds) seeds.push_back(read_text_file(file));
  return seeds;
}

std::string make_input(const Target& target, const std::vector<std::string>& seeds, uint64_t seed, uint64_t number) {
  Mutator mutator(seed, number);
  std::string input = seeds[mutator.below(seeds.size())];
  const std::string& other = seeds[mutator.below(seeds.size())];
  if (target.structured && mutator.one_in(2)) return target.structured(mutator, std::move(input), other);
  mutator.mutate(input, other, target.dictionary);
  return input;
}

void run_target(const Target& target, const Options& options, Progress& progress) {
  const std::vector<std::string> seeds = read_seeds(target);
  for (const std::string& seed : seeds) {  // sound files are read; and what stays for all workers is made
    target.read(bytes_of(seed));
    if (target.isolated) target.isolated(bytes_of(seed));
  }
  shared = &progress;
  shared->number = options.first;
  const auto log = std::filesystem::temp_directory_path() / fmt::format("linden_fuzz_{}.log", ::getpid());
  const uint64_t last = options.first + options.inputs;
  while (shared->number < last) {
    const uint64_t end = std::min(last, (shared->number / kBatch + 1) * kBatch);
    const int status = run_worker(target, options, seeds, end, /*isolated=*/false, log);
    if (status != 0) handle_death(target, options, seeds, status, log);
  }
  std::filesystem::remove(log);
}

}  // namespace linden::fuzz
