"""Pure functions of tensors: similarities, distillation losses, spectra. No network, no pass, no name of a proxy."""
