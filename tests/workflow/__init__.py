"""The workflow kernel, on a virtual clock."""
