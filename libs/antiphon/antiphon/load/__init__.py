"""A load of commands, and how it was borne: `antiphon load`."""
