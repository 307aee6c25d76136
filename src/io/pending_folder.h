// A folder that is filled under a temporary name beside its target and takes the target's name in one step: after an
// exception or a kill there is no half-written target.
#pragma once

#include <filesystem>
#include <string>

namespace linden {

class PendingFolder {
 public:
  // Creates the temporary folder, and the target's parents. InputError where the target exists; std::runtime_error with
  // the system's reason, here and below.
  explicit PendingFolder(const std::filesystem::path& target);
  ~PendingFolder();  // without commit(): the temporary folder is removed
  PendingFolder(const PendingFolder&) = delete;
  PendingFolder& operator=(const PendingFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return temporary_ / name; }
  void commit();  // rename

 private:
  std::filesystem::path target_, temporary_;
  bool committed_ = false;
};

}  // namespace linden
