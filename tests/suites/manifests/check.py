"""Reads manifests as YAML, holds each against the schema of Kubernetes' API, and prints both as JSON.

{"documents": [...], "errors": ["KIND/NAME: what is wrong"], "unknown": ["KIND of a group that is not Kubernetes' own"]}

An unknown field is an error, as it is for `kubectl apply --validate=strict`; so is a name that stands twice in one mapping.
"""

import json
import sys

import kubernetes_validate
import yaml


class Strict(yaml.SafeLoader):
    """YAML's own loader takes the last of two equal keys, without a word."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


found = {"documents": [], "errors": [], "unknown": []}
version = kubernetes_validate.latest_version()
for document in yaml.load_all(sys.stdin, Loader=Strict):
    if document is None:
        continue
    name = f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"
    found["documents"].append(document)
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        path = ".".join(str(step) for step in error.path)
        found["errors"].append(f"{name}: {path}: {error.message}")
    except kubernetes_validate.SchemaNotFoundError:
        found["unknown"].append(f"{document.get('kind')} of {document.get('apiVersion')}")
json.dump(found, sys.stdout)
