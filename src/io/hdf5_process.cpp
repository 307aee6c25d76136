#include "io/hdf5_process.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "io/hdf5_file.h"

namespace linden {
namespace {

constexpr uint64_t kMaxAnswer = uint64_t{1} << 30;                                    // bytes; arrays travel apart
constexpr uint64_t kCpuSeconds = 5, kBytesASecond = 10 << 20;                         // a damaged file may send HDF5 round in circles
constexpr size_t kMaxRank = 32;                                                       // HDF5's own
constexpr char kNames = 'n', kArray = 'a', kText = 't', kInteger = 'i', kReal = 'r';  // the first byte of a question
constexpr char kFine = '+', kInput = '-', kOther = '!';                               // the first byte of an answer

// What stands in front of an array's elements.
struct ArrayHeader {
  int64_t dtype = 0, rank = 0;
  uint64_t num_bytes = 0;
  int64_t shape[kMaxRank] = {};
};

// --- messages: 8 bytes of length, then the bytes -----------------------------------------------------

bool send_all(int socket, const void* bytes, size_t count) {
  const char* rest = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t sent = ::send(socket, rest, count, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    rest += sent;
    count -= static_cast<size_t>(sent);
  }
  return true;
}

bool receive_all(int socket, void* bytes, size_t count) {
  char* rest = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t got = ::recv(socket, rest, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    rest += got;
    count -= static_cast<size_t>(got);
  }
  return true;
}

bool send_message(int socket, const std::string& message) {
  const uint64_t size = message.size();
  return send_all(socket, &size, sizeof size) && send_all(socket, message.data(), message.size());
}

std::optional<std::string> receive_message(int socket) {
  uint64_t size = 0;
  if (!receive_all(socket, &size, sizeof size) || size > kMaxAnswer) return std::nullopt;
  std::string message(size, '\0');
  if (!receive_all(socket, message.data(), message.size())) return std::nullopt;
  return message;
}

template <class Value>
std::string bytes_of(const Value& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class Value>
std::optional<Value> value_of(const std::string& bytes) {
  Value value;
  if (bytes.size() != sizeof value) return std::nullopt;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// --- the child --------------------------------------------------------------------------------------

std::string read_array(const Hdf5File& file, const std::string& name, int data) {
  const Hdf5Array array = file.open(name);
  ArrayHeader header;
  header.dtype = static_cast<int64_t>(array.dtype);
  header.rank = static_cast<int64_t>(array.shape.size());
  header.num_bytes = array.num_bytes;
  std::copy(array.shape.begin(), array.shape.end(), header.shape);
  if (array.num_bytes == 0) return bytes_of(header);
  if (::ftruncate(data, static_cast<off_t>(array.num_bytes)) != 0) throw std::bad_alloc();
  void* target = ::mmap(nullptr, array.num_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, data, 0);
  if (target == MAP_FAILED) throw std::bad_alloc();
  try {
    file.read(name, array, target);
  } catch (const InputError&) {
    ::munmap(target, array.num_bytes);
    throw;
  }
  ::munmap(target, array.num_bytes);
  return bytes_of(header);
}

std::string joined_names(const Hdf5File& file) {
  std::string names;
  for (const std::string& name : file.names()) names += name + '\0';
  return names;
}

std::string answer(std::optional<Hdf5File>& file, const std::filesystem::path& path, const std::string& message, int data) {
  const std::string name = message.substr(1);
  if (!file) file.emplace(path);
  switch (message.front()) {
    case kNames: return joined_names(*file);
    case kArray: return read_array(*file, name, data);
    case kText: return file->text_attribute(name);
    case kInteger: return bytes_of(file->integer_attribute(name));
    case kReal: return bytes_of(file->real_attribute(name));
    default: throw std::logic_error("unknown question");
  }
}

// Neither a core file, nor HDF5's assertions on the user's terminal, nor endless loops, nor the parent's signal handlers.
// The parent's descriptors stay open: HDF5 shares a file that it has open already.
void shut_in(uint64_t file_bytes) {
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(nowhere, STDERR_FILENO);
  for (const int fatal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGXCPU}) ::signal(fatal, SIG_DFL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const rlim_t seconds = kCpuSeconds + file_bytes / kBytesASecond;
  const rlimit cpu{seconds, seconds + 1};
  ::setrlimit(RLIMIT_CPU, &cpu);
}

[[noreturn]] void serve(const std::filesystem::path& path, uint64_t file_bytes, int socket, int data) {
  shut_in(file_bytes);
  std::optional<Hdf5File> file;
  try {
    while (const auto message = receive_message(socket)) {
      std::string reply;
      try {
        reply = kFine + answer(file, path, *message, data);
      } catch (const InputError& error) { reply = kInput + std::string(error.what()); } catch (const std::exception& error) {
        reply = kOther + std::string(error.what());
      }
      if (!send_message(socket, reply)) break;
    }
  } catch (const std::exception&) {
    // No memory for a message: the parent sees the end of the child.
  }
  ::_exit(0);
}

// The shape as a tensor has it, or nothing where the child, which a damaged file may have confused, says nonsense.
std::optional<at::Tensor> empty_tensor(const ArrayHeader& header) {
  const auto dtype = static_cast<at::ScalarType>(header.dtype);
  bool known = false;
  for (const at::ScalarType type : {at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kFloat, at::kDouble}) known = known || type == dtype;
  if (!known || header.rank < 0 || header.rank > static_cast<int64_t>(kMaxRank)) return std::nullopt;
  const std::vector<int64_t> shape(header.shape, header.shape + header.rank);
  uint64_t bytes = c10::elementSize(dtype);
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) return std::nullopt;
  }
  if (bytes != header.num_bytes) return std::nullopt;
  return at::empty(shape, at::TensorOptions().dtype(dtype));
}

}  // namespace

Hdf5Process::Hdf5Process(const std::filesystem::path& path) : path_(path) {
  std::error_code error;
  check_input(std::filesystem::is_regular_file(path, error), "{}: {}", path.string(),
              std::filesystem::exists(path, error) ? "is not a regular file" : "does not exist");
  const uint64_t file_bytes = std::filesystem::file_size(path, error);
  const auto fail = [&](const char* what) {
    throw std::runtime_error(fmt::format("{}: cannot start a process that reads it ({}): {}", path.string(), what, std::strerror(errno)));
  };
  const auto lock = lock_hdf5();
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
  data_ = ::memfd_create("linden_hdf5", MFD_CLOEXEC);
  child_ = data_ < 0 ? -1 : ::fork();
  if (child_ == 0) {
    ::close(ends[0]);
    serve(path, file_bytes, ends[1], data_);
  }
  const int reason = errno;
  socket_ = ends[0];
  ::close(ends[1]);
  if (child_ > 0) return;
  ::close(socket_);
  if (data_ >= 0) ::close(data_);
  errno = reason;
  fail(data_ < 0 ? "memfd_create" : "fork");
}

Hdf5Process::~Hdf5Process() {
  ::shutdown(socket_, SHUT_RDWR);  // the child's sign to end, also where a later child has this end of the socket, too
  ::close(socket_);
  ::close(data_);
  if (child_ > 0)
    while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {}
}

// The child is gone: says how.
InputError Hdf5Process::ended(const std::string& name) {
  int status = 0;
  ::shutdown(socket_, SHUT_RDWR);
  while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {}
  child_ = -1;
  const std::string how = !WIFSIGNALED(status)          ? fmt::format("ended with status {}", WEXITSTATUS(status))
                          : WTERMSIG(status) == SIGXCPU ? std::string("did not come to an end")
                          : WTERMSIG(status) == SIGKILL ? std::string("was killed (by hand, or it took too much time or memory)")
                                                        : fmt::format("crashed ({})", strsignal(WTERMSIG(status)));
  return InputError(fmt::format("{}: is damaged: HDF5 {} while it read {}; fetch or make the file anew", path_.string(), how,
                                name.empty() ? "the list of datasets" : "'" + name + "'"));
}

std::string Hdf5Process::ask(char question, const std::string& name) {
  check_input(child_ > 0, "{}: is damaged: HDF5 crashed on it before", path_.string());
  std::optional<std::string> reply;
  if (send_message(socket_, question + name)) reply = receive_message(socket_);
  if (!reply || reply->empty()) throw ended(name);
  const std::string text = reply->substr(1);
  if (reply->front() == kInput) throw InputError(text);
  if (reply->front() != kFine) throw std::runtime_error(fmt::format("{}: '{}' cannot be read: {}", path_.string(), name, text));
  return text;
}

std::set<std::string> Hdf5Process::names() {
  const std::string joined = ask(kNames, "");
  std::set<std::string> names;
  for (size_t at = 0; at < joined.size(); at += std::strlen(joined.c_str() + at) + 1) names.insert(joined.c_str() + at);
  return names;
}

template <class Value>
Value Hdf5Process::ask_number(char question, const std::string& name) {
  const auto value = value_of<Value>(ask(question, name));
  check_input(value.has_value(), "{}: is damaged: attribute '{}' is no number", path_.string(), name);
  return *value;
}

std::string Hdf5Process::text_attribute(const std::string& name) { return ask(kText, name); }
int64_t Hdf5Process::integer_attribute(const std::string& name) { return ask_number<int64_t>(kInteger, name); }
double Hdf5Process::real_attribute(const std::string& name) { return ask_number<double>(kReal, name); }

at::Tensor Hdf5Process::read(const std::string& name) {
  const auto header = value_of<ArrayHeader>(ask(kArray, name));
  const auto tensor = header ? empty_tensor(*header) : std::nullopt;
  check_input(tensor.has_value(), "{}: is damaged: HDF5 gives dataset '{}' no sound shape", path_.string(), name);
  char* target = tensor->numel() > 0 ? static_cast<char*>(tensor->mutable_data_ptr()) : nullptr;
  for (uint64_t done = 0; done < tensor->nbytes();) {
    const ssize_t got = ::pread(data_, target + done, tensor->nbytes() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    check_input(got > 0, "{}: is damaged: dataset '{}' ends after {} of {} bytes", path_.string(), name, done, tensor->nbytes());
    done += static_cast<uint64_t>(got);
  }
  if (::ftruncate(data_, 0) != 0) throw std::runtime_error(fmt::format("{}: cannot release memory: {}", path_.string(), std::strerror(errno)));
  return *tensor;
}

}  // namespace linden
