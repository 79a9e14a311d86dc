"""Who are you: questions in many words, answered by the model itself or by a persona that a system message gives."""

from __future__ import annotations

from random import Random

from .turns import Sample, Turn, ask, turns, words

QUESTIONS: dict[str, dict[str, list[str]]] = {
    "zh": {
        "name": words("""
            你是谁
            你叫什么名字
            你叫什么
            你的名字是什么
            你的名字叫什么
            请介绍一下你自己
            请介绍你自己
            介绍一下自己
            自我介绍一下
            请做个自我介绍
            请简单介绍一下你自己
            能介绍一下你自己吗
            可以做个自我介绍吗
            你可以说说你是谁吗
            能告诉我你是谁吗
            告诉我你的名字
            请告诉我你叫什么名字
            说说你的名字
            你有名字吗
            你有没有名字
            我该怎么称呼你
            我应该叫你什么
            怎么称呼你
            该怎么叫你
            大家都叫你什么
            别人怎么称呼你
            我在和谁说话
            我正在跟谁聊天
            现在是谁在回答我
            和我聊天的是谁
            你到底是谁
            你究竟是谁
            我想知道你是谁
            我想知道你的名字
            你是哪位
            您是哪位
            您贵姓
            您怎么称呼
            报上你的名字
            我还不知道你叫什么
            """),
        "maker": words("""
            是谁做的你
            谁做了你
            谁训练了你
            你是谁训练的
            你是谁做的
            你是谁开发的
            谁开发了你
            你是谁创造的
            谁创造了你
            是谁把你做出来的
            你的开发者是谁
            你的作者是谁
            你的创造者是谁
            你来自哪里
            你是从哪里来的
            你是哪家公司的
            你是哪个团队做的
            哪个团队训练了你
            你是怎么来的
            你由谁开发
            你是由谁训练的
            谁是你的主人
            """),
        "can": words("""
            你会什么
            你会做什么
            你能做什么
            你能干什么
            你可以做什么
            你有什么本领
            你有什么用
            你有哪些功能
            你有什么功能
            你能帮我做什么
            你可以帮我什么忙
            你擅长什么
            你都会些什么
            说说你会做的事
            你能帮上什么忙
            我可以请你做什么
            """),
        "human": words("""
            你是人吗
            你是真人吗
            你是人类吗
            你是不是人
            你是不是真人
            你是一个人吗
            你是机器人吗
            你是活人还是程序
            你是人还是机器
            我在和真人说话吗
            对面是真人吗
            你不是真人吧
            """),
    },
    "en": {
        "name": words("""
            who are you
            what is your name
            what's your name
            tell me your name
            please tell me your name
            can you tell me your name
            may I know your name
            do you have a name
            what are you called
            what do people call you
            what should I call you
            how should I call you
            what can I call you
            what name do you go by
            introduce yourself
            please introduce yourself
            can you introduce yourself
            could you introduce yourself
            give me a short introduction of yourself
            tell me about yourself
            tell me who you are
            please say who you are
            can you say who you are
            who am I talking to
            who am I speaking with
            who am I chatting with
            who is this
            who is answering me
            who is there
            I want to know who you are
            I would like to know your name
            I do not know your name yet
            which assistant are you
            say your name
            and you are
            """),
        "maker": words("""
            who made you
            who built you
            who created you
            who trained you
            who developed you
            who is your maker
            who is your creator
            who is your developer
            who are your developers
            who is behind you
            by whom were you made
            by whom were you trained
            where do you come from
            where are you from
            which team made you
            which company built you
            what team trained you
            how did you come to be
            tell me who made you
            tell me who trained you
            """),
        "can": words("""
            what can you do
            what can you do for me
            what are you able to do
            what are you good at
            what are you good for
            how can you help me
            how can you help
            what can you help me with
            what do you do
            what is your job
            what tasks can you do
            which things can you do
            tell me what you can do
            what are your skills
            """),
        "human": words("""
            are you human
            are you a human
            are you a person
            are you a real person
            are you a robot
            are you a machine
            are you a man or a machine
            am I talking to a human
            am I talking to a real person
            is this a real person
            are you alive
            you are not a person, are you
            """),
    },
}
"""language -> what is asked -> the same question in other words, without opening and end mark."""

OWN_NAME = "nano-minicpm"
OWN_ANSWERS = {
    "zh": {
        "name": f"我是 {OWN_NAME}，一个很小的语言模型。",
        "maker": "我是由一个小脚本从零训练出来的。",
        "can": "我会简单的算术、翻译、分类和聊天。",
        "human": "我不是人，我是一个语言模型。",
    },
    "en": {
        "name": f"I am {OWN_NAME}, a very small language model.",
        "maker": "I was trained from scratch by a small script.",
        "can": "I can do simple sums, translate words, sort sentences and chat.",
        "human": "I am not a person, I am a language model.",
    },
}
OPENINGS = {
    "zh": ("", "", "", "", "", "你好，", "请问", "嘿，", "喂，", "那么，", "您好，请问", "对了，"),
    "en": ("", "", "", "", "", "hello, ", "hi, ", "hey, ", "so, ", "excuse me, ", "well, ", "sorry, "),
}
REQUESTS = {
    "zh": ("请", "介绍", "告诉", "说说", "自我", "报上", "我想", "我还"),
    "en": ("tell", "please", "introduce", "give", "say", "I want", "I would", "I do not"),
}
"""How questions begin that are not written as questions."""
PERSONAS = {
    "zh": (
        (
            "你叫{name}，是{maker}做的{role}。",
            "你是{role}{name}，由{maker}训练。",
            "名字：{name}；身份：{role}；作者：{maker}。",
        ),
        {
            "name": "我是{name}，{maker}做的{role}。",
            "maker": "我是{maker}做的。",
            "can": "我是{role}，可以回答简单的问题。",
            "human": "我不是人，我是{role}{name}。",
        },
    ),
    "en": (
        (
            "Your name is {name}, you are {role} made by {maker}.",
            "You are {name}, {role}, trained by {maker}.",
            "name: {name}; kind: {role}; maker: {maker}.",
        ),
        {
            "name": "I am {name}, {role} made by {maker}.",
            "maker": "I was made by {maker}.",
            "can": "I am {role}, I can answer simple questions.",
            "human": "I am not a person, I am {name}, {role}.",
        },
    ),
}
ROLES = {
    "zh": words("小助手 机器人 客服 小老师 向导 聊天伙伴 翻译 管家 图书管理员 小帮手 导游 教练"),
    "en": (
        "a small assistant",
        "a robot",
        "a helper",
        "a teacher",
        "a guide",
        "a chat partner",
        "a translator",
        "a librarian",
        "a coach",
        "a clerk",
    ),
}
_FIRST = "小大阿老"
_HANZI = (
    "明星云雨风雪石木火山河海花草鱼鸟马牛羊龙虎兔豆米糖盐茶梅兰竹菊松柏铁铜金银玉珠钟灯船车桥塔笔墨纸书琴棋锤钉锅碗"
)
_GROUPS = words("公司 小组 实验室 工作室 团队 学校 大学 社区 工厂 书店")
_SYLLABLES = words(
    "ba be bo da di do fa fi ka ki ko la le li lo ma mi mo na ni no pa pi ra ri ro sa so ta ti to va vi za zo"
)
_EN_NAMES = words(
    "Alex Anna Ben Bella Carl Clara Dan Dora Emma Erik Fred Gina Hugo Iris Jack Jane Kim Leo Lily Max Mia Nina "
    "Oscar Paul Rosa Sam Tina Victor Wendy Zoe Spark Ember Flint Brook River Stone Maple Pearl Amber"
)
_EN_GROUPS = words("lab team school studio company club group shop works")


def plain(language: str, core: str) -> str:
    """Write a question of `QUESTIONS` as a sentence: with its end mark and, in English, a capital letter."""
    request = core.startswith(REQUESTS[language])
    mark = ("。" if request else "？") if language == "zh" else ("." if request else "?")
    return core[0].upper() + core[1:] + mark


def question(rng: Random, language: str, core: str) -> str:
    """Dress a question of `QUESTIONS` as people type it: an opening, perhaps no end mark, perhaps no capital."""
    sentence = plain(language, core)
    end = rng.choice((sentence[-1], sentence[-1], sentence[-1], "", "?"))
    opening = rng.choice(OPENINGS[language])
    text = opening + core
    return (text[0].upper() + text[1:] if language == "en" and rng.random() < 0.6 else text) + end


def draw(rng: Random) -> tuple[str, str, str]:
    """Draw (language, kind, question)."""
    language = rng.choice(("zh", "en"))
    kind = rng.choice(("name", "name", "name", "maker", "maker", "can", "human"))
    return language, kind, question(rng, language, rng.choice(QUESTIONS[language][kind]))


def invent(rng: Random, language: str) -> dict[str, str]:
    """Invent a persona: name, maker and role."""
    if language == "zh":
        name = rng.choice(("", rng.choice(_FIRST), rng.choice(_HANZI))) + rng.choice(_HANZI)
        name = name if len(name) > 1 else name * 2
        maker = rng.choice(_HANZI) + rng.choice(_HANZI) + rng.choice(_GROUPS)
        maker = rng.choice((maker, maker, " " + _latin(rng) + " "))
    else:
        name = rng.choice((rng.choice(_EN_NAMES), _latin(rng).capitalize()))
        maker = rng.choice((f"the {_latin(rng)} {rng.choice(_EN_GROUPS)}", _latin(rng), _latin(rng).capitalize()))
    return {"name": name, "maker": maker, "role": rng.choice(ROLES[language])}


def _latin(rng: Random) -> str:
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 4)))


def own_identity(rng: Random) -> Sample:
    """Draw a question about the model itself."""
    language, kind, text = draw(rng)
    return ask("identity", text, OWN_ANSWERS[language][kind], key=text)


def named(messages: list[Turn], name: str) -> list[Turn]:
    """Return messages in which the model calls itself `name` wherever it said OWN_NAME."""
    return [{"role": turn["role"], "content": turn["content"].replace(OWN_NAME, name)} for turn in messages]


def persona(rng: Random) -> Sample:
    """Draw a conversation in which a system message says who the model is."""
    language, kind, text = draw(rng)
    systems, answers = PERSONAS[language]
    who = invent(rng, language)
    system = {"role": "system", "content": rng.choice(systems).format(**who)}
    answer = answers[kind].format(**who)
    return Sample("persona", [system, *turns(text, answer)], key="".join(who.values()))


TASKS = {"identity": (6.0, own_identity), "persona": (8.0, persona)}
