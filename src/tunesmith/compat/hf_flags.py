"""The flags of Hugging Face's TrainingArguments (versions 4 and 5), which the published scripts take too."""

from __future__ import annotations

from .words import Flag

DIRECT = {
    "output_dir": Flag("text", "output"),
    "num_train_epochs": Flag("float", "training.epochs"),
    "per_device_train_batch_size": Flag("int", "training.batch_size"),
    "per_device_eval_batch_size": Flag("int", "training.eval_batch_size"),
    "gradient_accumulation_steps": Flag("int", "training.gradient_accumulation_steps"),
    "learning_rate": Flag("float", "training.learning_rate"),
    "weight_decay": Flag("float", "training.weight_decay"),
    "adam_beta1": Flag("float", "training.beta1"),
    "adam_beta2": Flag("float", "training.beta2"),
    "adam_epsilon": Flag("float", "training.epsilon"),
    "max_grad_norm": Flag("float", "training.max_grad_norm"),
    "gradient_checkpointing": Flag("bool", "training.gradient_checkpointing"),
    "activation_checkpointing": Flag("bool", "training.gradient_checkpointing"),
    "optim": Flag("text", "training.optimizer"),
    "seed": Flag("int", "training.seed"),
    "dataloader_num_workers": Flag("int", "training.workers"),
    "logging_steps": Flag("int", "training.logging_steps"),
    "torch_compile": Flag("bool", "training.compile"),
}
"""Those that are one of our settings under another name."""

EXPLAINED = {
    "max_steps": Flag("int"),
    "lr_scheduler_type": Flag("text"),
    "warmup_steps": Flag("int"),
    "warmup_ratio": Flag("float"),
    "bf16": Flag("bool"),
    "fp16": Flag("bool"),
    "eval_strategy": Flag("text"),
    "evaluation_strategy": Flag("text"),
    "eval_steps": Flag("int"),
    "save_strategy": Flag("text"),
    "save_steps": Flag("int"),
    "save_total_limit": Flag("int"),
    "logging_strategy": Flag("text"),
    "load_best_model_at_end": Flag("bool"),
    "metric_for_best_model": Flag("text"),
    "group_by_length": Flag("bool"),
    "train_sampling_strategy": Flag("text"),
    "report_to": Flag("list"),
    "use_cpu": Flag("bool"),
    "no_cuda": Flag("bool"),
    "overwrite_output_dir": Flag("bool"),
    "deepspeed": Flag("text"),
}
"""Those whose meaning depends on others; `translate` knows it."""


def _same(kind: str, names: str, *, idle: str = "", refused: str = "") -> dict[str, Flag]:
    """Return flags, their names with spaces between, that have one reason in common."""
    return {name: Flag(kind, idle=idle, refused=refused) for name in names.split()}


_HUB = "nothing is uploaded; use `hf upload` on the result."
_ALWAYS = "this is always so here."
_BATCHES = "batches hold what the loss needs, and nothing else is read from the data."
_EVALUATION = "evaluation keeps the loss alone, in the precision of the training."
_LOADING = "how batches are loaded is chosen here, and does not change them."
_LOGS = "the console shows a progress line; all metrics are in metrics.jsonl of the run."
_PROCESSES = "processes are connected by the settings under `distributed`."
_GONE = "current versions of transformers have no such argument any more."

IDLE = {
    **_same("bool", "do_train do_eval", idle="training always runs, and evaluation follows --eval_strategy."),
    **_same("bool", "remove_unused_columns include_inputs_for_metrics", idle=_BATCHES),
    **_same("list", "label_names", idle=_BATCHES),
    **_same("bool", "prediction_loss_only bf16_full_eval fp16_full_eval eval_do_concat_batches", idle=_EVALUATION),
    **_same("bool", "eval_use_gather_object batch_eval_metrics", idle=_EVALUATION),
    **_same("int", "eval_accumulation_steps", idle=_EVALUATION),
    **_same("bool", "greater_is_better", idle="the best loss is the smallest one."),
    **_same("text", "logging_dir", idle="logs are written into the run folder."),
    **_same("text", "log_level log_level_replica", idle=_LOGS),
    **_same("bool", "logging_first_step log_on_each_node disable_tqdm skip_memory_metrics", idle=_LOGS),
    **_same("bool", "include_tokens_per_second", idle=_LOGS),
    **_same("text", "include_num_input_tokens_seen", idle=_LOGS),
    **_same("text", "run_name project trackio_space_id trackio_bucket_id trackio_static_space_id", idle=_LOGS),
    **_same("bool", "logging_nan_inf_filter", idle="a loss that is not a number always stops the run."),
    **_same("bool", "dataloader_pin_memory dataloader_persistent_workers dataloader_in_order", idle=_LOADING),
    **_same("int", "dataloader_prefetch_factor", idle=_LOADING),
    **_same("text", "dataloader_multiprocessing_context length_column_name", idle=_LOADING),
    **_same("text", "gradient_checkpointing_kwargs activation_checkpointing_kwargs", idle="the safe form is used."),
    **_same("bool", "save_safetensors average_tokens_across_devices enable_jit_checkpoint", idle=_ALWAYS),
    **_same("bool", "restore_callback_states_from_checkpoint", idle=_ALWAYS),
    **_same("text", "resume_from_checkpoint", idle="the same command always goes on with a run that was stopped."),
    **_same("bool", "save_on_each_node ddp_find_unused_parameters ddp_broadcast_buffers", idle=_PROCESSES),
    **_same("bool", "ddp_static_graph", idle=_PROCESSES),
    **_same("text", "ddp_backend", idle=_PROCESSES),
    **_same("int", "local_rank ddp_bucket_cap_mb ddp_timeout", idle=_PROCESSES),
    **_same("text", "cache_dir", idle="models are read from their folder, or from HF_HOME."),
    **_same("bool", "tf32", idle="float32 is computed as torch is set up to; give --bf16 for speed."),
    **_same("bool", "use_cache", idle="a cache of keys and values is of no use in training."),
    **_same("int", "torch_empty_cache_steps", idle="the memory of the GPU is left to torch."),
    **_same("bool", "use_legacy_prediction_loop jit_mode_eval use_ipex use_mps_device", idle=_GONE),
    **_same("text", "half_precision_backend fp16_backend fp16_opt_level", idle=_GONE),
    **_same("int", "past_index", idle=_GONE),
    **_same("bool", "hub_private_repo hub_always_push", idle=_HUB),
    **_same("text", "hub_token hub_model_id hub_strategy hub_revision", idle=_HUB),
}
"""Those that have no effect here, each with the reason, which is said."""

_OPTIMISER = "an optimiser has --adam_beta1, --adam_beta2, --adam_epsilon and nothing else to be set."
_COMPILE = "layers are compiled (--torch_compile) by torch's default; leave it out."

REFUSED = {
    **_same("bool", "push_to_hub", refused=_HUB),
    **_same("float", "label_smoothing_factor neftune_noise_alpha", refused="the loss is the plain one; leave it out."),
    **_same("text", "optim_args", refused=_OPTIMISER),
    **_same("list", "optim_target_modules", refused=_OPTIMISER),
    **_same("text", "lr_scheduler_kwargs", refused="`training.min_learning_rate_ratio` in the YAML file may do."),
    **_same("text", "torch_compile_backend torch_compile_mode", refused=_COMPILE),
    **_same("bool", "use_liger_kernel", refused="the loss here never holds all logits at once; leave it out."),
    **_same("text", "liger_kernel_config", refused="leave it out."),
    **_same("text", "fsdp", refused="give `distributed` with `engine: fsdp` in the YAML file (--print-config)."),
    **_same("text", "fsdp_config parallelism_config accelerator_config", refused="see `distributed` in the YAML file."),
    **_same("bool", "auto_find_batch_size", refused="give a smaller --per_device_train_batch_size."),
    **_same("bool", "dataloader_drop_last", refused="the last, smaller batch is always learned from."),
    **_same("bool", "save_only_model ignore_data_skip", refused="such a run could not be resumed to the same weights."),
    **_same("float", "eval_delay", refused="evaluation begins with the first --eval_steps."),
    **_same("bool", "eval_on_start do_predict", refused="evaluation runs during the training alone."),
    **_same("list", "include_for_metrics", refused="there are no metrics but the loss."),
    **_same("list", "debug", refused="leave it out."),
    **_same("bool", "full_determinism", refused="a CPU repeats a run bit for bit anyway; a GPU as torch is set up to."),
    **_same("int", "data_seed", refused="one seed draws both; give --seed."),
}
"""Those that change what a run does and that we do not have: an error, unless they only say "off"."""

HF_FLAGS = {**DIRECT, **EXPLAINED, **IDLE, **REFUSED}
