// Where a run happened: environment.json, and what `linden doctor` prints.
#pragma once

#include <string>

#include "core/config.h"

namespace linden {

struct Environment {
  std::string version;  // linden's
  std::string commit;   // of the sources; "-dirty" if they were changed; "" if unknown
  std::string compiler, build_type;
  std::string libtorch, cuda;  // versions; cuda: "" for a LibTorch without it
  std::vector<std::string> cards;
  std::string cpu;
  int64_t cores = 0, threads = 0;
};
void visit_fields(FieldVisitor& v, Environment& e);

Environment current_environment();

}  // namespace linden
