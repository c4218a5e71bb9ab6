"""From a trained vision transformer to the best part of it that meets a budget on a device."""
