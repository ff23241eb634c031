"""Commands of `albumswarm-seeder`, by what they are for."""
