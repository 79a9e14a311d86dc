"""What the page says, in English and in Simplified Chinese."""

from __future__ import annotations

from html import escape

from .rows import Kind

WORDS: dict[str, tuple[str, str]] = {
    "picture": ("Picture {0}", "图片 {0}"),
    "picture_facts": (
        "{0} x {1} pixels; {2} images for the vision tower, {3} slots, {4} tokens in all",
        "{0} × {1} 像素；视觉塔得到 {2} 张图，{3} 个图片位，共 {4} 个 token",
    ),
    "title": ("What the model sees", "模型看到了什么"),
    "lead": (
        "Every token of a training row: what is read, what is learned, and where an answer ends.",
        "训练数据逐个 token 展示：哪些只是读入，哪些要学习，回答在哪里结束。",
    ),
    "file": ("File", "文件"),
    "model": ("Model", "模型"),
    "format": ("Record format", "数据格式"),
    "chat": ("Chat format", "对话格式"),
    "max_length": ("max_length", "max_length"),
    "end_of_turn": ("end_of_turn", "end_of_turn"),
    "loss_on": ("loss_on", "loss_on"),
    "legend": ("Legend", "图例"),
    "records": ("Records", "数据条目"),
    "record": ("Record {0}", "条目 {0}"),
    "row": ("Row {0} of {1}", "第 {0} 行，共 {1} 行"),
    "line": ("line {0}", "文件第 {0} 行"),
    "more": (
        "Shown here: records {0} to {1}. The file has more (--record, --count).",
        "这里显示第 {0} 到 {1} 条，文件中还有更多（--record、--count）。",
    ),
    "from0": ("Records and tokens are counted from 0.", "条目和 token 的编号都从 0 开始。"),
    "tokens": ("tokens", "token 数"),
    "learned": ("learned", "学习"),
    "share": ("share", "占比"),
    "stops": ("stops", "结束符"),
    "cut": ("cut", "截断"),
    "to_learn": (" ({0} of them to learn)", "（其中 {0} 个本要学习）"),
    "bad": ("This record cannot be used", "这条数据无法使用"),
    "field": ("Field", "字段"),
    "reason": ("Reason", "原因"),
    "mend": ("Mend", "修正办法"),
    "proof": ("Is it what chat sends?", "与聊天时发送的内容一致吗？"),
    "holds": (
        "Answer {0}: the {1} tokens before it are exactly what chat sends.",
        "回答 {0}：它前面的 {1} 个 token 与聊天时发送的完全一致。",
    ),
    "differs": (
        "Answer {0}: training and chat differ from token {1} on: the row has {2}, chat sends {3}.",
        "回答 {0}：从第 {1} 个 token 起训练与聊天不一致：训练数据是 {2}，聊天发送的是 {3}。",
    ),
    "ends early": (
        "Answer {0}: chat's prompt ends after {1} tokens, but the answer does not begin there in the row ({2}).",
        "回答 {0}：聊天的提示在 {1} 个 token 之后结束，但训练数据中的回答不从那里开始（{2}）。",
    ),
    "ends late": (
        "Answer {0}: in the row it begins with token {1} ({2}), but chat's prompt goes on behind that.",
        "回答 {0}：训练数据中它从第 {1} 个 token（{2}）开始，但聊天的提示在此之后还没有结束。",
    ),
    "refused": (
        "Answer {0}: chat cannot send the conversation before it. {1}",
        "回答 {0}：它前面的对话无法在聊天中发送。{1}",
    ),
    "plain": (
        "Plain text: learned whole, without a chat layout.",
        "纯文本：全部学习，不使用对话格式。",
    ),
    "disliked": (
        "Its answer is marked as a bad one: nothing of it is learned.",
        "该回答被标为差评：其中没有任何内容会被学习。",
    ),
    "rejected": (
        "Preference data: the better answer is shown; the worse one is not.",
        "偏好数据：这里显示较好的回答，不显示较差的回答。",
    ),
    "nothing": ("nothing", "无"),
    "hint": (
        "Point at a token or tap it. With the keyboard: Tab, then the arrow keys.",
        "将鼠标移到 token 上，或点按它。键盘操作：先按 Tab，再用方向键。",
    ),
    "position": ("Position", "位置"),
    "id": ("Id", "编号"),
    "piece": ("Token", "Token"),
    "kind": ("Kind", "类别"),
    "label": ("Label", "标签"),
    "none": ("none (−100)", "无（−100）"),
    "by_label": ("stop by label", "仅标签的结束符"),
    "by_label_text": (
        "the end is learned here by a label alone; the row goes on",
        "此处只用标签来学习回答的结束，输入照常继续",
    ),
    "space": ("space", "空格"),
    "newline": ("line end", "换行"),
    "tab": ("tab", "制表符"),
    "marks": ("These marks are not copied with the text.", "复制文本时不会带上这些标记。"),
    "made": ("Made by tunesmith data show.", "由 tunesmith data show 生成。"),
}

KIND_NAMES: dict[Kind, tuple[str, str]] = {
    "begin": ("begin", "开头"),
    "prompt": ("prompt", "提示"),
    "context": ("context", "上下文"),
    "learned": ("learned", "学习"),
    "stop": ("stop", "结束符"),
    "cut": ("cut", "截断"),
}
KIND_TEXTS: dict[Kind, tuple[str, str]] = {
    "begin": ("begins the row: given, not predicted", "一行的开头：直接给出，不预测"),
    "prompt": ("read, not learned", "只读入，不学习"),
    "context": ("an answer that is read, but not learned", "读入但不学习的回答"),
    "learned": ("predicted: what is learned", "要预测的内容，也就是学习的内容"),
    "stop": ("the learned end of an answer", "要学习的回答结尾"),
    "cut": ("over max_length: not seen at all", "超出 max_length，模型完全看不到"),
}


def both(pair: tuple[str, str], *values: object) -> str:
    """Return a text in both languages as HTML; the page shows one of them. Values are escaped."""
    english, chinese = (escape(text.format(*values)) for text in pair)
    if english == chinese:
        return english
    return f'<span class="en" lang="en">{english}</span><span class="zh" lang="zh-CN">{chinese}</span>'


def say(name: str, *values: object) -> str:
    """Return the text called `name` in both languages as HTML."""
    return both(WORDS[name], *values)
