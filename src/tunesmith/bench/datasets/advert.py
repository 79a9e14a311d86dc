"""advert: keywords of a garment -> an advertisement of some sentences, behind a short system prompt."""

from __future__ import annotations

from typing import Any

from .._drawing import distinct

ABOUT = "advertisements: keywords, a text of 80 to 190 characters, a short system prompt"
MAX_LENGTH = 384
BATCH = 32

_SYSTEM = "你为一家服装店写商品介绍。请根据顾客给出的关键词，写一段自然、亲切的文案，不要编造价格。"
_KIND = ("裙", "衬衫", "针织衫", "风衣", "阔腿裤", "外套")
_CLOTH = ("棉麻", "羊毛", "真丝", "雪纺", "牛仔布", "灯芯绒")
_COLOUR = ("米白色", "墨绿色", "浅蓝色", "酒红色", "焦糖色", "深灰色")
_STYLE = ("简约", "复古", "文艺", "通勤", "休闲", "清新")
# A keyword, and the sentence that is written about it.
_PATTERN = (
    ("条纹", "细细的条纹从肩头一直落到下摆，把身形拉得修长，近看又有手工织物的温度。"),
    ("碎花", "小小的碎花像是从清晨的院子里摘来的，不吵不闹，却让人忍不住多看一眼。"),
    ("纯色", "没有一点多余的图案，干净的颜色本身就是主角，和衣柜里的哪一件都合得来。"),
    ("格子", "格子的大小经过反复比较，远看沉稳，近看活泼，走在街上不容易和别人重样。"),
    ("刺绣", "胸前一小片刺绣由老师傅一针一线完成，针脚细密，摸上去微微凸起。"),
)
_CUT = (
    ("高腰", "腰线提高了两指，视觉上腿长了一截，坐下来的时候也不会勒得难受。"),
    ("宽松", "宽松的轮廓留出了足够的空间，抬手弯腰都自在，饭后也不必偷偷吸气。"),
    ("收腰", "两侧各收进一道暗褶，腰身轻轻显出来，站着坐着都是好看的弧度。"),
    ("直筒", "从上到下一条直线，不挑身材，也不容易过时，穿上几年都不会厌。"),
)
_DETAIL = (
    ("口袋", "斜插的口袋放得下手机和钥匙，出门买菜不用再背包。"),
    ("系带", "领口垂下两根系带，系成蝴蝶结显得俏皮，随意搭着又有几分洒脱，一件当两件穿。"),
    ("翻领", "小翻领衬得脖子修长，配一条细项链就很精神，开会或者约会都不失礼。"),
    ("荷叶边", "袖口的荷叶边随着动作轻轻摆动，举杯的时候格外好看，像给平常的日子添了一点仪式感。"),
    ("开衩", "下摆的小开衩让步子迈得更大，赶公交也不怕。"),
)
_END = (
    "早晚有风的日子，披上它出门刚刚好。",
    "洗过几次依然挺括，打理起来一点也不费心，放进洗衣袋里轻柔地转几圈就好。",
    "无论上班还是周末散步，它都会是你最先想到的那一件，搭一双平底鞋就可以走很远的路。",
    "",
)


def records(count: int, seed: int) -> list[dict[str, Any]]:
    """Return `count` records with system prompt, keywords and text."""
    found = []
    parts = (_KIND, _CLOTH, _COLOUR, _STYLE, _PATTERN, _CUT, _DETAIL, _END)
    for kind, cloth, colour, style, pattern, cut, detail, end in distinct(parts, count, seed):
        keywords = (
            f"类型#{kind}*材质#{cloth}*颜色#{colour}*风格#{style}*图案#{pattern[0]}*版型#{cut[0]}*细节#{detail[0]}"
        )
        text = f"这款{colour}的{kind}选用{cloth}面料，{style}的气质一眼就能认出来。{pattern[1]}{cut[1]}{detail[1]}{end}"
        found.append(
            {
                "messages": [
                    {"role": "system", "content": _SYSTEM},
                    {"role": "user", "content": keywords},
                    {"role": "assistant", "content": text},
                ]
            }
        )
    return found
