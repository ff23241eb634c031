"""The commands of `albumswarm-tracker` that do not serve."""
