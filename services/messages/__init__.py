"""All that services share: their messages, one module per family."""
