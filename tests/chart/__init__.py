"""The Helm chart, rendered by Helm itself and held to Kubernetes' own schemas and to what good pods are like."""
