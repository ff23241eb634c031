"""`albumswarm-seeder`: the command line, a module a command."""
