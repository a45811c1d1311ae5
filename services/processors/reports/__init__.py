"""Reports: a table written and drawn for people, or written for programs."""
