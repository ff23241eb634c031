"""The commands of `albumswarm-licensing`, a module a noun."""
