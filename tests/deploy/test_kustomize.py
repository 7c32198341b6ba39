"""Kustomize puts each overlay together, Kubernetes' own schemas take what comes out, and a fault in it is found."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploying import DEPLOY, documents, ran

OVERLAYS = ["base", "overlays/recovered", "overlays/cnpg", "overlays/external-db", "overlays/pgbouncer"]
KUBERNETES = "1.34"
OPERATORS_OWN = {"Cluster", "Pooler"}  # CloudNativePG's: no schema of theirs is here


def built(overlay: str) -> list[dict[str, Any]]:
    made = ran("kubectl", "kustomize", DEPLOY / "kustomize" / overlay)
    assert made.returncode == 0, made.stderr
    return documents(made.stdout)


def faults(resources: list[dict[str, Any]], folder: Path) -> str:
    path = folder / "resources.yaml"
    path.write_text(yaml.safe_dump_all(resources))
    made = ran("kubernetes-validate", "--strict", "-k", KUBERNETES, path)
    return "" if made.returncode == 0 else made.stdout + made.stderr


@pytest.mark.drill
def test_kubernetes_takes_every_overlay(tmp_path: Path) -> None:
    resources = [one for overlay in OVERLAYS for one in built(overlay)]
    assert faults([one for one in resources if one["kind"] not in OPERATORS_OWN], tmp_path) == ""


@pytest.mark.drill
def test_a_bad_probe_would_be_found(tmp_path: Path) -> None:
    resources = built("base")
    api = next(one for one in resources if one["kind"] == "Deployment")
    api["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["prot"] = "http"
    assert "prot" in faults(resources, tmp_path)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_closed(overlay: str) -> None:
    resources = built(overlay)
    pods = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in resources
        if one["kind"] in {"Deployment", "Job"}
    }
    assert pods.keys() == {"pobratym-api", "pobratym-worker", "pobratym-migrate"}
    for name, pod in pods.items():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        if name != "pobratym-migrate":
            probes = {
                probe: container[probe]["httpGet"]["path"]
                for probe in ("startupProbe", "livenessProbe", "readinessProbe")
            }
            assert probes == {
                "startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready",
            }  # fmt: skip
    kinds = [one["kind"] for one in resources]
    assert kinds.count("PodDisruptionBudget") == len({"api", "worker"})
    assert "NetworkPolicy" in kinds
    assert "Secret" not in kinds


def test_behind_the_pooler_is_the_api_alone() -> None:
    environment = {
        one["metadata"]["name"]: {
            item["name"]: item for item in one["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        for one in built("overlays/pgbouncer")
        if one["kind"] in {"Deployment", "Job"}
    }
    assert environment["pobratym-api"]["POBRATYM_DATABASE_POOLER"]["value"] == "transaction"
    for name in ("pobratym-worker", "pobratym-migrate"):
        assert environment[name].keys() == {"POBRATYM_DATABASE_URL"}
        assert environment[name]["POBRATYM_DATABASE_URL"]["valueFrom"]["secretKeyRef"]["key"] == "uri"
    (pooler,) = [one for one in built("overlays/pgbouncer") if one["kind"] == "Pooler"]
    assert int(pooler["spec"]["pgbouncer"]["parameters"]["max_prepared_statements"]) >= 200


def test_ops_10_nothing_leaves_a_cluster_that_is_recovered_as_both_read_the_setting_that_holds() -> None:
    resources = built("overlays/recovered")
    (settings,) = [one for one in resources if one["kind"] == "ConfigMap"]
    assert settings["data"]["POBRATYM_ON_PROMOTION"] == "hold"
    assert settings["data"]["POBRATYM_BASE_URL"]
    for one in resources:
        if one["kind"] in {"Deployment", "Job"}:
            (container,) = one["spec"]["template"]["spec"]["containers"]
            assert {"configMapRef": {"name": settings["metadata"]["name"]}} in container["envFrom"]
