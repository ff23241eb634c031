"""The central seeders: which of them there are, and what they are told about demand."""
