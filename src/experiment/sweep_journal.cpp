#include "experiment/sweep_journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"

namespace linden {
namespace {

namespace fs = std::filesystem;

// Indented JSON without text over several lines, as one line.
std::string one_line(const std::string& json) {
  std::istringstream lines(json);
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    const size_t start = line.find_first_not_of(' ');
    out += (out.size() > 1 && line != "}" ? " " : "") + line.substr(start == std::string::npos ? 0 : start);
  }
  return out;
}

// Does the open file end in a line that a kill cut off?
bool ends_in_half_a_line(int descriptor) {
  const off_t size = lseek(descriptor, 0, SEEK_END);
  char last = '\n';
  return size > 0 && pread(descriptor, &last, 1, size - 1) == 1 && last != '\n';
}

}  // namespace

void visit_fields(FieldVisitor& v, JournalEvent& e) {
  visit(v, Field("event", "start, end, found, aside"), e.event);
  visit(v, Field("cell", "name"), e.cell);
  visit(v, Field("hash", "of its config"), e.hash);
  visit(v, Field("attempt", "starts so far"), e.attempt);
  visit(v, Field("resumed", "started with --resume"), e.resumed);
  visit(v, Field("result", "done, failed, interrupted"), e.result);
  visit(v, Field("detail", "how it ended"), e.detail);
  visit(v, Field("seconds", "since the start"), e.seconds);
  visit(v, Field("time", "local time"), e.time);
}

void Journal::append(JournalEvent event) const {
  event.time = local_time();
  const int descriptor = open(file_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const std::string line = (descriptor >= 0 && ends_in_half_a_line(descriptor) ? "\n" : "") + one_line(to_json(event)) + "\n";
  const bool written = descriptor >= 0 && write(descriptor, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && fsync(descriptor) == 0;
  const std::string reason = std::strerror(errno);
  if (descriptor >= 0) close(descriptor);
  if (!written) throw std::runtime_error(fmt::format("{}: cannot be written: {}", file_.string(), reason));
}

std::vector<JournalEvent> Journal::read() const {
  std::vector<JournalEvent> events;
  if (!fs::exists(file_)) return events;
  std::istringstream lines(read_text_file(file_));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('{') || !line.ends_with('}')) continue;
    JournalEvent event;
    from_json(line, file_.string(), event);
    events.push_back(std::move(event));
  }
  return events;
}

}  // namespace linden
