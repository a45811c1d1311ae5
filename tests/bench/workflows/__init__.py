"""Durable workflows, measured on Antiphon and on the engines that one would use instead, one after the other."""
