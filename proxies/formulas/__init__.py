"""Pure functions of tensors: similarities, distillation losses, spectra. No networks, no passes, no names of proxies."""
