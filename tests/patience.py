"""How long tests wait for what must come: a busy machine is no failure, a hang is one."""

PATIENCE_S = 300.0
