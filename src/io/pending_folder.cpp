#include "io/pending_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <exception>
#include <stdexcept>
#include <system_error>

#include "core/error.h"
#include "core/files.h"
#include "core/logging.h"

namespace linden {

namespace fs = std::filesystem;

PendingFolder::PendingFolder(const fs::path& target) : target_(target.has_filename() ? target : target.parent_path()) {
  std::error_code error;
  check_input(!fs::exists(fs::symlink_status(target_, error)), "{}: exists already, and nothing is written over it; name another target or remove it",
              target_.string());
  temporary_ = target_;
  temporary_ += fmt::format(".tmp.{}", getpid());
  error.clear();
  fs::create_directories(temporary_, error);
  if (error) throw std::runtime_error(fmt::format("{}: cannot be created: {}", temporary_.string(), error.message()));
}

PendingFolder::~PendingFolder() {
  if (committed_) return;
  try {
    remove_folder(temporary_);
  } catch (const std::exception& problem) { log_warning("{}", problem.what()); }
}

void PendingFolder::commit() {
  std::error_code error;
  fs::rename(temporary_, target_, error);
  if (error) throw std::runtime_error(fmt::format("{}: cannot be put in place: {}", target_.string(), error.message()));
  committed_ = true;
}

}  // namespace linden
