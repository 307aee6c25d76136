// stderr shared by log lines and the one status line that progress rewrites in place.
#pragma once

#include <string>

namespace linden {

bool stderr_is_terminal();
// Rewrites the status line (no newline); "" takes it away.
void show_status_line(const std::string& text);
// Prints whole lines above the status line. `text` ends with a newline.
void print_above_status_line(const std::string& text);

}  // namespace linden
