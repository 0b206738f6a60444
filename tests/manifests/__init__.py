"""The manifests of k8s/, as kustomize builds them."""
