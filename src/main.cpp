// linden <command> ...: the table of commands is in commands/registry.cpp.
#include <string>
#include <vector>

#include "commands/command_line.h"
#include "core/progress.h"

int main(int argc, char** argv) {
  linden::install_interrupt_handler();
  return linden::run_command_line(linden::all_commands(), std::vector<std::string>(argv + 1, argv + argc));
}
