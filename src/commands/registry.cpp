#include "commands/command.h"

namespace linden {

std::vector<Command> all_commands() {
  return {config_command(), doctor_command(), forward_command(), train_command(),        sample_command(),   align_command(),  evaluate_command(),
          report_command(), bench_command(),  sweep_command(),   trajectories_command(), transfer_command(), convert_command()};
}

}  // namespace linden
