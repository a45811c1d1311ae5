"""Rules, dashboards, and a Prometheus that scrapes running services."""
