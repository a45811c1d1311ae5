"""The tables' history; shipped with the library and run by `SqlStore.open`."""
