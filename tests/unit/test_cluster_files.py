"""The cluster files: manifests against KubeRay's own schemas, the Dockerfile's structure, the Slurm script's behaviour.

The CRD schemas are data beside the checkout (`../shared/kuberay`), not part of the project; the tests that need them
are skipped where they are absent.
"""

import fnmatch
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft4Validator

from toolace_ray.config.load import load
from toolace_ray.tss.sources import files as source_files

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
CRDS = (ROOT / "../shared/kuberay").resolve()
MANIFESTS = ("rayjob.yaml", "raycluster.yaml")
# What the image is made of: no more and no less is copied into it.
LAYOUT = {
    "pyproject.toml", "README.md", "LICENSE", "requirements/cpu.lock", "configs", "examples", "toolace_ray", "actors", "jobs",
}  # fmt: skip

Json = dict[str, Any]


def documents(name: str) -> list[Json]:
    return list(yaml.load_all((CLUSTER / name).read_text(), yaml.CSafeLoader))


def manifest(name: str) -> Json:
    [document] = documents(name)
    return document


def pyproject() -> Json:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


# --- schemas ----------------------------------------------------------------------------------------------------------


def closed(schema: Any) -> Any:
    """The schema as the API server applies it under strict field validation: fields it does not name are errors."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    # `properties` may itself be the name of a field; only a schema's own keyword has a type beside it.
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_ended:
        result["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return result


@cache
def validator(kind: str) -> Draft4Validator:
    """Draft 4, because OpenAPI 3.0 took its keywords (a boolean `exclusiveMinimum`) from there."""
    path = CRDS / f"ray.io_{kind.lower()}s.yaml"
    if not path.is_file():
        pytest.skip(f"KubeRay's CRD schemas are not beside this checkout: {path} is absent")
    definition = yaml.load(path.read_text(), yaml.CSafeLoader)
    [schema] = [v["schema"]["openAPIV3Schema"] for v in definition["spec"]["versions"] if v["name"] == "v1"]
    return Draft4Validator(closed(schema))


def schema_errors(document: Json) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(document["kind"]).iter_errors(document)]


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_follows_the_crd(name: str) -> None:
    document = manifest(name)
    assert document["apiVersion"] == "ray.io/v1"
    assert schema_errors(document) == []


def test_schema_refuses_what_kuberay_would_not_read() -> None:
    good = manifest("rayjob.yaml")

    misspelled = deepcopy(good)
    misspelled["spec"]["shutdownAfterJobFinish"] = misspelled["spec"].pop("shutdownAfterJobFinishes")
    assert any("shutdownAfterJobFinish" in error for error in schema_errors(misspelled))

    deep = deepcopy(good)
    container = deep["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    container["resources"]["limit"] = container["resources"].pop("limits")
    assert any("'limit' was unexpected" in error for error in schema_errors(deep))

    wrong_type = deepcopy(good)
    wrong_type["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
    assert any("num-cpus" in error for error in schema_errors(wrong_type))

    no_quantity = deepcopy(good)
    pod = no_quantity["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    pod["containers"][0]["resources"]["limits"] = {"memory": "lots"}
    assert any("memory" in error for error in schema_errors(no_quantity))

    missing = deepcopy(good)
    del missing["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["groupName"]
    assert any("groupName" in error for error in schema_errors(missing))


# --- manifests --------------------------------------------------------------------------------------------------------


def cluster_spec(document: Json) -> Json:
    return document["spec"]["rayClusterSpec"] if document["kind"] == "RayJob" else document["spec"]


def groups(document: Json) -> dict[str, Json]:
    spec = cluster_spec(document)
    return {"head": spec["headGroupSpec"], **{group["groupName"]: group for group in spec["workerGroupSpecs"]}}


def pods(document: Json) -> Iterator[Json]:
    yield from (group["template"]["spec"] for group in groups(document).values())
    if "submitterPodTemplate" in document["spec"]:
        yield document["spec"]["submitterPodTemplate"]["spec"]


def gibibytes(quantity: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(Mi|Gi)", quantity).groups()
    return float(number) / (1024 if unit == "Mi" else 1)


@pytest.mark.parametrize("name", MANIFESTS)
def test_head_runs_no_work_and_workers_state_their_accelerators(name: str) -> None:
    found = groups(manifest(name))
    assert found["head"]["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    for label, group in found.items():
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        if label == "gpu":
            assert int(limits["nvidia.com/gpu"]) >= 1
        else:
            # Else Ray would offer the GPUs that a CUDA image sees on a shared node.
            assert "nvidia.com/gpu" not in limits
            assert group["rayStartParams"]["num-gpus"] == "0"


@pytest.mark.parametrize("name", MANIFESTS)
def test_pods_are_unprivileged_and_guaranteed(name: str) -> None:
    document = manifest(name)
    for pod in pods(document):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 1000
        assert pod["restartPolicy"] == "Never"
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert container["image"] == "toolace-ray:gpu"


@pytest.mark.parametrize("name", MANIFESTS)
def test_ray_containers_have_their_volumes_and_environment(name: str) -> None:
    claims = {claim["metadata"]["name"] for claim in documents("storage.yaml")}
    for group in groups(manifest(name)).values():
        pod = group["template"]["spec"]
        container = pod["containers"][0]
        mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert set(mounted.values()) == set(volumes)

        shm = volumes[mounted["/dev/shm"]]["emptyDir"]
        memory = gibibytes(container["resources"]["limits"]["memory"])
        assert shm["medium"] == "Memory"
        # Ray's object store takes 30 % of the memory limit and moves to disk, slowly, where it does not fit.
        assert 0.3 * memory < gibibytes(shm["sizeLimit"]) < memory / 2

        assert {
            volumes[mounted[path]]["persistentVolumeClaim"]["claimName"] for path in ("/app/runs", "/cache")
        } == claims
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        assert environment == {
            "RAY_USAGE_STATS_ENABLED": "0",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "TOOLACE_CACHE": "/cache",
            "HF_HOME": "/cache/huggingface",
        }
        assert container["workingDir"] == "/app"


@pytest.mark.parametrize("name", MANIFESTS)
def test_secrets_come_by_name_and_the_ray_version_is_the_packages(name: str) -> None:
    spec = cluster_spec(manifest(name))
    assert spec["authOptions"] == {"mode": "token", "secretName": "toolace-ray-token"}
    [ray] = [item for item in pyproject()["dependencies"] if item.startswith("ray[")]
    assert spec["rayVersion"] == ray.partition("==")[2]
    # A second definition of the operator's own variables would hide the Secret's value.
    assert not re.search(r"RAY_AUTH_TOKEN\s*$", (CLUSTER / name).read_text(), re.MULTILINE)
    assert "stringData" not in (CLUSTER / name).read_text()


def test_rayjob_resumes_and_frees_its_cluster() -> None:
    spec = manifest("rayjob.yaml")["spec"]
    assert spec["entrypoint"] == "python -m jobs.generate --config configs/cluster.yaml"
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["submissionMode"] == "K8sJobMode"
    assert spec["backoffLimit"] >= 1
    # Entrypoint resources would send the driver to a worker, and the head has none to give.
    assert not [key for key in spec if key.startswith("entrypoint") and key != "entrypoint"]
    assert not cluster_spec(manifest("rayjob.yaml")).get("enableInTreeAutoscaling")


def test_raycluster_scales_both_kinds_of_worker() -> None:
    spec = manifest("raycluster.yaml")["spec"]
    assert spec["enableInTreeAutoscaling"] is True
    resources = spec["autoscalerOptions"]["resources"]
    assert resources["requests"] == resources["limits"]
    assert [group["groupName"] for group in spec["workerGroupSpecs"]] == ["cpu", "gpu"]
    for group in spec["workerGroupSpecs"]:
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["minReplicas"] < group["maxReplicas"]


def test_claims_can_be_shared_by_all_nodes() -> None:
    claims = documents("storage.yaml")
    assert [claim["metadata"]["name"] for claim in claims] == ["toolace-runs", "toolace-models"]
    for claim in claims:
        assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
        assert set(claim["spec"]) == {"accessModes", "storageClassName", "resources"}
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
        assert gibibytes(claim["spec"]["resources"]["requests"]["storage"]) > 0


# --- Dockerfile -------------------------------------------------------------------------------------------------------


@dataclass
class Stage:
    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)


def read_dockerfile(text: str) -> list[Stage]:
    """The stages in order, each with its (instruction, arguments); build arguments before the first FROM filled in."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    logical = re.sub(r"\\\n", " ", "\n".join(lines)).splitlines()
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for line in filter(str.strip, logical):
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            words = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], rest).split()
            stages.append(Stage(words[2] if len(words) == 3 else str(len(stages)), words[0]))
        elif not stages:
            assert instruction == "ARG"
            name, _, default = rest.partition("=")
            arguments[name] = default.strip('"')
        else:
            stages[-1].steps.append((instruction, rest.strip()))
    return stages


def copies(stage: Stage) -> Iterator[tuple[str | None, list[str]]]:
    """Each COPY of a stage: the stage it copies from (None: the build context) and its sources."""
    for instruction, rest in stage.steps:
        if instruction in ("COPY", "ADD"):
            words = shlex.split(rest)
            flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
            yield flags.get("from"), [word for word in words if not word.startswith("--")][:-1]


def unknown_sources(stages: list[Stage]) -> list[str]:
    """What the stages copy that neither the repository nor an earlier stage has."""
    missing, earlier = [], set()
    for stage in stages:
        for origin, sources in copies(stage):
            if origin is None:
                missing += [path for path in sources if not (ROOT / path).exists()]
            elif origin not in earlier:
                missing.append(f"--from={origin}")
        earlier.add(stage.name)
    return missing


def dockerfile() -> list[Stage]:
    return read_dockerfile((CLUSTER / "Dockerfile").read_text())


def lineage(target: str) -> list[Stage]:
    """The stages that make up a target's own layers, the base first."""
    stages = {stage.name: stage for stage in dockerfile()}
    chain = [stages[target]]
    while chain[0].base in stages:
        chain.insert(0, stages[chain[0].base])
    return chain


@pytest.mark.parametrize(("target", "base"), [("cpu", "python:3.11-slim"), ("gpu", "nvidia/cuda:")])
def test_image_target(target: str, base: str) -> None:
    chain = lineage(target)
    assert chain[0].base.startswith(base)
    steps = [step for stage in chain for step in stage.steps]
    runs = [rest for instruction, rest in steps if instruction == "RUN"]
    assert any("apt-get install" in run and " wget" in run for run in runs), "KubeRay's probes call wget"
    assert any("--uid 1000" in run and run.split("useradd")[1].split("&&")[0].split()[-1] == "ray" for run in runs)
    assert [rest for instruction, rest in steps if instruction == "USER"] == ["1000:1000"]
    environment = " ".join(rest for instruction, rest in steps if instruction == "ENV")
    assert "DS_BUILD_OPS=0" in environment
    assert "VLLM_NO_USAGE_STATS=1" in environment

    # Layers are reused up to the first change: all packages before all code.
    packages = [
        i for i, (kind, rest) in enumerate(steps) if kind == "RUN" and re.search(r"pip install .*(-r |==)", rest)
    ]
    code = [i for i, (kind, rest) in enumerate(steps) if kind == "COPY" and "--from=source" in rest]
    assert packages
    assert len(code) == 1
    assert max(packages) < code[0]
    assert all("--no-deps" in rest for kind, rest in steps[code[0] :] if kind == "RUN")


def test_image_copies_only_what_exists() -> None:
    stages = dockerfile()
    assert unknown_sources(stages) == []
    misspelled = read_dockerfile("FROM scratch AS a\nCOPY toolace_rays /app\nCOPY --from=b /x \\\n    /y\n")
    assert unknown_sources(misspelled) == ["toolace_rays", "--from=b"]


def copied() -> list[str]:
    """What the image's stages copy out of the repository."""
    return [path for stage in dockerfile() for origin, paths in copies(stage) if origin is None for path in paths]


def sent(path: str) -> bool:
    """Whether the build context holds a path, by the last rule of .dockerignore that speaks of it."""
    rules = (CLUSTER / "Dockerfile.dockerignore").read_text().split("\n")
    kept = True
    for pattern in (rule for rule in rules if rule and not rule.startswith("#")):
        if fnmatch.fnmatch(path, pattern.lstrip("!")) or path.startswith(pattern.lstrip("!") + "/"):
            kept = pattern.startswith("!")
    return kept


def test_image_holds_the_code_and_the_build_context_lets_it_through() -> None:
    assert set(copied()) == LAYOUT
    assert [path for path in copied() if not sent(path)] == []
    assert not sent(".venv")
    assert not sent("runs/mine")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_image_holds_the_sources_of_its_configurations(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # the image's working directory holds the same folders
    found = [name for names in source_files(load(path).sources).values() for name in names]
    assert found
    missing = [name for name in found if not sent(name) or not any(name.startswith(f"{part}/") for part in copied())]
    assert missing == []


def test_image_installs_the_versions_of_the_package() -> None:
    text = (CLUSTER / "Dockerfile").read_text()
    extras = pyproject()["optional-dependencies"]
    [torch] = [item for item in extras["cpu"] if item.startswith("torch==")]
    assert re.findall(r"torch==[\d.]+", text) == [torch]
    # The list is read out of pyproject.toml by a line of Python in the file: run that line.
    [program] = re.findall(r'python -c "(import tomllib.*?)" > /tmp/gpu\.txt', text)
    program = program.replace("/tmp/pyproject.toml", str(ROOT / "pyproject.toml"))
    listed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert listed == [*pyproject()["dependencies"], *extras["gpu"], *extras["train"], *extras["eval"]]


# --- Slurm ------------------------------------------------------------------------------------------------------------

SLURM = CLUSTER / "slurm.sh"

SRUN = """#!/bin/bash
echo "srun $*" >> "$LOG"
trap 'echo "stopped ${*: -1}" >> "$LOG"; exit 0' TERM
while :; do sleep 0.05; done
"""
PYTHON = """#!/bin/bash
if [[ $1 == -c ]]; then
    (( $(grep -c '^srun' "$LOG") < 2 )) && echo 1 || echo "$JOINED"
    exit
fi
echo "token $RAY_AUTH_TOKEN_PATH $(stat -c %a "$RAY_AUTH_TOKEN_PATH") $(wc -c < "$RAY_AUTH_TOKEN_PATH")" >> "$LOG"
echo "driver $RAY_ADDRESS $RAY_AUTH_MODE ${RAY_AUTH_TOKEN-unset} $*" >> "$LOG"
trap 'exit 0' TERM
for ((i = 0; i < DRIVER_STEPS; i++)); do sleep 0.05; done
exit 7
"""


@dataclass
class SlurmJob:
    folder: Path
    process: subprocess.Popen[str]

    @property
    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def finish(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


def slurm_job(folder: Path, *, joined: int = 3, driver_steps: int = 2, join_timeout: int = 30) -> SlurmJob:
    """slurm.sh on three nodes whose `srun`, `scontrol`, `hostname` and `python` are scripts that write a log."""
    if shutil.which("bash") is None:
        pytest.skip("bash is absent")
    binaries = folder / "bin"
    binaries.mkdir()
    (folder / "configs").mkdir()
    (folder / "configs/cluster.yaml").touch()
    (folder / "log").touch()
    scripts = {
        "srun": SRUN,
        "python": PYTHON,
        "scontrol": "#!/bin/sh\nprintf 'n1\\nn2\\nn3\\n'\n",
        "hostname": "#!/bin/sh\necho 'fe80::1 10.0.0.5 10.1.0.5'\n",
    }
    for name, text in scripts.items():
        (binaries / name).write_text(text)
        (binaries / name).chmod(0o755)
    environment = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "LOG": str(folder / "log"),
        "JOINED": str(joined),
        "DRIVER_STEPS": str(driver_steps),
        "TOOLACE_JOIN_TIMEOUT": str(join_timeout),
        "TOOLACE_JOIN_POLL": "0.05",
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_CPUS_PER_TASK": "8",
        "RAY_AUTH_TOKEN": "from-the-users-shell",
    }
    process = subprocess.Popen(
        [str(SLURM)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/"
    )
    return SlurmJob(folder, process)


def test_slurm_script_parses() -> None:
    assert os.access(SLURM, os.X_OK)
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    # sbatch reads no directive after the first command.
    lines = SLURM.read_text().splitlines()
    directives = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    commands = [i for i, line in enumerate(lines) if line and not line.startswith("#")]
    assert max(directives) < min(commands)


def test_slurm_job_starts_runs_and_stops(tmp_path: Path) -> None:
    job = slurm_job(tmp_path)
    code, _ = job.finish()
    assert code == 7, "the driver's exit code is the job's"
    # The steps start in the background: which of the two writes first is the system's choice.
    started, (token, driver, *ended) = job.log[:2], job.log[2:]
    workers, head = sorted(started, key=lambda line: "--head" in line)
    assert "--nodelist=n1 ray start --head --block --node-ip-address=10.0.0.5 --port=6379 --num-cpus=8" in head
    assert "--nodes=2 --ntasks=2 --nodelist=n2,n3 ray start --block --address=10.0.0.5:6379 --num-cpus=8" in workers
    # 32 random bytes in hexadecimal, for nobody else to read.
    assert token == f"token {tmp_path}/runs/.slurm-42/token 600 64"
    assert driver == "driver 10.0.0.5:6379 token unset -m jobs.generate --config configs/cluster.yaml"
    assert len(ended) == 2
    assert all(line.startswith("stopped") for line in ended)
    assert list((tmp_path / "runs").iterdir()) == []


def test_slurm_job_gives_up_on_nodes_that_do_not_join(tmp_path: Path) -> None:
    job = slurm_job(tmp_path, joined=2, join_timeout=1)
    code, errors = job.finish()
    assert code == 1
    assert "of 3 nodes joined within 1 s" in errors
    assert not [line for line in job.log if line.startswith("driver")]
    assert len([line for line in job.log if line.startswith("stopped")]) == 2
    assert list((tmp_path / "runs").iterdir()) == []


def test_slurm_job_stops_cleanly_at_its_time_limit(tmp_path: Path) -> None:
    job = slurm_job(tmp_path, driver_steps=1000)
    deadline = time.monotonic() + 30
    while not any(line.startswith("driver") for line in job.log):
        assert time.monotonic() < deadline, job.log
        time.sleep(0.05)
    job.process.send_signal(signal.SIGTERM)
    code, _ = job.finish()
    assert code == 128 + signal.SIGTERM
    assert len([line for line in job.log if line.startswith("stopped")]) == 2
    assert list((tmp_path / "runs").iterdir()) == []
