"""The one configuration tree, read from YAML.

Invariants: every key has a reader and a description; an unknown key is refused and the nearest right one named; keys
are *content* (they decide what is made; a run refuses to go on with others) or *execution* (they may change between
two starts of one run).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.fields import FieldInfo

from toolace_ray.records.json import canonical_json, digest
from toolace_ray.records.kinds import VARIANTS, DialogType

ExpertName = Literal["consistency", "hallucination", "tool_response", "grounding", "meaning"]
Severity = Literal["reject", "mask", "warn"]
RuleSetting = Severity | Literal["off", False] | dict[str, Any]
Role = Literal["writer", "user", "assistant", "tool", "judge", "target"]
ROLES: tuple[Role, ...] = ("writer", "user", "assistant", "tool", "judge")
"""Those that every configuration must give; `target`, the model that is to be tuned, only where it is measured."""


def content(default: Any, description: str, **limits: Any) -> Any:
    """A key that decides what is made."""
    return Field(default, description=description, **limits)


def execution(default: Any, description: str, **limits: Any) -> Any:
    """A key that may change between two starts of one run."""
    return Field(default, description=description, json_schema_extra={"execution": True}, **limits)


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused, numbers that are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RunConfig(Section):
    """Where a run lives and what it derives its randomness from."""

    path: str = execution("runs/demo", "Folder of the run: a local path or a pyarrow filesystem URI (s3://, gs://).")
    seed: int = content(7, "All ids, seeds and plans derive from it.", ge=0)


class RayConfig(Section):
    """How the job meets Ray."""

    address: str = execution("local", "`local` starts Ray in this machine; `auto` joins the cluster the job runs on.")
    num_cpus: int | None = execution(None, "CPUs that a local Ray may use; all when absent.", ge=1)
    log_to_driver: bool = execution(False, "Show what replicas and workers log; it is in Ray's session folder anyway.")
    object_store_gb: float = execution(1.0, "Object store of a local Ray, in GiB.", gt=0)


class SimulatedConfig(Section):
    """The simulated engine's model of time and of answers."""

    latency_ms: float = content(20.0, "Time to the first token, in milliseconds.", ge=0)
    tokens_per_second: float = content(0.0, "Rate of one request after its first token; 0 is at once.", ge=0)
    slots: int = content(256, "Requests served at once; more wait.", ge=1)
    first_choice: float = content(0.95, "Probability that an enum answers with its first value.", ge=0, le=1)
    slip: float = content(0.05, "Probability that a sentence leaves one value out.", ge=0, le=1)


class PoolConfig(Section):
    """A pool of equal engine replicas."""

    engine: Literal["vllm", "openai", "simulated"] = content("vllm", "Kind of engine.")
    model: str = content(
        "qwen2.5-coder-0.5b-instruct",
        "A name of `toolace models list`, a folder, or a hub id (owner/name or owner/name@revision); "
        "for `openai` the name that the server knows.",
    )
    replicas: int = execution(1, "Replicas, each an actor with its own placement group.", ge=1)
    max_in_flight: int = execution(64, "Requests one replica takes before it refuses.", ge=1)
    cpus: float = execution(
        1.0,
        "CPUs that one replica reserves. What it computes with is another thing: vLLM engines on the CPU divide all cores of their "
        "machine among themselves, in proportion to this.",
        ge=0,
    )
    tensor_parallel: int = execution(1, "GPUs that share one layer's weights (vLLM tensor parallelism).", ge=1)
    pipeline_parallel: int = execution(1, "Groups of layers over GPUs (vLLM pipeline parallelism).", ge=1)
    gpus: int = execution(0, "GPUs of one replica: 0 on the CPU, else tensor_parallel * pipeline_parallel.", ge=0)
    options: dict[str, Any] = content(
        {},
        "More engine arguments of vLLM, by its own names. Without `enforce_eager` a model on the CPU is compiled where the run is "
        "long enough to win it back.",
    )
    reasoning_parser: str = content(
        "", "For reasoning models under `vllm`: the name of vLLM's parser, such as qwen3 or deepseek_r1."
    )
    thinking_tokens: int = content(
        0, "Tokens that a reasoning model may think before each answer; 0 for models that don't think.", ge=0
    )
    body: dict[str, Any] = content(
        {},
        "More fields of every request to a server (`openai`), such as its thinking switch; null leaves out a field that "
        "would be sent (`max_tokens: null` sends max_completion_tokens, `response_format: null` puts schemas into the "
        "prompt, `n: null` asks for one answer at a time). What a server refuses by name is left out without it.",
    )
    env: dict[str, str] = execution({}, "Environment of the replica's process; no secrets. vLLM's own variables stand.")
    url: str = execution("", "Base URL of an OpenAI-compatible server, with /v1; no user or password, see api_key_env.")
    api_key_env: str = execution("", "Name of the environment variable that holds the server's key.")
    context: int = content(8192, "Context in tokens of a server's model (`openai`, `simulated`).", ge=256)
    price_prompt: float = execution(0.0, "Price of a million prompt tokens, in your currency.", ge=0)
    price_completion: float = execution(0.0, "Price of a million generated tokens.", ge=0)
    simulated: SimulatedConfig = content(SimulatedConfig(), "Only for `engine: simulated`.")

    @model_validator(mode="after")
    def _consistent(self) -> PoolConfig:
        if self.engine == "openai":
            try:
                parts = urlsplit(self.url)
            except ValueError:
                parts = urlsplit("")
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("engine openai needs url: http(s)://host/v1")
            if parts.username or parts.password:
                raise ValueError(
                    "url holds a user or password, which run.yaml would keep; name the variable of a key in api_key_env"
                )
        if bool(self.reasoning_parser) and not (self.engine == "vllm" and self.thinking_tokens):
            raise ValueError("reasoning_parser needs engine vllm and thinking_tokens above 0")
        if self.engine == "vllm" and self.thinking_tokens and not self.reasoning_parser:
            raise ValueError("thinking_tokens needs reasoning_parser, which tells thoughts from answers")
        if self.gpus and self.gpus != self.tensor_parallel * self.pipeline_parallel:
            raise ValueError("gpus must equal tensor_parallel * pipeline_parallel (or be 0 on the CPU)")
        return self


ServerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]  # it names a file of the run


class McpServerConfig(Section):
    """A live MCP server whose tools are imported: a command to start (stdio), or a URL (streamable HTTP)."""

    command: tuple[str, ...] = execution((), "Program and arguments of a server that talks over stdin and stdout.")
    url: str = execution("", "URL of a server that talks over HTTP, such as http://host:8000/mcp.")
    env: tuple[str, ...] = execution((), "Names of environment variables that the command is given.")
    token_env: str = execution("", "Name of the environment variable with the bearer token for `url`.")
    timeout: float = execution(60.0, "Seconds that starting the server and listing its tools may take.", gt=0)
    allow: tuple[str, ...] = execution(
        (), "Tools that dialogs may call there (generate.execution: mcp); when empty those that it calls read-only."
    )
    call_timeout: float = execution(30.0, "Seconds that one call may take, the server's start included.", gt=0)

    @model_validator(mode="after")
    def _one_way(self) -> McpServerConfig:
        if bool(self.command) == bool(self.url):
            raise ValueError("give either command or url")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")
        return self


class SourcesConfig(Section):
    """What the run reads: globs or folders. A run grows when more is there at its next start; what it read stays."""

    documents: tuple[str, ...] = execution(
        (),
        "Folders or globs of documents: text (*.txt, *.md, *.rst), *.html, *.pdf, and tables with a text column "
        "(*.jsonl, *.parquet).",
    )
    openapi: tuple[str, ...] = execution(
        (), "OpenAPI 3.x or Swagger 2 documents (*.json, *.yaml) to import as real APIs."
    )
    mcp: tuple[str, ...] = execution((), "Saved MCP tools/list results (*.json) to import as real APIs.")
    tools: tuple[str, ...] = execution(
        (),
        "Lists of tools (*.json, *.jsonl) in OpenAI's, Anthropic's or Gemini's form, as clients send them, to import as real "
        "APIs.",
    )
    python: tuple[str, ...] = execution(
        (),
        "Python files (*.py), or installed modules and packages by name, whose public functions are imported as real APIs; "
        "their text is read, nothing of it is run.",
    )
    mcp_servers: dict[ServerName, McpServerConfig] = Field(
        {}, description="Live MCP servers by name; a server is asked once and its list kept in the run."
    )
    private: Literal["mask", "reject", "keep"] = content(
        "mask",
        "What becomes of documents with secrets or personal data: stand-ins in their place, the ledger, or nothing.",
    )
    undescribed: Literal["refuse", "derive", "write"] = content(
        "derive",
        "What becomes of imported parameters and operations without a description: refused; given one made by code of their "
        "name, title, values, format and example; or given one that the model of roles.writer writes, where it passes the checks "
        "(each is told in the lineage).",
    )
    text_column: str = content("text", "Column of the text in JSONL and Parquet files.")
    chunk_chars: int = content(
        6000, "Longer documents are cut by their structure into pieces of this many characters.", ge=200
    )
    max_file_mb: int = execution(64, "Larger files are not read (tables are: they are read row by row).", ge=1)

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, tree: Any) -> Any:
        """A single path or glob may stand for the list of it."""
        if not isinstance(tree, dict):
            return tree
        lists = {name for name, info in cls.model_fields.items() if info.annotation == tuple[str, ...]}
        return {key: [value] if key in lists and isinstance(value, str) else value for key, value in tree.items()}


class EvolveConfig(Section):
    """TSS: from documents to the API pool."""

    apis: int = execution(
        16,
        "APIs to synthesise from documents beside the imported ones; 0 imports only, as does a run without documents where this "
        "is not set.",
        ge=0,
    )
    generation_size: int = content(
        1000, "APIs of one generation; the next one's examples and indicators come from what was made before.", ge=1
    )
    max_attempts: int = execution(3, "Attempts at most, as a multiple of the APIs wanted.", ge=1)
    depth: int = content(
        4,
        "Levels of the tree: domain, topic, functionality, and the levels that functionalities are divided into.",
        ge=3,
    )
    leaves: int = content(100_000, "Functionalities of the tree after which none is divided any more.", ge=1)
    max_level: int = content(3, "Functionalities of one API at most (its diversity level).", ge=1, le=4)
    max_indicators: int = content(3, "Diversity indicators applied to one API at most.", ge=0, le=10)
    near_duplicate: float = content(
        0.8, "Similarity (Jaccard, of words and fields) from which two APIs are the same one.", gt=0, le=1
    )
    samples: int = content(2, "Candidates a request; the first that passes the checks is kept.", ge=1)
    temperature: float = content(0.8, "Sampling temperature of the writer.", ge=0)


class QuotaConfig(Section):
    """Accepted dialogs wanted, by type."""

    single: int = execution(8, "One call.", ge=0)
    parallel: int = execution(6, "Two or more calls at once, independent of each other.", ge=0)
    dependent: int = execution(6, "Calls one after another, each with a value of the result before.", ge=0)
    non_tool: int = execution(6, "No call: no function fits, a required value is missing, talk, knowledge.", ge=0)
    clarification: int = execution(0, "A required value is missing: the assistant asks, then calls.", ge=0)
    recovery: int = execution(0, "A call fails and is made again, as it was or with another value.", ge=0)
    multi_turn: int = execution(0, "Several requests, some of which refer to what was before.", ge=0)

    def of(self, kind: DialogType) -> int:
        """The quota of one type."""
        return int(getattr(self, kind))


Weights = dict[str, Annotated[float, Field(ge=0)]]
FEATURES: dict[DialogType, Weights] = {
    "single": {"plain": 0.75, "nested": 0.1, "error": 0.1, "empty": 0.05},
    "parallel": {"same_api": 0.5, "several_apis": 0.5},
    "dependent": {"chain_2": 0.6, "chain_3": 0.25, "chain_4": 0.1, "chain_5": 0.05},
    "non_tool": {"no_function": 0.4, "missing": 0.3, "small_talk": 0.15, "knowledge": 0.15},
    "clarification": {"ask": 1.0},
    "recovery": {"retry": 0.5, "correct": 0.5},
    "multi_turn": {"turns_2": 0.3, "turns_3": 0.3, "turns_4": 0.2, "turns_6": 0.1, "turns_8": 0.05, "turns_12": 0.05},
}
DISTRACTORS = ("related", "near_duplicate", "unrelated")


class GenerateConfig(Section):
    """SDG: from the API pool to dialogs."""

    strategy: Literal["blueprint", "roleplay"] = content(
        "blueprint",
        "`blueprint`: gold calls and results first, then the words; `roleplay`: three agents play (paper section 2.2).",
    )
    quotas: QuotaConfig = execution(QuotaConfig(), "Accepted dialogs by type.")
    features: dict[DialogType, Weights] = execution(
        FEATURES, "Type -> feature -> weight: how a type's quota is shared out, as counts of accepted dialogs."
    )
    contrastive: float = execution(
        0.0,
        "Contrasts, as a share of the accepted dialogs with calls: the same request without its tool, or without a value.",
        ge=0,
        le=1,
    )
    max_attempts: int = execution(8, "Attempts at most, as a multiple of each kind's quota.", ge=1)
    min_tools: int = content(1, "Candidate tools at least.", ge=1, le=10)
    max_tools: int = content(10, "Candidate tools at most (more where more are called).", ge=1, le=10)
    distractors: Weights = content(
        {"related": 0.6, "near_duplicate": 0.2, "unrelated": 0.2},
        "Weights of the kinds of distractors among the candidates: of the same subtree, alike in name and description, "
        "of other domains.",
    )
    languages: Weights = content({"English": 1.0}, "Language that is spoken -> weight, by its English name.")
    query_samples: int = content(6, "Candidate wordings of a request; the best that passes is kept.", ge=1)
    answer_samples: int = content(3, "Candidate final answers; the best that passes is kept.", ge=1)
    consensus: int = content(
        3,
        "Samples of one decision of the assistant at most, until two agree (roleplay); 1 asks for no consensus.",
        ge=1,
    )
    thinking: bool = content(True, "The assistant thinks in a structured way before each decision (roleplay).")
    keep_thoughts: bool = content(
        True, "Keep what the assistant thought beside its messages (never in them); false drops it."
    )
    rounds: int = content(2, "Rounds of candidates before an attempt is given up.", ge=1)
    temperature: float = content(0.8, "Sampling temperature of words.", ge=0)
    max_tokens: int = execution(
        0,
        "Generated tokens the run may spend at most, on its pool, its dialogs and its contrasts together, failed attempts included; "
        "what is in flight then is played to its end. 0 is no limit.",
        ge=0,
    )
    max_cost: float = execution(
        0.0, "Money the run may spend at most, by the pools' prices and counted like max_tokens; 0 is no limit.", ge=0
    )
    execution: Literal["model", "mcp"] = content(
        "model",
        "What answers calls: `model`, the tool agent; `mcp`, the live servers of sources.mcp_servers for their own tools.",
    )  # last, since it hides the function of its name

    @model_validator(mode="after")
    def _consistent(self) -> GenerateConfig:
        if self.min_tools > self.max_tools:
            raise ValueError("min_tools is larger than max_tools")
        for kind, weights in self.features.items():
            for name in weights:
                if name not in VARIANTS[kind]:
                    raise ValueError(f"features.{kind} has no {name!r}; known: {', '.join(VARIANTS[kind])}")
        if unknown := sorted(set(self.distractors) - set(DISTRACTORS)):
            raise ValueError(f"distractors has no {unknown[0]!r}; known: {', '.join(DISTRACTORS)}")
        for name, weights in (("distractors", self.distractors), ("languages", self.languages)):
            if not sum(weights.values()):
                raise ValueError(f"{name}: at least one weight must be above 0")
        return self

    def weights(self, kind: DialogType) -> Weights:
        """Feature -> weight of a type; those of the default where the configuration names none."""
        return self.features.get(kind) or FEATURES[kind]


class ComplexityConfig(Section):
    """How hard dialogs are for the model that is to be tuned (roles.target), and self-guided complication."""

    measure: bool = content(False, "Measure the target's loss on every dialog and store it with it.")
    band: str = content(
        "", "File with the band, as `toolace calibrate` writes it: dialogs outside are played again, harder or simpler."
    )
    rounds: int = content(3, "Rounds of complication at most; the dialog nearest to the band is kept.", ge=0)
    samples: int = content(4, "Answers a turn for targets that return no log-probabilities (pass@k).", ge=1)

    @property
    def active(self) -> bool:
        """True when dialogs are measured."""
        return self.measure or bool(self.band)


class CalibrateConfig(Section):
    """The prior set and the short tuning that the band comes from (`toolace calibrate`)."""

    dialogs: int = execution(500, "Dialogs of the prior set at most; the run's own, drawn where it has more.", ge=8)
    epochs: int = execution(2, "Epochs of the probe's tuning.", ge=1)
    learning_rate: float = execution(1e-4, "Its learning rate at the top of the schedule.", gt=0)
    batch: int = execution(8, "Dialogs of one step.", ge=1)
    rank: int = execution(16, "LoRA rank; alpha is twice that.", ge=1)
    max_tokens: int = execution(4096, "Longer dialogs are not tuned on.", ge=64)
    cpus: float = execution(1.0, "CPUs that the tuning reserves.", ge=0)
    gpus: float = execution(0.0, "GPUs that the tuning reserves.", ge=0)


class ExpertConfig(Section):
    """How an expert of the model layer decides."""

    votes: int = content(3, "Votes at most; the asking ends as soon as the majority is certain.", ge=1)
    against: int = content(
        2, "Votes against that reject a dialog: 2 of 3 is a majority; weak judges serve better unanimous.", ge=1
    )

    @model_validator(mode="after")
    def _reachable(self) -> ExpertConfig:
        if self.against > self.votes:
            raise ValueError("against is larger than votes: nothing would ever be rejected")
        return self


class VerifyConfig(Section):
    """DLV: rules and experts."""

    rules: dict[str, RuleSetting] = content(
        {},
        "Rule -> its severity (`reject`, `mask` the turn, `warn`, `off`), or a mapping of severity and the rule's own settings, "
        "such as `message_length: {chars: 8000}` (`toolace check --rules` lists them).",
    )
    modules: tuple[str, ...] = content(
        (),
        "Your own rules: Python files (ending in .py) or modules that register functions with `toolace_ray.dlv.registry.rule`.",
    )
    duplicates: float = content(
        0.9,
        "Similarity (Jaccard, of what is asked for and called) from which two dialogs of a kind are one; 1 is equal ones "
        "alone, 0 switches it off.",
        ge=0,
        le=1,
    )
    decontaminate: tuple[str, ...] = content(
        (),
        "Benchmarks whose questions and tools no dialog may have: JSON or JSONL files, folders of them, or `bfcl` for what the "
        "installed package bfcl-eval ships.",
    )
    private: Literal["mask", "keep"] = content(
        "keep",
        "What becomes of secrets and personal data before the rules look: `mask` puts stand-ins in their place; with `keep` the "
        "rules `secrets` and `personal_data` tell.",
    )
    repair: int = content(
        1,
        "Rounds in which what fails goes back to its writer with the reason: words that fail a rule, an answer that the experts "
        "`grounding` or `meaning` reject.",
        ge=0,
        le=2,
    )
    experts: dict[ExpertName, ExpertConfig] = Field(
        {"consistency": ExpertConfig()},
        description="The experts of the model layer (roles.judge) that are asked, in this order, each with its votes; {} asks none. "
        "`consistency` is asked of a request's wordings as well, before one is taken.",
    )


class ExecutionConfig(Section):
    """How much runs at once, and how often it is committed."""

    workers: int = execution(1, "Dialog worker processes.", ge=1)
    in_flight: Annotated[int, Field(ge=1)] | Literal["auto"] = execution(
        "auto",
        "Dialogs one worker plays at once. `auto`: as many as keep the pools full, divided among the workers: max_in_flight for each "
        "replica, and under vLLM no more than half as many again as fill it, given what it computes at once (max_num_seqs) and the "
        "samples of a request (query_samples, answer_samples).",
    )
    worker_cpus: float = execution(0.1, "CPUs one worker reserves; it mostly waits.", ge=0)
    shard_rows: int = execution(64, "Rows after which a worker commits a shard.", ge=1)
    shard_seconds: float = execution(10.0, "Seconds after which a worker commits what it has.", gt=0)
    verify_concurrency: int = execution(2, "Ray Data tasks at once in each verification stage.", ge=1)
    request_timeout: float = execution(600.0, "Seconds one model request may take, over all resends.", gt=0)
    affinity_margin: int = execution(
        8, "A dialog leaves its replica when that has this many more requests than the least loaded.", ge=0
    )
    speculate: bool = execution(
        True,
        "Where a worker has room that nothing else needs, play more attempts at what still lacks than its pass rate asks for, so "
        "that the last dialogs take one round and not many; what passes beyond is kept as surplus. It changes nothing of what is "
        "accepted; false where each token costs money.",
    )


class Config(Section):
    """The whole tree."""

    run: RunConfig = RunConfig()
    ray: RayConfig = RayConfig()
    pools: dict[str, PoolConfig] = Field({"small": PoolConfig()}, description="Pools by name.", min_length=1)
    roles: dict[Role, str | dict[str, float]] = Field(
        dict.fromkeys(ROLES, "small"),
        description="Role -> pool, or role -> {pool: weight} for a mix of teachers.",
    )
    sources: SourcesConfig = SourcesConfig()
    evolve: EvolveConfig = EvolveConfig()
    generate: GenerateConfig = GenerateConfig()
    complexity: ComplexityConfig = ComplexityConfig()
    calibrate: CalibrateConfig = CalibrateConfig()
    verify: VerifyConfig = VerifyConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @model_validator(mode="after")
    def _roles(self) -> Config:
        if self.complexity.active and "target" not in self.roles:
            raise ValueError(
                f"roles.target is missing, which complexity measures; give it a pool ({', '.join(self.pools)})"
            )
        if "target" in self.roles and len(self.mix("target")) > 1:
            raise ValueError("roles.target must name one pool: losses of two models are no one measure")
        for role in ROLES:
            if role not in self.roles:
                raise ValueError(f"roles.{role} is missing; give it a pool ({', '.join(self.pools)})")
        for role in self.roles:
            for pool, weight in self.mix(role).items():
                if pool not in self.pools:
                    raise ValueError(f"roles.{role} names pool {pool!r}, but pools has: {', '.join(self.pools)}")
                if weight <= 0:
                    raise ValueError(f"roles.{role}.{pool}: a weight must be above 0")
        return self

    @model_validator(mode="after")
    def _plain(self) -> Config:
        for key, value, _ in _flatten(self):
            try:
                canonical_json(value)
            except (TypeError, ValueError) as error:  # run.yaml and the fingerprint hold every key as JSON
                raise ValueError(f"{key}: {error}; give texts, finite numbers, lists and mappings") from error
        return self

    def mix(self, role: Role) -> dict[str, float]:
        """Pool -> weight of a role."""
        value = self.roles[role]
        return {value: 1.0} if isinstance(value, str) else dict(value)

    @property
    def used_pools(self) -> dict[str, PoolConfig]:
        """The pools that roles name, in the order of their names."""
        names = {pool for role in self.roles for pool in self.mix(role)}
        return {name: self.pools[name] for name in sorted(names)}

    @property
    def reserved(self) -> tuple[float, int]:
        """CPUs and GPUs that the replicas and workers of a run reserve."""
        pools = self.used_pools.values()
        cpus = sum(pool.cpus * pool.replicas for pool in pools) + self.execution.workers * self.execution.worker_cpus
        return cpus, sum(pool.gpus * pool.replicas for pool in pools)

    def content(self) -> dict[str, Any]:
        """The content keys, flattened: dotted key -> JSON value."""
        return {key: value for key, value, is_execution in _flatten(self) if not is_execution}

    def fingerprint(self) -> str:
        """Hash of the content keys: two runs with one fingerprint make the same plan."""
        return digest(canonical_json(self.content()))


def is_execution(info: FieldInfo) -> bool:
    extra = info.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("execution"))


def _is_sections(info: FieldInfo) -> bool:
    entry = get_args(info.annotation)[1] if get_origin(info.annotation) is dict else None
    return isinstance(entry, type) and issubclass(entry, Section)


def _flatten(section: BaseModel, prefix: str = "", inherited: bool = False) -> list[tuple[str, Any, bool]]:
    rows: list[tuple[str, Any, bool]] = []
    for name, info in type(section).model_fields.items():
        key, value = f"{prefix}{name}", getattr(section, name)
        execution = inherited or is_execution(info)
        if isinstance(value, BaseModel):
            rows += _flatten(value, f"{key}.", execution)
        elif value == {} and _is_sections(info):
            continue
        elif isinstance(value, dict) and value and all(isinstance(item, BaseModel) for item in value.values()):
            for entry in sorted(value):
                rows += _flatten(value[entry], f"{key}.{entry}.", execution)
        else:
            rows.append((key, list(value) if isinstance(value, tuple) else value, execution))
    return rows
