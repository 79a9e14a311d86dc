"""pairs: which relation have two sentences? A fixed question, three second sentences to each first, short answers.

In the published data too each premise comes with a hypothesis for each answer, so that three rows begin alike.
"""

from __future__ import annotations

import random
from typing import Any

from .._drawing import distinct

ABOUT = "sentence pairs: a fixed question, three hypotheses to each premise, answers of one word"
MAX_LENGTH = 128
BATCH = 32

_QUESTION = "下面两个句子是什么关系？从 [entailment, neutral, contradiction] 中选一个。\n句子一：{}\n句子二：{}\n"
_WHEN = (
    "上周末",
    "昨天下午",
    "今年春天",
    "放学以后",
    "开会之前",
    "天快黑的时候",
    "下雨那天",
    "去年冬天",
    "吃过晚饭",
    "节日前一天",
)
_WHO = (
    "管理员",
    "住在三楼的李阿姨",
    "邻居家的男孩",
    "新来的医生",
    "老王",
    "学校的音乐老师",
    "我那位爱唱歌的同事",
    "卖水果的老板",
    "两个游客",
    "刚退休的工程师",
)
_WHERE = ("在公园里", "在车站", "在社区活动室", "在阳台上", "在县城的老街", "在楼下", "在村子里", "在医院的大厅")
_MORE = ("", "", "", "", "，一直忙到很晚", "，然后才慢慢地走回家去")
# What was done; what follows from it; what may be; what cannot be.
_WHAT = (
    ("修好了一辆旧自行车", "有一辆车修好了", "他修车是为了省钱", "自行车仍然是坏的"),
    ("给大家讲了半个小时的故事", "有人讲了故事", "故事说的是一只狐狸", "那里没有人开口说话"),
    ("买了三斤苹果和一把青菜", "买了水果", "苹果比青菜贵得多", "什么东西也没买"),
    ("等了一位老朋友两个多小时", "等人花了很久", "朋友坐的火车晚点了", "朋友马上就到了"),
    ("画了一幅很大的风景画", "画了一幅画", "这幅画要送给母亲", "一笔也没有画"),
    ("和孩子们一起种下了十棵树", "种了不止一棵树", "种的都是苹果树", "孩子们没有参加"),
    ("丢了一串系着红绳的钥匙", "钥匙不见了", "第二天有人捡到了钥匙", "钥匙一直在口袋里"),
    ("拍了很多张月亮的照片", "拍了照片", "用的是借来的相机", "没有带任何相机"),
)


def records(count: int, seed: int) -> list[dict[str, Any]]:
    """Return `count` records; a premise and its three hypotheses stand together, as in the published data."""
    found = []
    draw = random.Random(seed)
    for when, who, where, (done, *hypotheses) in distinct((_WHEN, _WHO, _WHERE, _WHAT), -(-count // 3), seed):
        premise = f"{when}，{who}{where}{done}{draw.choice(_MORE)}。"
        for answer, hypothesis in zip(("entailment", "neutral", "contradiction"), hypotheses, strict=True):
            question = {"role": "user", "content": _QUESTION.format(premise, f"{when}{hypothesis}。")}
            found.append({"messages": [question, {"role": "assistant", "content": answer}]})
    return found[:count]
