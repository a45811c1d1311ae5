"""The chart's README: a table of the values, made from the comments of values.yaml that begin with `# --`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][\w.-]*):(?P<rest> .*)?$")

HEAD = """# The chart

Helm 4, Kubernetes 1.30 or newer. One Deployment for each service, one for the gateway, one for the read side; a Job
makes the topics and brings the database to the release before anything starts.

```bash
kubectl create namespace antiphon
kubectl --namespace antiphon create secret generic antiphon-database \\
  --from-literal=url=postgresql://USER:PASSWORD@HOST:5432/DATABASE
helm install antiphon deploy/helm/antiphon --namespace antiphon --set kafka.bootstrapServers=kafka:9092
helm test antiphon --namespace antiphon
```

Services of your own: an image with them in its working folder, their names under `services`, and what they read and
write, which the KafkaTopics, the ACLs and the scaling by lag follow:

```bash
antiphon topics export --format helm >catalogue.yaml
helm upgrade --install antiphon deploy/helm/antiphon --values catalogue.yaml --values mine.yaml
```

- Whatever stands under `defaults` may also stand under a service, `gateway` and `status`, and holds there alone.
- No password is a value: each is named by its Secret, which you make, or External Secrets, or Strimzi.
  The password of `kafka.sasl` is a mounted file: when its Secret changes, running pods log in with the new one. Other
  Secrets are environment variables, read by the next pods: `kubectl rollout restart deployment`.
- The grace period of a pod is computed: `settings.grace`, what the program takes to close, `terminationMarginSeconds`.
- Replicas beyond `settings.partitions` would be idle, and are refused; so are other combinations that cannot work.
- Ready means: joined and not draining. Alive means: its loop turns. No probe asks Kafka or the database, so that their
  outage restarts nothing.
- KEDA scales by the lag of the service's group on every topic that it reads. An emptied topic may keep a lag of one per
  partition, that of a commit marker, so `lagThreshold` is not to be that small and `minReplicas` not 0.
- Azure Event Hubs: `values-event-hubs.yaml`. Without Helm: `deploy/kubernetes`, the same as plain YAML for Kustomize.
- With `setup.mode: plain` all starts at once, and pods start again until the Job has made the topics.
- `ci/` has sets of values that are rendered and checked by the tests.

## Values

| Value | Default | |
|---|---|---|
"""


class Row(NamedTuple):
    """One documented value."""

    path: str
    default: str
    text: str


def page(values: str) -> str:
    """The README of a chart with this values.yaml."""
    lines = [f"| `{row.path}` | `{row.default}` | {row.text} |" for row in rows(values)]
    return HEAD + "\n".join(lines) + "\n"


def rows(values: str) -> Iterator[Row]:
    """Every value that a comment stands above."""
    whole = yaml.safe_load(values)
    place: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in values.splitlines():
        text = line.strip()
        if text.startswith("# --"):
            comment = [text.removeprefix("# --").strip()]
        elif text.startswith("#") and comment:
            comment.append(text.removeprefix("#").strip())
        elif found := _KEY.match(line):
            indent = len(found["indent"])
            place = [(depth, key) for depth, key in place if depth < indent] + [(indent, found["key"])]
            if comment:
                keys = [key for _, key in place]
                yield Row(".".join(keys), _short(_at(whole, keys)), " ".join(comment).replace("|", "\\|"))
            comment = []
        else:
            comment = []


def _at(whole: Any, keys: list[str]) -> Any:
    for key in keys:
        whole = whole[key]
    return whole


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
