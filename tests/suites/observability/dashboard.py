"""Reads a dashboard from standard input into Grafana's own model of one, and prints as JSON what of it did not come out again.

An unknown field gets lost on the way, a value that has another type changes, and one that cannot be read at all ends it.
"""

import json
import sys

from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import dashboard


def lost(ours, theirs, path):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [each for key in ours for each in lost(ours[key], theirs.get(key), f"{path}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [each for at, (one, other) in enumerate(zip(ours, theirs)) for each in lost(one, other, f"{path}[{at}]")]
    return [] if ours == theirs else [path]


plugins.register_default_plugins()
ours = json.load(sys.stdin)
theirs = json.loads(encoder.JSONEncoder().encode(dashboard.Dashboard.from_json(ours)))
json.dump(lost(ours, theirs, ""), sys.stdout)
