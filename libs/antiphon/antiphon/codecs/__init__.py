"""Codecs: Avro in single-object encoding."""
