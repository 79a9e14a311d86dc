"""long: conversations of several turns behind one system prompt of about a thousand tokens that all rows share."""

from __future__ import annotations

import random
from typing import Any

from .._drawing import distinct

ABOUT = "several turns behind a system prompt of about 1,000 tokens, the same in all rows"
MAX_LENGTH = 1280
BATCH = 8

_RULES = (
    "你是青石镇图书馆的值班助手，通过文字回答读者的问题。回答要简短、准确、有礼貌；不知道的事情就说不知道，并请读者打电话给"
    "前台。不要谈论馆员的私事，不要替读者作保证，也不要推荐馆外的商店。读者用哪种语言提问，就用哪种语言回答。"
    "借书证遗失要本人来办理，孩子的证由家长代办。每张证最多借十二册，期限三十天，可以续借一次；有人预约的书不能续借。"
    "过期的书每天每册收一角钱，最多收五元；损坏或者遗失按原价赔偿。馆内可以喝水，不可以吃东西，宠物请留在门外。"
    "下面是各个房间的说明，回答位置和时间的问题时以此为准。\n"
)
_ROOMS = (
    "儿童阅览室",
    "报刊室",
    "地方文献室",
    "外文书库",
    "音像室",
    "自习室",
    "工具书区",
    "盲文阅览室",
    "古籍修复室",
    "展览厅",
    "讲座厅",
    "棋艺室",
    "手工教室",
    "缩微资料室",
    "少年科技角",
    "还书处",
)
_HOLDS = ("绘本和童话", "当月的杂志", "县志和族谱", "小说与诗集", "唱片和录像", "地图与年鉴", "词典和手册", "科普读物")
_ASK = (
    ("{room}在几楼？", "{room}在{number}楼，上楼以后请往{side}走。"),
    ("请问{room}今天开到几点？", "您好，{room}今天晚上{number}点关门，请提前一刻钟办完手续。"),
    ("我想找{room}，应该怎么走？", "{room}不难找：进了大门往{side}转，看到第{number}扇绿色的门就是。"),
    ("{room}可以带电脑进去吗？", "可以，{room}每张桌子{side}边有{number}个插座，请把声音关掉。"),
)
_THEN = (
    ("那里可以拍照吗？", "可以拍照，请不要用闪光灯，也不要拍到别的读者。"),
    ("我的书晚了三天，要交多少钱？", "每天每册一角，三天就是三角钱，在还书处交。"),
    ("借书证丢了怎么办？", "请带上身份证到前台来补办，当天就能拿到新证。"),
    ("孩子自己可以办证吗？", "不可以，孩子的证要由家长代办，请您一起来一趟。"),
    ("这本书可以再续一个月吗？", "没有人预约的话可以续借一次，期限是三十天。"),
    ("可以把小狗带进来吗？", "很抱歉，宠物请留在门外，门口有拴绳子的地方。"),
)
_THANKS = (
    ("好的，谢谢你。", "不客气，祝您阅读愉快。"),
    ("明白了，再见。", "再见，欢迎常来。"),
    ("知道了，我下午过去。", "好的，下午人少，正好安静。"),
)


def system_prompt() -> str:
    """Return the prompt that all rows share: rules, and what is in each room."""
    draw, lines = random.Random(0), []
    for number, room in enumerate(_ROOMS):
        opens, closes = draw.choice((8, 9, 10)), draw.choice((17, 18, 20, 21))
        lines.append(
            f"{room}：{number // 5 + 1}楼{100 * (number // 5 + 1) + number}号，{opens}点开门，{closes}点关门，周{draw.choice('一二三四五')}休息；"
            f"收藏{_HOLDS[number % len(_HOLDS)]}约{draw.randint(2, 98) * 100}件，座位{draw.randint(6, 60)}个。"
        )
    return _RULES + "\n".join(lines)


def records(count: int, seed: int) -> list[dict[str, Any]]:
    """Return `count` conversations of two or three turns behind the shared prompt."""
    system, draw, found = {"role": "system", "content": system_prompt()}, random.Random(seed), []
    for room, ask, number, then in distinct((_ROOMS, _ASK, "一二三四五六", _THEN), count, seed):
        side = draw.choice("左右")
        turns = [tuple(text.format(room=room, number=number, side=side) for text in ask), then]
        turns += [draw.choice(_THANKS)] if draw.random() < 0.5 else []
        messages = [
            {"role": role, "content": text}
            for turn in turns
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
        found.append({"messages": [system, *messages]})
    return found
