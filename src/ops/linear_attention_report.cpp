#include "ops/linear_attention_report.h"

#include "core/logging.h"

namespace linden {

void report_linear_attention(const std::string& message, bool fallback) { log_line(fallback ? "warning" : "info", message); }

}  // namespace linden
