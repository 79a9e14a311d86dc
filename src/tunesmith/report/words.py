"""What the report card says, in English and in Simplified Chinese."""

from __future__ import annotations

from ..data.show.words import both

WORDS: dict[str, tuple[str, str]] = {
    "title": ("Report card", "训练报告"),
    "made": ("Made by tunesmith report, version", "由 tunesmith report 生成，版本"),
    # how it ended
    "finished": ("finished", "已完成"),
    "verified": ("finished and verified", "已完成并通过核对"),
    "failed": ("failed", "失败"),
    "interrupted": ("interrupted", "已中断"),
    "running": ("not finished", "未完成"),
    "verified_text": (
        (
            "After saving, a clean process loaded the result and compared it with what was trained; the largest difference "
            "of a logit is {0}."
        ),
        "保存之后，一个全新的进程重新载入了结果，并与训练所得逐项核对；logit 的最大差异为 {0}。",
    ),
    "unverified_text": (
        "The result was not compared with what was trained (training.verify was off).",
        "没有核对保存的结果与训练所得是否一致（training.verify 已关闭）。",
    ),
    "failed_text": (
        "The run failed at step {0}. What follows is what it had written until then. Reason:",
        "训练在第 {0} 步失败。以下是失败之前已写下的内容。原因：",
    ),
    "interrupted_text": (
        (
            "The run was stopped at step {0} and is not finished; the same training command goes on from there. What follows "
            "is what it had written until then."
        ),
        "训练在第 {0} 步被停止，尚未完成；再次执行同一条训练命令即可继续。以下是停止之前已写下的内容。",
    ),
    "running_text": (
        (
            "Nothing says that the run has ended: it is running now, or it was killed (its state is '{0}'). What follows is "
            "what it had written until now."
        ),
        "没有记录表明训练已经结束：它可能正在运行，也可能被强行终止（状态为“{0}”）。以下是目前已写下的内容。",
    ),
    # figures at the top
    "tile_loss": ("Validation loss", "验证损失"),
    "tile_exact": ("Answers exactly right", "完全正确的回答"),
    "tile_ended": ("Answers that end by themselves", "自行结束的回答"),
    "tile_forget": ("Loss on general questions", "常识问题上的损失"),
    "tile_steps": ("Optimiser steps", "优化步数"),
    "before_after": ("before → after", "训练前 → 训练后"),
    "in_time": ("in {0}", "用时 {0}"),
    # what was trained
    "trained": ("What was trained", "训练了什么"),
    "model": ("Base model", "基座模型"),
    "base_print": ("Its fingerprint", "基座指纹"),
    "method": ("Method", "方法"),
    "objective": ("Objective", "目标"),
    "parameters": ("Parameters", "参数量"),
    "in_adapter": ("{0} in the result, on a base of {1}", "结果中 {0} 个，基座 {1} 个"),
    "in_model": ("{0} in the result", "结果中 {0} 个"),
    "result": ("Result", "结果"),
    "no_result": ("none yet", "尚无"),
    "steps": ("Steps", "步数"),
    "rows_step": ("{0} rows a step", "每步 {0} 行"),
    "batches_step": ("{0} batches of at most {1:,} tokens a step", "每步 {0} 个批次，每批至多 {1:,} 个 token"),
    "rate": ("Learning rate", "学习率"),
    "device": ("Computed on", "计算设备"),
    "threads": ("threads: {0}", "线程数：{0}"),
    "processes": ("{0} processes", "{0} 个进程"),
    "seed": ("Seed", "随机种子"),
    "speed": ("Speed", "速度"),
    "per_second": ("{0} tokens a second (median)", "每秒 {0} 个 token（中位数）"),
    "memory": ("Peak memory", "内存峰值"),
    # data
    "data": ("Data", "数据"),
    "file": ("File", "文件"),
    "use": ("Use", "用途"),
    "training": ("training", "训练"),
    "validation": ("validation", "验证"),
    "format": ("Format", "格式"),
    "records": ("Records", "条目"),
    "used": ("Used", "采用"),
    "left_out": ("Left out", "剔除"),
    "sha": ("SHA-256", "SHA-256"),
    "unknown": ("not recorded", "未记录"),
    "tokens_text": ("{0} tokens, {1} of them learned from.", "共 {0} 个 token，其中学习 {1} 个。"),
    "share_text": (
        "Of these records {0} were set apart for validation (data.validation_share).",
        "其中 {0} 的条目留作验证（data.validation_share）。",
    ),
    "cut_text": (
        "{0} rows were longer than max_length and cut: {1} tokens, {2} of them to be learned.",
        "{0} 行超出 max_length 被截断：{1} 个 token，其中 {2} 个本要学习。",
    ),
    "nothing_found": (
        "Nothing to report: no record was left out, and no row was cut.",
        "没有问题：没有条目被剔除，也没有行被截断。",
    ),
    "bad_text": ("Left out because they cannot be used:", "因无法使用而剔除的条目："),
    "more_bad": ("... and {0} more; they stand in data.json.", "……另有 {0} 条，见 data.json。"),
    "disliked": ("{0} answers marked as bad ones were not learned from.", "{0} 条标为差评的回答没有学习。"),
    "rows_print": ("Fingerprint of all rows", "全部数据行的指纹"),
    "no_data": ("The run ended before its data were read.", "训练在读取数据之前就已结束。"),
    # curves
    "curves": ("Curves", "曲线"),
    "no_curves": ("The run has logged no step.", "训练没有记录任何一步。"),
    "loss": ("Loss per label token, in nats", "每个标签 token 的损失（nat）"),
    "learning_rate": ("Learning rate", "学习率"),
    "grad_norm": ("Gradient norm, before clipping", "梯度范数（裁剪前）"),
    "tokens_per_second": ("Tokens per second", "每秒 token 数"),
    "peak_memory": ("Peak memory, MiB", "内存峰值（MiB）"),
    "wait_share": ("Share of the time spent waiting for data", "等待数据的时间占比"),
    "train_line": ("training, and its moving average", "训练，及其滑动平均"),
    "validation_line": ("validation", "验证"),
    "over_steps": ("All over the optimiser step.", "横轴均为优化步数。"),
    "smallest": ("{0} at step {1}", "第 {1} 步为 {0}"),
    # before and after
    "judged": ("Before and after", "训练前后对比"),
    "judged_own": (
        (
            "Asked: {0} of the {1} records that the run held out. It did not learn from them; where training.result is best, "
            "their loss chose the checkpoint. Before: the base model as it is stored; after: the result. The likeliest token "
            "is always taken, at most {2} tokens an answer."
        ),
        (
            "提问：训练留出的 {1} 条数据中的 {0} 条。训练没有学习它们；若 training.result 为 best，则按它们的损失选取检查点。"
            "训练前指保存的基座模型，训练后指结果。总是取概率最大的 token，每个回答至多 {2} 个 token。"
        ),
    ),
    "judged_given": (
        (
            "Asked: {0} of {1} records of {3}. Before: the base model as it is stored; after: the result. The likeliest token "
            "is always taken, at most {2} tokens an answer."
        ),
        "提问：{3} 的 {1} 条数据中的 {0} 条。训练前指保存的基座模型，训练后指结果。总是取概率最大的 token，每个回答至多 {2} 个 token。",
    ),
    "figure": ("Figure", "指标"),
    "rows": ("Rows", "行数"),
    "before": ("Before", "训练前"),
    "after": ("After", "训练后"),
    "difference": ("Difference", "差异"),
    "intervals": (
        (
            "In brackets: 95 % of 1,000 bootstrap samples of the rows. Differences are taken over the same samples of both; "
            "bold where 0 lies outside."
        ),
        "方括号内：对数据行做 1000 次自助抽样，其中 95% 落在此范围。差异由两者的同一批抽样得出；0 不在范围内时用粗体。",
    ),
    "legend": ("What the figures are", "指标说明"),
    "answers": ("Answers", "回答"),
    "expected": ("Expected", "期望的回答"),
    "all_answers": ("The other {0} answers", "其余 {0} 个回答"),
    "cut_answer": ("cut at the limit", "到达长度上限"),
    "empty": ("(nothing)", "（空）"),
    "no_pictures": ("A picture cannot be shown: {0}", "图片无法显示：{0}"),
    "missing": ("Not measured:", "没有测量："),
    # forgotten
    "forgotten": ("Did it forget?", "遗忘了吗？"),
    "forgotten_text": (
        (
            "{0} short general questions in English and Chinese, and a short text in each of both, the same for every model. "
            "They measure how far the training has moved the model on what it was not trained for, and nothing more: of a "
            "tiny model the answers are often wrong before and after."
        ),
        (
            "{0} 个中英文常识问题，以及中英文短文各一篇，对所有模型都相同。它们只衡量训练让模型在训练内容之外改变了多少，仅此而已："
            "很小的模型在训练前后往往都答不对。"
        ),
    ),
    "changed": ("{0} of {1} answers changed.", "{1} 个回答中有 {0} 个发生了变化。"),
    "loss_answers": ("loss of the reference answers", "参考答案的损失"),
    "loss_text": ("loss of the text", "短文的损失"),
    "perplexity_text": ("perplexity of the text", "短文的困惑度"),
    "see_questions": ("The questions and answers", "问题与回答"),
    # settings, commands
    "settings": ("All settings", "全部设置"),
    "settings_text": ("The configuration as the run used it (config.yaml).", "训练实际使用的配置（config.yaml）。"),
    "commands": ("Commands", "命令"),
    "train_again": ("Train the same again", "重新训练一次"),
    "resume": ("Go on with the training", "继续训练"),
    "talk": ("Talk to the result", "与结果对话"),
    "evaluate": ("Measure it on other records", "在其他数据上评测"),
    "hand_over": ("Write it for other programs", "导出给其他程序使用"),
    "again": ("Compute the first steps again and compare", "重算最初几步并比较"),
    "this": ("Make this page", "生成本页"),
    "versions": ("Versions", "版本"),
    "package": ("Package", "软件包"),
    "in_run": ("In the run", "训练时"),
    "on_page": ("For this page", "生成本页时"),
}

FIGURES: dict[str, tuple[tuple[str, str], str]] = {
    "loss": (("loss", "损失"), "标签 token 的平均交叉熵（nat），越低越好"),
    "perplexity": (("perplexity", "困惑度"), "e 的损失次方，越低越好"),
    "exact": (("exact", "完全一致"), "回答与期望逐字相同"),
    "normalised": (("normalised", "规范化后一致"), "忽略大小写、标点、连续空白和 Unicode 形式（NFKC）之后相同"),
    "bleu": (("BLEU", "BLEU"), "sacrebleu 的语料级 BLEU，0 到 100"),
    "chrf": (("chrF", "chrF"), "全部回答合计的 chrF2，0 到 100"),
    "rougeL": (("ROUGE-L", "ROUGE-L"), "词的最长公共子序列的 F 值"),
    "json_valid": (("JSON valid", "JSON 有效"), "期望 JSON 时：回答是有效的 JSON"),
    "json_equal": (("JSON equal", "JSON 相同"), "期望 JSON 时：包含相同的值"),
    "calls_valid": (("calls valid", "调用有效"), "应调用工具时：回答含有可读的调用"),
    "calls_equal": (("calls equal", "调用相同"), "应调用工具时：调用的名称和参数都相同"),
    "ended": (("ended by itself", "自行结束"), "模型自己结束回答，而不是到达长度上限"),
    "repeated": (
        ("repetition", "重复"),
        "回答的全部 4 元词组中，在同一回答里先前已出现过的占比：1 − 不同的 4 元词组数 ÷ 全部 4 元词组数",
    ),
    "switched": (("other script", "文字切换"), "回答中多数词的文字种类与期望的回答不同"),
    "accuracy": (("choice", "选择"), "概率最大的选项是正确的"),
    "accuracy_per_token": (("choice, per token", "选择（按 token 平均）"), "同上，按每个 token 的平均对数概率"),
}
"""Figure -> its name in both languages, and what it is in Chinese (in English, the measure itself says it)."""


def say(name: str, *values: object) -> str:
    """Return the text called `name` in both languages as HTML; values are escaped."""
    return both(WORDS[name], *values)
