// journal.jsonl of a sweep: one line for each start and end of a cell, only ever added to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"

namespace linden {

// event: start; end (result: done, failed, interrupted); found (finished in a sweep that was killed before it could write
// the end); aside (the cell's folder was moved away).
struct JournalEvent {
  std::string event, cell, hash;
  int64_t attempt = 0;         // counts the starts of the cell, from 1
  bool resumed = false;        // start: with --resume
  std::string result, detail;  // detail: "exit code 2"
  double seconds = 0;          // end: since the start
  std::string time;            // local
};
void visit_fields(FieldVisitor& v, JournalEvent& e);

class Journal {
 public:
  explicit Journal(std::filesystem::path file) : file_(std::move(file)) {}
  // Adds a line and brings it to the disk. Throws std::runtime_error.
  void append(JournalEvent event) const;
  // Every whole line; a line that a kill cut off is passed over.
  std::vector<JournalEvent> read() const;

 private:
  std::filesystem::path file_;
};

}  // namespace linden
