"""Clocks: the system's and a virtual one."""
